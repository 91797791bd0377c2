//! The host that the module names is the host that serves.

use std::collections::BTreeSet;

use plimsoll_e2e::{Engines, Protocol, Setting, Stand, chat, whole};
use serde_json::json;

/// A prompt of about `bytes` bytes that begins with `name`.
pub(crate) fn prompt(name: &str, bytes: usize) -> String {
    let text = format!(
        "{name} {}",
        "once upon a time there was a ship; ".repeat(bytes / 35)
    );
    json!({"model": "m", "max_tokens": 4, "messages": [{"role": "user", "content": text}]})
        .to_string()
}

/// The ranked hosts of an explained decision: `… host0=ip:port(terms) host1=ip:port(terms) …`.
pub(crate) fn ranked(decision: &str) -> Vec<String> {
    let hosts: Vec<String> = decision
        .split(' ')
        .filter_map(|field| field.strip_prefix("host")?.split_once('='))
        .filter_map(|(_, host)| Some(host.split_once('(')?.0.to_owned()))
        .collect();
    assert!(
        !hosts.is_empty(),
        "x-plimsoll-decision names no host: {decision:?}"
    );
    hosts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_of_the_list_serves() {
    let engines = Engines::start(4, 50).await;
    let setting = Setting {
        concurrency: 2,
        ..Setting::hosts(engines.addresses.clone())
    };
    let stand = Stand::start(setting.configuration(json!({"explain": true}))).await;
    let mut served = BTreeSet::new();
    for index in 0..40 {
        // A connection each: both workers get some.
        let mut request = chat(whole(prompt(&format!("story {index}"), 3_000)));
        request
            .headers_mut()
            .insert("x-plimsoll-explain", "1".parse().unwrap());
        let reply = stand.client(Protocol::Http1).await.send(request).await;
        assert_eq!(reply.status, 200);
        let ranked = ranked(reply.header("x-plimsoll-decision"));
        assert_eq!(ranked[0], reply.served_by());
        assert_eq!(ranked.len(), 3);
        served.insert(reply.served_by().to_owned());
    }
    assert_eq!(
        served.len(),
        4,
        "40 different prompts use all hosts: {served:?}"
    );
    stand.until_counted("plimsoll_host_picks", 40.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_prompt_goes_to_the_same_host() {
    let engines = Engines::start(4, 50).await;
    let stand = Stand::start(Setting::hosts(engines.addresses.clone())).await;
    let mut client = stand.client(Protocol::Http1).await;
    let first = client.send(chat(whole(prompt("alpha", 40_000)))).await;
    for _ in 0..5 {
        let again = client.send(chat(whole(prompt("alpha", 40_000)))).await;
        assert_eq!(again.served_by(), first.served_by());
        let cached = &again.json()["usage"]["prompt_tokens_details"]["cached_tokens"];
        assert!(
            cached.as_u64().unwrap_or(0) > 5_000,
            "the engine's cache is used: {cached}"
        );
    }
}

/// Without the header, and without `explain` in the configuration, nothing is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn decisions_are_explained_only_when_allowed() {
    let engines = Engines::start(2, 50).await;
    let stand = Stand::start(Setting::hosts(engines.addresses.clone())).await;
    let mut request = chat(whole(prompt("x", 100)));
    request
        .headers_mut()
        .insert("x-plimsoll-explain", "1".parse().unwrap());
    let reply = stand.client(Protocol::Http1).await.send(request).await;
    assert_eq!(reply.header("x-plimsoll-decision"), "");
}
