//! When the first choice is down, the second serves.

use plimsoll_e2e::{Engines, Fleet, Protocol, Setting, Stand, chat, whole};
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

/// What a streaming client sends. A prompt of 40,000 words takes an engine at its real speed two seconds to read.
fn stream(name: &str, words: usize) -> String {
    let text = format!("{name} {}", "word ".repeat(words));
    json!({"model": "m", "stream": true, "max_tokens": 4, "messages": [{"role": "user", "content": text}]})
        .to_string()
}

/// The index of the engine that has a request.
async fn busy(fleet: &Fleet) -> usize {
    plimsoll_e2e::until("an engine to have the request", async || {
        for index in 0..fleet.len() {
            let state = fleet.state(index).await?;
            if state["running"].as_u64() > Some(0) {
                return Some(index);
            }
        }
        None
    })
    .await
}

/// The engine has sent the head of its answer and dies during the prefill: the gate still holds the head.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_dies_between_head_and_first_token_costs_no_request() {
    let mut fleet = Fleet::start(2, "h200", 1).await;
    let stand = Stand::start(Setting::hosts(fleet.addresses.clone())).await;
    let mut client = stand.client(Protocol::Http1).await;
    let asking =
        tokio::spawn(async move { client.send(chat(whole(stream("delta", 40_000)))).await });
    let first = busy(&fleet).await;
    fleet.kill(first);
    let reply = asking.await.unwrap();
    assert_eq!(reply.status, 200);
    assert_eq!(reply.served_by(), fleet.addresses[1 - first].to_string());
    assert!(reply.body.ends_with(b"data: [DONE]\n\n"));
    stand.released().await;
}

/// The engine takes the request and says nothing: after `first_token_ms` the next host gets it as well, and answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_hangs_costs_no_streamed_request() {
    let fleet = Fleet::start(2, "h200", 10).await;
    let setting = Setting::hosts(fleet.addresses.clone());
    let stand = Stand::start(setting.configuration(json!({"first_token_ms": 300}))).await;
    let mut client = stand.client(Protocol::Http1).await;
    let home = client.send(chat(whole(stream("epsilon", 400)))).await;
    let home = fleet
        .addresses
        .iter()
        .position(|host| host.to_string() == home.served_by())
        .unwrap();
    fleet.freeze(home);
    let reply = client.send(chat(whole(stream("epsilon", 400)))).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.served_by(), fleet.addresses[1 - home].to_string());
    assert!(reply.body.ends_with(b"data: [DONE]\n\n"));
    assert_eq!(stand.stat("cluster.pool.upstream_rq_retry"), 1);
    fleet.thaw(home);
    stand.released().await;
}
