//! One answer for identical requests, on the real Envoy.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use plimsoll_e2e::{
    Client, Echo, Engines, Fleet, Protocol, Reply, Setting, Stand, chat, door, until, whole,
};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// Requests at once.
const CLIENTS: usize = 8;

fn sharing() -> Value {
    json!({
        "reuse": {"coalesce": true, "ttl_ms": 60_000},
        "tiers": [{"name": "gold"}],
        "tenants": [{"name": "acme", "tier": "gold", "keys": [door::KEY_DIGEST]}, {"name": "zeta", "tier": "gold"}],
        "identity": {"header": "x-tenant", "trusted_hops": ["127.0.0.0/8"]},
        "access_log": true, "explain": true,
    })
}

const ACME: (&str, &str) = ("authorization", "Bearer acme-key");
const ZETA: (&str, &str) = ("x-tenant", "zeta");

/// Asks for an answer of `tokens` tokens that nothing but the request decides.
fn ask(
    address: SocketAddr,
    protocol: Protocol,
    (name, value): (&'static str, &'static str),
    stream: bool,
    tokens: u32,
) -> JoinHandle<Reply> {
    tokio::spawn(async move {
        let body = json!({"model": "m", "temperature": 0, "stream": stream, "max_tokens": tokens,
            "messages": [{"role": "user", "content": "word ".repeat(300)}]});
        let mut request = chat(whole(body.to_string()));
        request.headers_mut().insert(name, value.parse().unwrap());
        let explain = "1".parse().unwrap();
        request.headers_mut().insert("x-plimsoll-explain", explain);
        Client::connect(address, protocol).await.send(request).await
    })
}

/// Requests that reached the engine.
fn asked(stand: &Stand) -> u64 {
    stand.stat("cluster.pool.upstream_rq_total")
}

async fn all_asked(stand: &Stand) {
    until("all to have asked", async || {
        (stand.metrics().count("plimsoll_requests", "") >= CLIENTS as f64).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn identical_requests_at_once_are_one_to_the_engine() {
    for (protocol, stream) in [(Protocol::Http1, true), (Protocol::Http2, false)] {
        let engines = Engines::start(1, 1).await;
        let setting = Setting::hosts(engines.addresses.clone());
        let stand = Stand::start(Setting {
            access_log: true,
            ..setting.configuration(sharing())
        })
        .await;
        let address = stand.address();
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| ask(address, protocol, ACME, stream, 200))
            .collect();
        all_asked(&stand).await;
        assert_eq!(asked(&stand), 1, "the engine saw one of them");
        // The same of another tenant is another request.
        let other = ask(address, protocol, ZETA, stream, 200).await.unwrap();
        assert_eq!(
            (other.status.as_u16(), other.header("x-plimsoll-cache")),
            (200, "")
        );
        assert_eq!(asked(&stand), 2);

        let mut answers = Vec::new();
        for client in clients {
            answers.push(client.await.unwrap());
        }
        let own = answers
            .iter()
            .filter(|answer| answer.header("x-plimsoll-cache").is_empty());
        let own: Vec<_> = own.collect();
        assert_eq!(own.len(), 1);
        for answer in &answers {
            assert_eq!(answer.status, 200);
            assert_eq!(answer.body, own[0].body);
            let shared = answer
                .header("x-plimsoll-decision")
                .starts_with("reused=coalesced ");
            assert_eq!(shared, answer.header("x-plimsoll-cache") == "coalesced");
        }
        // Again, when it has ended: kept, and for no other tenant's sake.
        let again = ask(address, protocol, ACME, stream, 200).await.unwrap();
        assert_eq!(again.header("x-plimsoll-cache"), "hit");
        assert!(again.header("age").parse::<u32>().is_ok());
        assert_eq!(again.body, own[0].body);
        assert_eq!(again.header("content-type"), own[0].header("content-type"));
        assert!(again.header("x-plimsoll-decision").ends_with("tenant=acme"));
        assert_eq!(asked(&stand), 2);
        stand.until_counted("plimsoll_reuse", 10.0).await;
        stand.released().await;
        let reused = |line: &&Value| line["decision"].as_str().unwrap().starts_with("reused=");
        until("the access log to be written", async || {
            (stand.access_log().iter().filter(reused).count() == CLIENTS).then_some(())
        })
        .await;
        stand.assert_sound();
    }
}

/// The one that all others follow leaves: nobody is forgotten.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_leaves_takes_nobody_with_it() {
    let engines = Engines::start(1, 1).await;
    let stand =
        Stand::start(Setting::hosts(engines.addresses.clone()).configuration(sharing())).await;
    let address = stand.address();
    let leader = ask(address, Protocol::Http1, ACME, true, 400);
    until("the first to be under way", async || {
        (stand.metrics().count("plimsoll_inflight", "") == 1.0).then_some(())
    })
    .await;
    let clients: Vec<_> = (1..CLIENTS)
        .map(|_| ask(address, Protocol::Http1, ACME, true, 400))
        .collect();
    all_asked(&stand).await;
    leader.abort();
    for client in clients {
        let answer = client.await.unwrap();
        assert_eq!(
            (answer.status.as_u16(), answer.header("x-plimsoll-cache")),
            (200, "")
        );
        assert!(
            answer.body.ends_with(b"data: [DONE]\n\n"),
            "a stream was cut"
        );
    }
    assert_eq!(asked(&stand), CLIENTS as u64);
    stand.released().await;
    stand.assert_sound();
}

/// Who follows while the configuration is replaced goes itself. Who follows while the module is, is answered by the old one, which stays until
/// its last stream has ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn swaps_forget_nobody_who_follows() {
    let engines = Engines::start(1, 1).await;
    let mut stand = Stand::start(Setting {
        hot_swap: true,
        ..Setting::hosts(engines.addresses.clone()).configuration(sharing())
    })
    .await;
    let second = stand.second_module();
    let address = stand.address();
    let mut before = 0;
    for (swap, at_the_engine) in [("configuration", CLIENTS), ("module", 1)] {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| ask(address, Protocol::Http2, ACME, false, 600))
            .collect();
        before += CLIENTS;
        until("all to have asked", async || {
            (stand.metrics().count("plimsoll_requests", "") >= before as f64).then_some(())
        })
        .await;
        let asked_before = asked(&stand) - 1;
        stand.swap(swap, |options| {
            let mut configuration = sharing();
            configuration["tick_ms"] = json!(20);
            options.configuration = configuration.to_string();
            if swap == "module" {
                options.module.clone_from(&second);
            }
        });
        for client in clients {
            assert_eq!(client.await.unwrap().status, 200);
        }
        assert_eq!(asked(&stand) - asked_before, at_the_engine as u64, "{swap}");
    }
    stand.released().await;
    stand.assert_sound();
}

