//! Each step of the ladder on the real proxy: less is known, requests are still served.

use plimsoll_e2e::{Echo, Engines, Protocol, Setting, Stand, chat, until, whole};
use serde_json::json;

use crate::pick::prompt;

/// No host is known to the module: it names none, and Envoy's own policy chooses.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_hosts_the_proxy_chooses() {
    let echo = Echo::start().await;
    let configuration = json!({"discovery": {"cluster": "no_such_cluster"}});
    let setting = Setting::hosts([echo.address]).configuration(configuration);
    let stand = Stand::launch(setting).await.unwrap();
    let reply = stand
        .client(Protocol::Http1)
        .await
        .send(chat(whole(prompt("p", 100))))
        .await;
    assert_eq!(reply.status, 200);
    assert_eq!(
        stand
            .metrics()
            .count("plimsoll_decisions", "step=\"proxy\""),
        1.0
    );
    stand.assert_sound();
}

/// The engines tell nothing and nothing is in flight: hosts are chosen by the prompt's hash.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn engines_without_metrics_are_served() {
    let engines = Engines::start(3, 50).await;
    let configuration = json!({"poll": {"path": "/no-metrics-here"}});
    let setting = Setting::hosts(engines.addresses.clone()).configuration(configuration);
    let stand = Stand::launch(setting).await.unwrap();
    let mut client = stand.client(Protocol::Http1).await;
    let blind = || {
        let metrics = stand.metrics();
        metrics.count("plimsoll_decisions", "step=\"hash\"")
            + metrics.count("plimsoll_decisions", "step=\"local\"")
    };
    let before = until("the worker to know its hosts", async || {
        assert_eq!(
            client.send(chat(whole(prompt("early", 100)))).await.status,
            200
        );
        Some(blind()).filter(|decided| *decided > 0.0)
    })
    .await;
    let mut served = std::collections::BTreeSet::new();
    for index in 0..30 {
        let reply = client
            .send(chat(whole(prompt(&format!("hash {index}"), 2_000))))
            .await;
        assert_eq!(reply.status, 200);
        served.insert(reply.served_by().to_owned());
    }
    assert!(served.len() > 1, "{served:?}");
    assert_eq!(blind() - before, 30.0);
    let metrics = stand.metrics();
    assert!(metrics.count("plimsoll_polls", "result=\"error\"") > 0.0);
}
