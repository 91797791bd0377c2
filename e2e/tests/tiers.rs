//! Tiers, tenants and the queue on the real Envoy: requests that wait are resumed whole, and each ends exactly once.

use std::net::SocketAddr;
use std::time::Duration;

use plimsoll_e2e::{
    Client, Engines, Protocol, Reply, Setting, Stand, books, chat, door, until, whole,
};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// One request at a time, two tiers.
fn tiers() -> Value {
    json!({
        "tiers": [{"name": "gold", "max_wait_ms": 20_000}, {"name": "free", "max_wait_ms": 20_000}],
        "tenants": [{"name": "acme", "tier": "gold", "keys": [door::KEY_DIGEST]}, {"name": "zeta", "tier": "free"}, {"name": "*", "tier": "free"}],
        "identity": {"header": "x-tenant", "trusted_hops": ["127.0.0.0/8"]},
        "admission": {"full_requests": 1, "queue": 3, "starvation_ms": 15_000},
    })
}

/// Asks for an answer of 60 tokens, with a prompt of about `bytes`.
fn ask(
    address: SocketAddr,
    header: Option<(&'static str, &'static str)>,
    bytes: usize,
) -> JoinHandle<Reply> {
    tokio::spawn(async move {
        let body = json!({"model": "m", "stream": true, "max_tokens": 60,
            "messages": [{"role": "user", "content": "word ".repeat(bytes / 5)}]});
        let mut request = chat(whole(body.to_string()));
        if let Some((name, value)) = header {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        Client::connect(address, Protocol::Http1)
            .await
            .send(request)
            .await
    })
}

async fn queued(stand: &Stand, count: f64) {
    until(&format!("{count} requests to wait"), async || {
        (stand.metrics().count("plimsoll_queued", "") == count).then_some(())
    })
    .await;
}

fn reason(reply: &Reply) -> (u16, &str) {
    (reply.status.as_u16(), reply.header("x-plimsoll-reason"))
}

fn served(reply: &Reply) {
    assert_eq!(reply.status, 200);
    assert!(
        reply.body.ends_with(b"data: [DONE]\n\n"),
        "a stream was cut"
    );
}

const GOLD: Option<(&str, &str)> = Some(("authorization", "Bearer acme-key"));

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_is_served_and_higher_tiers_first() {
    let engines = Engines::start(1, 1).await;
    let stand =
        Stand::start(Setting::hosts(engines.addresses.clone()).configuration(tiers())).await;
    let address = stand.address();
    let first = ask(address, None, 200);
    until("the first to be under way", async || {
        (stand.metrics().count("plimsoll_inflight", "") == 1.0).then_some(())
    })
    .await;
    // Longer than what is read before a decision: the rest of its body is held back too.
    let long = ask(address, None, 300_000);
    queued(&stand, 1.0).await;
    let free = [ask(address, None, 200), ask(address, None, 200)];
    queued(&stand, 3.0).await;
    let full = ask(address, None, 200).await.unwrap();
    assert_eq!(reason(&full), (429, "queue_full"));
    assert!(
        full.header("retry-after")
            .parse::<u32>()
            .is_ok_and(|seconds| seconds > 0)
    );
    assert_eq!(full.json()["error"]["type"], "rate_limit_error");
    let gold = ask(address, GOLD, 200);
    let mut displaced = 0;
    served(&gold.await.unwrap());
    for free in free.into_iter().chain([first, long]) {
        let reply = free.await.unwrap();
        match reason(&reply) {
            (200, _) => served(&reply),
            other => {
                assert_eq!(other, (429, "displaced"));
                displaced += 1;
            }
        }
    }
    assert_eq!(displaced, 1);
    queued(&stand, 0.0).await;
    stand.released().await;
    stand.assert_sound();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_and_one_that_waits_too_long_free_their_places() {
    let engines = Engines::start(1, 1).await;
    let mut configuration = tiers();
    configuration["tiers"][1]["max_wait_ms"] = json!(300);
    let stand =
        Stand::start(Setting::hosts(engines.addresses.clone()).configuration(configuration)).await;
    let address = stand.address();
    let running = ask(address, None, 200);
    let leaver = ask(address, GOLD, 200);
    queued(&stand, 1.0).await;
    leaver.abort();
    queued(&stand, 0.0).await;
    let waiter = ask(address, None, 200).await.unwrap();
    let served_late = running.await.unwrap();
    served(&served_late);
    assert!(
        matches!(reason(&waiter), (504, "queue_timeout") | (200, _)),
        "{:?}",
        reason(&waiter)
    );
    stand.released().await;
    stand.assert_sound();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_are_told_apart() {
    for case in door::cases().await {
        assert!(case.pass(), "{case:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_over_of_requests_that_fail_or_are_given_up() {
    for figure in books::play(2000).await {
        assert!(figure.pass(), "{}", figure.line());
    }
}

/// A new configuration takes over who waits; a new module cannot, and lets them go.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn swaps_lose_nobody_who_waits() {
    let engines = Engines::start(1, 1).await;
    let mut stand = Stand::start(Setting {
        hot_swap: true,
        ..Setting::hosts(engines.addresses.clone()).configuration(tiers())
    })
    .await;
    let address = stand.address();
    let second = stand.second_module();
    for swap in ["configuration", "module"] {
        let asked: Vec<_> = (0..3).map(|_| ask(address, GOLD, 200)).collect();
        until("some to wait", async || {
            (stand.metrics().count("plimsoll_queued", "") >= 1.0).then_some(())
        })
        .await;
        stand.swap(swap, |options| {
            let mut configuration = tiers();
            configuration["explain"] = json!(swap == "configuration");
            options.configuration = configuration.to_string();
            if swap == "module" {
                options.module.clone_from(&second);
            }
        });
        for reply in asked {
            let reply = tokio::time::timeout(Duration::from_secs(60), reply).await;
            served(&reply.expect("nobody is forgotten").unwrap());
        }
    }
    stand.released().await;
    stand.assert_sound();
}
