//! Several Envoys in front of the same engines tell each other what their workers do.

use std::net::SocketAddr;

use hyper::Request;
use plimsoll_e2e::{Client, Echo, Engines, Protocol, Reply, Setting, Stand, chat, until, whole};
use plimsoll_envoy::process::free_address;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::pick::prompt;

/// A proxy in front of `hosts` that answers others at `own` and asks those at `peers`; `more` is added to its configuration.
async fn proxy(hosts: &[SocketAddr], own: SocketAddr, peers: &[SocketAddr], more: Value) -> Stand {
    let mut configuration = json!({"explain": true, "exchange": {"peers": peers}});
    if let (Value::Object(all), Value::Object(more)) = (&mut configuration, more) {
        all.extend(more);
    }
    let setting = Setting {
        exchange: Some(own),
        ..Setting::hosts(hosts.iter().copied())
    };
    Stand::start(setting.configuration(configuration)).await
}

/// Waits until `stand` hears `count` other proxies.
async fn hears(stand: &Stand, count: f64) {
    until(&format!("{count} proxies to be heard"), async || {
        (stand.metrics().count("plimsoll_peers", "") == count).then_some(())
    })
    .await;
}

fn answers(stand: &Stand, result: &str) -> f64 {
    let label = format!("result=\"{result}\"");
    stand.metrics().count("plimsoll_exchanges", &label)
}

async fn ask(stand: &Stand, body: String) -> Reply {
    let mut request = chat(whole(body));
    let explain = "1".parse().expect("a value");
    request.headers_mut().insert("x-plimsoll-explain", explain);
    let reply = stand.client(Protocol::Http1).await.send(request).await;
    assert_eq!(reply.status, 200);
    reply
}

/// Prompt tokens that the proxy knew to be in the cache of the host it chose.
fn known(reply: &Reply) -> u64 {
    let decision = reply.header("x-plimsoll-decision");
    let known = decision
        .split(' ')
        .find_map(|field| field.strip_prefix("cached_tokens="));
    known.and_then(|known| known.parse().ok()).expect(decision)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_proxy_placed_is_found_by_the_other() {
    let engines = Engines::start(4, 10).await;
    let hosts = &engines.addresses;
    let peers = [free_address().unwrap(), free_address().unwrap()];
    // The first has but one host to give work to, which is no prompt's home in particular.
    let a = proxy(hosts, peers[0], &peers, json!({"draining": hosts[..3]})).await;
    let b = proxy(hosts, peers[1], &peers, json!({})).await;
    let alone =
        Stand::start(Setting::hosts(hosts.clone()).configuration(json!({"explain": true}))).await;
    hears(&a, 1.0).await;
    hears(&b, 1.0).await;
    for index in 0..6 {
        let document = prompt(&format!("document {index}"), 20_000);
        assert_eq!(
            ask(&a, document.clone()).await.served_by(),
            hosts[3].to_string()
        );
        // Two may have been on their way; the third tells of it, and so does none of the engines' counters.
        let before = answers(&b, "ok");
        until("the other proxy to tell", async || {
            (answers(&b, "ok") >= before + 3.0).then_some(())
        })
        .await;
        assert_eq!(known(&ask(&alone, document.clone()).await), 0);
        let reply = ask(&b, document).await;
        assert!(known(&reply) > 4_000, "{:?}", reply.headers);
        assert_eq!(
            reply.served_by(),
            hosts[3].to_string(),
            "{:?}",
            reply.headers
        );
        let cached = &reply.json()["usage"]["prompt_tokens_details"]["cached_tokens"];
        assert!(cached.as_u64().unwrap_or(0) > 4_000, "{cached}");
    }
    // The other one goes, and is forgotten.
    drop(a);
    hears(&b, 0.0).await;
    ask(&b, prompt("alone", 1_000)).await;
    b.assert_sound();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_hanging_and_wrong_peers_disturb_nothing() {
    let hosts = [Echo::start().await, Echo::start().await];
    let addresses: Vec<SocketAddr> = hosts.iter().map(|host| host.address).collect();
    let own = [free_address().unwrap(), free_address().unwrap()];
    let (dead, wrong) = (free_address().unwrap(), Echo::start().await);
    // Connections to it are made, and nobody ever reads what they bring.
    let hanging = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peers = [
        dead,
        own[0],
        hanging.local_addr().unwrap(),
        wrong.address,
        own[1],
    ];
    let a = proxy(&addresses, own[0], &peers, json!({})).await;
    let b = proxy(&addresses, own[1], &peers, json!({})).await;
    hears(&b, 1.0).await;
    until("every failure to be seen", async || {
        let seen = answers(&b, "error") >= 8.0 && answers(&b, "refused") >= 4.0;
        seen.then_some(())
    })
    .await;
    hears(&b, 1.0).await;
    for index in 0..10 {
        let reply = ask(&b, prompt(&format!("story {index}"), 2_000)).await;
        let decision = reply.header("x-plimsoll-decision");
        assert!(decision.contains("step=full"), "{decision}");
    }
    let asked = wrong.seen();
    assert!(asked.iter().all(|seen| seen.path == "/plimsoll/exchange"));
    for stand in [a, b] {
        stand.assert_sound();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_cannot_ask_and_the_exchange_leads_nowhere() {
    let echo = Echo::start().await;
    let own = free_address().unwrap();
    let stand = proxy(&[echo.address], own, &[own], json!({})).await;
    let get = || {
        Request::get("http://llm.test/plimsoll/exchange")
            .header("host", "llm.test")
            .body(whole(""))
            .unwrap()
    };
    let share = until("a share", async || {
        let reply = Client::connect(own, Protocol::Http1)
            .await
            .send(get())
            .await;
        (reply.status == 200).then_some(reply)
    })
    .await;
    assert!(share.body.starts_with(b"PLSH"));
    // What a client asks under this path is an engine's to answer.
    let reply = stand.client(Protocol::Http1).await.send(get()).await;
    assert_eq!(reply.served_by(), echo.address.to_string());
    assert_eq!(&reply.body[..], b"{}");
    // And no request goes through the exchange's listener to an engine.
    let mut client = Client::connect(own, Protocol::Http2).await;
    let reply = client.send(chat(whole(prompt("x", 100)))).await;
    assert!(reply.body.starts_with(b"PLSH"));
    assert_eq!(echo.seen().len(), 1);
    // It hears nobody but itself, which is nobody.
    assert_eq!(stand.metrics().count("plimsoll_peers", ""), 0.0);
    stand.assert_sound();
}
