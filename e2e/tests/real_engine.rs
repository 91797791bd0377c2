//! Three instances of a real engine: llama.cpp's own server, continuous batching and prefix cache.

use std::collections::BTreeSet;

use plimsoll_e2e::{LlamaCpp, Protocol, Reply, Setting, Stand, chat, until, whole};
use serde_json::{Value, json};

/// One turn of a conversation: a long system prompt that names its owner, then a question.
fn turn(owner: &str, question: &str) -> String {
    let rules = format!(
        "You serve {owner}. {}",
        "Answer briefly and politely. ".repeat(60)
    );
    json!({
        "model": "tiny", "stream": true, "stream_options": {"include_usage": true},
        "max_tokens": 8, "temperature": 0, "cache_prompt": true,
        "messages": [{"role": "system", "content": rules}, {"role": "user", "content": question}],
    })
    .to_string()
}

fn events(reply: &Reply) -> Vec<Value> {
    String::from_utf8_lossy(&reply.body)
        .lines()
        .filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok())
        .collect()
}

fn usage(reply: &Reply) -> (u64, u64) {
    let events = events(reply);
    let usage = &events.last().expect("events")["usage"];
    let field = |value: &Value| {
        value
            .as_u64()
            .unwrap_or_else(|| panic!("no usage in {events:?}"))
    };
    (
        field(&usage["prompt_tokens"]),
        field(&usage["prompt_tokens_details"]["cached_tokens"]),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prefixes_are_found_again_in_llama_cpp() {
    if !LlamaCpp::installed() {
        println!(
            "SKIPPED: the real engine is not installed; run `cargo xtask setup --real-engine`"
        );
        return;
    }
    let engines = [
        LlamaCpp::start().await,
        LlamaCpp::start().await,
        LlamaCpp::start().await,
    ];
    let setting = Setting::hosts(engines.iter().map(|engine| engine.address));
    let stand = Stand::start(setting.configuration(json!({"explain": true}))).await;
    let mut client = stand.client(Protocol::Http1).await;
    let mut hosts = BTreeSet::new();
    for owner in ["Ada", "Barbara", "Grace", "Edsger", "Tony", "Niklaus"] {
        let mut home = None;
        for (number, question) in ["Who?", "Where is it?", "When was that?"]
            .iter()
            .enumerate()
        {
            let mut request = chat(whole(turn(owner, question)));
            request
                .headers_mut()
                .insert("x-plimsoll-explain", "1".parse().unwrap());
            let reply = client.send(request).await;
            assert_eq!(reply.status, 200);
            assert!(reply.body.ends_with(b"data: [DONE]\n\n"));
            let contents = events(&reply)
                .iter()
                .filter(|event| event["choices"][0]["delta"]["content"].is_string())
                .count();
            assert!(contents >= 1, "it streams: {:?}", reply.body);
            let decision = reply.header("x-plimsoll-decision");
            let chosen = crate::pick::ranked(decision).remove(0);
            let (prompt, cached) = usage(&reply);
            assert!(prompt > 1_000, "{prompt} prompt tokens");
            if number == 0 {
                hosts.insert(chosen.clone());
            } else {
                assert_eq!(
                    Some(&chosen),
                    home.as_ref(),
                    "{owner} has moved: {decision}"
                );
                assert!(
                    cached * 10 > prompt * 8,
                    "{owner}: {cached} of {prompt} tokens cached: {decision}"
                );
            }
            home = Some(chosen);
            for engine in &engines {
                engine.idle().await;
            }
            // Both workers have heard of it: two snapshots each, since the one under way may be of polls before.
            let applied = || {
                let metrics = stand.metrics();
                metrics.count("plimsoll_snapshots", "result=\"applied\"")
            };
            let before = applied();
            until("the workers to know the engines idle", async || {
                (applied() >= before + 4.0).then_some(())
            })
            .await;
        }
    }
    assert!(hosts.len() > 1, "six owners on {hosts:?}");
    stand.until_counted("plimsoll_requests", 18.0).await;
    until("the engines' hits to be counted", async || {
        (stand.metrics().count("plimsoll_cached_tokens", "") > 10_000.0).then_some(())
    })
    .await;
    stand.assert_sound();
}
