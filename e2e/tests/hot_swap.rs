//! Module and configuration are replaced under load, and no request fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use plimsoll_e2e::{Client, Engines, Protocol, Setting, Stand, chat, until, whole};
use serde_json::json;

use crate::pick::prompt;

const CLIENTS: u64 = 8;
const SWAPS: u64 = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn swaps_under_load_fail_no_request() {
    let engines = Engines::start(3, 20).await;
    let setting = Setting {
        hot_swap: true,
        concurrency: 2,
        ..Setting::hosts(engines.addresses.clone())
    };
    let mut stand = Stand::start(setting).await;
    let stop = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicU64::new(0));
    let address = stand.address();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
            tokio::spawn(async move {
                let mut connection = Client::connect(address, Protocol::Http1).await;
                let mut turn = 0;
                while !stop.load(Ordering::Relaxed) {
                    // Streams of two dozen events: many are under way at any swap.
                    let body = json!({"model": "m", "stream": true, "max_tokens": 24,
                        "messages": [{"role": "user", "content": format!("client {client} turn {turn} {}", "word ".repeat(400))}]});
                    let reply = connection.send(chat(whole(body.to_string()))).await;
                    assert_eq!(reply.status, 200);
                    assert!(reply.body.ends_with(b"data: [DONE]\n\n"), "a stream was cut");
                    answered.fetch_add(1, Ordering::Relaxed);
                    turn += 1;
                }
            })
        })
        .collect();
    let second = stand.second_module();

    let reloads = "extension_config_discovery.http_filter.plimsoll.config_reload";
    for swap in 0..SWAPS {
        let (reloaded, progress) = (stand.stat(reloads), answered.load(Ordering::Relaxed));
        stand.swap(&format!("swap-{swap}"), |options| {
            if swap % 2 == 0 {
                options.module.clone_from(&second);
            }
            options.configuration = json!({"decide_after_bytes": 1024 * (swap + 1)}).to_string();
        });
        until("the new filter to be loaded and to serve", async || {
            let loaded = stand.stat(reloads) > reloaded;
            let served = answered.load(Ordering::Relaxed) > progress + 2 * CLIENTS;
            (loaded && served).then_some(())
        })
        .await;
    }
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    assert!(answered.load(Ordering::Relaxed) > SWAPS * 2 * CLIENTS);
    // The new filter knows the hosts: shared data outlives the VMs.
    let reply = stand
        .client(Protocol::Http1)
        .await
        .send(chat(whole(prompt("after", 100))))
        .await;
    assert_eq!(reply.status, 200);
    stand.released().await;
    stand.assert_sound();
}