/// Skewed traffic: 96 clients, each asking 5 times for one of 64 answers, the n-th most wanted as often as one n-th of the first.
async fn skewed(reuse: Value) -> (Duration, u64) {
    const ASKING: u64 = 96;
    const EACH: u64 = 5;
    const ANSWERS: u64 = 64;
    let engine = Fleet::start(1, "l4", 20).await;
    let setting = Setting::hosts(engine.addresses.clone());
    let stand = Stand::start(setting.configuration(json!({ "reuse": reuse }))).await;
    let (address, before) = (stand.address(), Instant::now());
    let asking = (0..ASKING).map(|client| {
        tokio::spawn(async move {
            let weights: Vec<u64> = (1..=ANSWERS).map(|n| 1_000_000 / n).collect();
            let mut connection = Client::connect(address, Protocol::Http1).await;
            for n in 0..EACH {
                let mut at = Echo::hash(&[client as u8, n as u8]) % weights.iter().sum::<u64>();
                let wanted = weights.iter().position(|weight| {
                    let here = at < *weight;
                    at = at.saturating_sub(*weight);
                    here
                });
                let text = format!("{} {}", wanted.unwrap_or_default(), "word ".repeat(400));
                let body = json!({"model": "m", "temperature": 0, "max_tokens": 100,
                    "messages": [{"role": "user", "content": text}]});
                let mut request = chat(whole(body.to_string()));
                let key = "Bearer one".parse().unwrap();
                request.headers_mut().insert("authorization", key);
                assert_eq!(connection.send(request).await.status, 200);
            }
        })
    });
    for client in asking.collect::<Vec<_>>() {
        client.await.unwrap();
    }
    let took = before.elapsed();
    stand.released().await;
    stand.assert_sound();
    (took, asked(&stand))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn skewed_traffic_asks_the_engine_less() {
    let mut seen = Vec::new();
    for (what, reuse) in [
        ("off", json!({})),
        ("coalesce", json!({"coalesce": true})),
        (
            "coalesce and keep",
            json!({"coalesce": true, "ttl_ms": 60_000}),
        ),
    ] {
        let (took, asked) = skewed(reuse).await;
        let rate = 480.0 / took.as_secs_f64();
        println!("{what}: 480 requests, {asked} at the engine, {rate:.1}/s");
        seen.push(asked);
    }
    let [off, coalesced, kept] = seen[..] else {
        panic!("three runs");
    };
    assert_eq!(off, 480);
    assert!(coalesced * 14 <= off * 10, "{coalesced}");
    assert!(kept * 4 <= off, "{kept}");
}
