//! When the first choice is down, the second serves.

use plimsoll_e2e::{Engines, Protocol, Setting, Stand, chat, whole};
use serde_json::json;

use crate::pick::{prompt, ranked};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_first_choice_costs_no_request() {
    let engines = Engines::start(3, 50).await;
    let setting = Setting::hosts(engines.addresses.clone());
    let stand = Stand::start(setting.configuration(json!({"explain": true}))).await;
    let mut client = stand.client(Protocol::Http1).await;
    let explained = || {
        let mut request = chat(whole(prompt("beta", 20_000)));
        request
            .headers_mut()
            .insert("x-plimsoll-explain", "1".parse().unwrap());
        request
    };
    let home = client.send(explained()).await.served_by().to_owned();
    let down = home.parse().unwrap();
    engines.fault(down, &json!({"kind": "refuse"})).await;
    // The module cannot know yet: its own list still begins with the host that holds the prompt.
    let reply = client.send(explained()).await;
    assert_eq!(reply.status, 200);
    let ranked = ranked(reply.header("x-plimsoll-decision"));
    assert_eq!(
        ranked[0], home,
        "the request was sent before the death was known"
    );
    assert_eq!(reply.served_by(), ranked[1], "{ranked:?}");
    stand.until_counted("plimsoll_rebooked", 1.0).await;
    // Once Envoy's health check has seen it, the host is not named any more.
    plimsoll_e2e::until("the dead host to be left out", async || {
        let reply = client.send(explained()).await;
        assert_eq!(reply.status, 200);
        (!crate::pick::ranked(reply.header("x-plimsoll-decision")).contains(&home)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_dies_before_its_answer_costs_no_request() {
    let engines = Engines::start(2, 100).await;
    let stand = Stand::start(Setting::hosts(engines.addresses.clone())).await;
    let mut client = stand.client(Protocol::Http1).await;
    let home = client
        .send(chat(whole(prompt("gamma", 1_500_000))))
        .await
        .served_by()
        .to_owned();
    // The connection is cut before the response head; a prompt beyond the default buffer must be sent again.
    engines
        .fault(
            home.parse().unwrap(),
            &json!({"kind": "close", "after_tokens": 0}),
        )
        .await;
    let reply = client.send(chat(whole(prompt("gamma", 1_500_000)))).await;
    assert_eq!(reply.status, 200);
    assert_ne!(reply.served_by(), home);
}
