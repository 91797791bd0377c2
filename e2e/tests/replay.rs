//! Decisions that the real Envoy has recorded, made again by `plimsoll-sim replay`.

use std::path::Path;
use std::process::Command;

use plimsoll_e2e::{Engines, Protocol, Setting, Stand, chat, sim, until, whole};
use serde_json::{Value, json};

use crate::pick::{prompt, ranked};

/// What `plimsoll-sim replay` counts in a file.
fn replay(stand: &Stand, file: &Path, more: &[&str]) -> Value {
    let counts = stand.path().join("replay.json");
    let output = Command::new(sim())
        .arg("replay")
        .arg(file)
        .arg("--json")
        .arg(&counts)
        .args(more)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    serde_json::from_slice(&std::fs::read(counts).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_envoy_recorded_is_decided_again_bit_by_bit() {
    const REQUESTS: usize = 60;
    let engines = Engines::start(4, 50).await;
    let setting = Setting {
        access_log: true,
        concurrency: 2,
        ..Setting::hosts(engines.addresses.clone())
    };
    let configuration = json!({
        "record": {"every": 1, "filter_state": true},
        "shadow": {"enabled": true, "policy": "power_of_two"},
    });
    let stand = Stand::start(setting.configuration(configuration)).await;
    let mut clients = Vec::new();
    for client in 0..4 {
        let mut connection = stand.client(Protocol::Http1).await;
        clients.push(tokio::spawn(async move {
            for index in 0..REQUESTS / 4 {
                let body = prompt(&format!("{}", (client + index) % 7), 2_000 + index * 500);
                assert_eq!(connection.send(chat(whole(body))).await.status, 200);
            }
        }));
    }
    for client in clients {
        client.await.unwrap();
    }
    // Envoy writes its logs in batches.
    let lines = until("the access log", async || {
        let lines = stand.access_log();
        (lines.len() == REQUESTS).then_some(lines)
    })
    .await;
    // The configuration does not say so: the access log alone turns decisions on.
    for line in &lines {
        let decision = line["decision"].as_str().unwrap();
        assert_eq!(ranked(decision)[0], line["host"].as_str().unwrap());
        for part in [
            "policy=plimsoll",
            " step=",
            " margin=",
            " shadow=",
            " snapshot_age=",
            " config=",
        ] {
            assert!(decision.contains(part), "{part}: {decision}");
        }
    }
    let log = stand.path().join("envoy.txt");
    until("the records in Envoy's log", async || {
        std::fs::write(&log, stand.log()).unwrap();
        (stand.log().matches("plimsoll-record ").count() == REQUESTS).then_some(())
    })
    .await;
    for file in [&log, &stand.path().join("access.log")] {
        let counts = replay(&stand, file, &["--policy", "round_robin"]);
        assert_eq!(counts["records"], REQUESTS, "{counts}");
        assert_eq!(counts["identical"], REQUESTS, "{counts}");
        let under = &counts["under"];
        assert!(under["disagreed"].as_u64().unwrap() > 0, "{counts}");
    }
    stand
        .until_counted("plimsoll_host_picks", REQUESTS as f64)
        .await;
    let metrics = stand.metrics();
    let shadow =
        ["agreed", "disagreed"].map(|which| metrics.count(&format!("plimsoll_shadow_{which}"), ""));
    assert_eq!(shadow[0] + shadow[1], REQUESTS as f64);
    stand.assert_sound();
}
