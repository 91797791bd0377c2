//! What an operator sees at `/stats/prometheus`.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};

use plimsoll_e2e::{Engines, Protocol, Setting, Stand, chat, root, until, whole};
use serde_json::json;

use crate::pick::{prompt, ranked};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn decisions_times_and_the_ladder_are_visible() {
    let engines = Engines::start(2, 50).await;
    let stand = Stand::start(Setting::hosts(engines.addresses.clone())).await;
    let mut client = stand.client(Protocol::Http1).await;
    let mut served = BTreeSet::new();
    for index in 0..10 {
        let body = prompt(&format!("m{}", index % 2), 20_000).replacen(
            '{',
            r#"{"stream":true,"stream_options":{"include_usage":true},"#,
            1,
        );
        let reply = client.send(chat(whole(body))).await;
        assert_eq!(reply.status, 200);
        served.insert(reply.served_by().to_owned());
    }
    stand.until_counted("plimsoll_requests", 10.0).await;
    stand.released().await;
    until("every answer to be accounted for", async || {
        (stand.metrics().count("plimsoll_completion_tokens", "") >= 40.0).then_some(())
    })
    .await;
    // Every step of the ladder has its series from the start, used or not.
    let metrics = stand.metrics();
    for step in ["full", "local", "hash", "proxy"] {
        let label = format!("step=\"{step}\"");
        assert!(
            metrics.sum("plimsoll_decisions", &label).is_some(),
            "{step}:\n{}",
            metrics.text()
        );
    }
    assert_eq!(metrics.count("plimsoll_decisions", "step=\"full\""), 10.0);
    assert_eq!(metrics.count("plimsoll_hosts", ""), 2.0);
    for host in &served {
        let label = format!("host=\"{host}\"");
        assert!(
            metrics.sum("plimsoll_host_picks", &label).is_some(),
            "{host}"
        );
        assert_eq!(
            metrics.sum("plimsoll_inflight", &label),
            Some(0.0),
            "{host}"
        );
    }
    assert!(metrics.count("plimsoll_polls", "result=\"ok\"") > 0.0);
    assert!(metrics.count("plimsoll_snapshots", "result=\"applied\"") > 0.0);
    assert!(metrics.count("plimsoll_config", "result=\"accepted\"") > 0.0);
    assert!(metrics.count("plimsoll_prompt_tokens", "") >= 10.0 * 4_000.0);
    assert!(metrics.count("plimsoll_cached_tokens", "") > 0.0);
    // Histograms are merged every few seconds.
    for name in ["plimsoll_ttft_us", "plimsoll_e2e_us"] {
        until(name, async || {
            (stand.metrics().count(&format!("{name}_count"), "") == 10.0).then_some(())
        })
        .await;
    }
    // One decision in sixteen is measured, the first of each worker among them.
    let metrics = stand.metrics();
    let measured = metrics.count("plimsoll_decision_ns_count", "");
    assert!((1.0..10.0).contains(&measured), "{measured}");
    assert_eq!(
        metrics.count("plimsoll_decision_ns_bucket", "le=\"10000000\""),
        measured
    );
    assert!(metrics.count("plimsoll_ttft_us_sum", "") > 0.0);
    if root().join(".tools/bin/promtool").exists() {
        assert!(promtool_reads(metrics.text()));
        assert!(!promtool_reads("plimsoll_hosts{ 2"));
    } else {
        println!("SKIPPED: promtool is not installed; run `cargo xtask setup --promtool`");
    }
}

/// Whether Prometheus' own parser takes the page. What promtool thinks of the names is not asked: they are as Envoy makes them.
fn promtool_reads(page: &str) -> bool {
    let mut promtool = Command::new(root().join(".tools/bin/promtool"))
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // It stops reading where it cannot go on.
    let _ = promtool.stdin.take().unwrap().write_all(page.as_bytes());
    // 1 is a page that cannot be parsed, 3 one whose names it would choose otherwise.
    matches!(promtool.wait().unwrap().code(), Some(0 | 3))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_access_log_carries_every_decision() {
    let engines = Engines::start(2, 50).await;
    let setting = Setting {
        access_log: true,
        ..Setting::hosts(engines.addresses.clone())
    };
    let stand = Stand::start(setting.configuration(json!({"access_log": true}))).await;
    let mut client = stand.client(Protocol::Http1).await;
    let mut served = Vec::new();
    for index in 0..4 {
        let reply = client
            .send(chat(whole(prompt(&format!("log {index}"), 2_000))))
            .await;
        served.push(reply.served_by().to_owned());
    }
    // Envoy writes its log in batches.
    let lines = until("four lines of access log", async || {
        let lines = stand.access_log();
        (lines.len() == 4).then_some(lines)
    })
    .await;
    for (line, host) in lines.iter().zip(&served) {
        assert_eq!(line["status"], 200);
        assert_eq!(line["host"], host.as_str());
        let decision = line["decision"]
            .as_str()
            .unwrap_or_else(|| panic!("no decision: {line}"));
        assert_eq!(&ranked(decision)[0], host);
    }
}
