use std::time::Duration;

use super::*;
use crate::engine::Gpu;
use crate::server::{self, Engines};
use crate::trace::{Agents, set_rate};

fn config(engines: &Engines, speedup: f64) -> Config {
    let addresses: Vec<String> = engines
        .addresses()
        .iter()
        .map(ToString::to_string)
        .collect();
    Config {
        targets: addresses.clone(),
        engines: addresses,
        model: "m".to_owned(),
        speedup,
        warmup: 20,
        timeout: Duration::from_secs(600),
        name: "direct".to_owned(),
        quiet: true,
    }
}

#[tokio::test]
async fn a_replay_counts_tokens_hits_and_hosts() {
    let speedup = 50.0;
    let fleet = vec![Gpu::H200; 2];
    let engines = Engines::start(server::Config {
        fleet,
        speedup,
        ..Default::default()
    })
    .await
    .unwrap();
    let agents = Agents {
        prompts: 3,
        output_tokens: 20.0,
        ..Agents::default()
    };
    let mut rows = agents.rows(120, 10.0, 1);
    set_rate(&mut rows, 10.0);
    let output: u64 = rows[20..]
        .iter()
        .map(|row| u64::from(row.output_tokens))
        .sum();
    let report = replay(&config(&engines, speedup), rows).await;
    assert_eq!(
        (report.requests, report.ok, report.errors),
        (100, 100, 0),
        "{:?}",
        report.error_reasons
    );
    let rate = report.requests_per_s;
    assert!((report.output_tokens_per_s / rate - output as f64 / 100.0).abs() < 1e-6);
    assert!(report.cache_hit_ratio > 0.5, "{}", report.cache_hit_ratio);
    assert_eq!(report.host_requests.values().sum::<u64>(), 100);
    assert_eq!(report.host_requests.len(), 2);
    assert!(report.e2e_ms.p50 >= report.ttft_ms.p50 && report.ttft_ms.p50 > 6.75);
}

#[tokio::test]
async fn errors_are_counted_with_their_reasons() {
    let engines = Engines::start(server::Config {
        speedup: 50.0,
        ..Default::default()
    })
    .await
    .unwrap();
    let mut config = config(&engines, 50.0);
    config.warmup = 0;
    drop(engines);
    tokio::task::yield_now().await;
    let rows = Agents::default().rows(5, 100.0, 1);
    let report = replay(&config, rows).await;
    assert_eq!((report.ok, report.errors), (0, 5));
    assert!(
        report
            .error_reasons
            .keys()
            .all(|reason| reason.starts_with("connect")),
        "{:?}",
        report.error_reasons
    );
    assert_eq!(report.goodput, 0.0);
}
