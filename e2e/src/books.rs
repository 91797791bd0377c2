//! Thousands of requests of which some fail, some are cut, some are refused and some are given up by their clients: at the end nothing is reserved.

use std::time::Duration;

use serde_json::json;

use crate::figure::Figure;
use crate::fleet::Fleet;
use crate::load::{Load, Tally};
use crate::stand::{Setting, Stand};
use crate::wait::until;

/// Requests a second, all kinds together.
const RATE: f64 = 400.0;
/// Longest that the books may take to be settled when all has ended.
const PATIENCE: Duration = Duration::from_secs(10);

/// Sends about so many `requests`, and tells what is left over; zero, all of it.
///
/// # Panics
///
/// When engines or Envoy do not start.
pub async fn play(requests: u64) -> Vec<Figure> {
    let fleet = Fleet::start(4, "h200", 20).await;
    let stand = Stand::start(Setting {
        concurrency: 2,
        ..Setting::hosts(fleet.addresses.clone()).configuration(json!({
            "tiers": [{"name": "gold", "max_wait_ms": 1000}, {"name": "free", "ceiling": 0.7, "max_wait_ms": 500}],
            "tenants": [
                {"name": "steady", "tier": "gold", "tokens_per_minute": 100_000_000},
                {"name": "hasty", "tier": "free", "tokens_per_minute": 100_000_000},
                {"name": "poor", "tier": "free", "tokens_per_minute": 60_000},
                {"name": "narrow", "tier": "gold", "concurrent": 2},
            ],
            "identity": {"header": "x-tenant", "trusted_hops": ["127.0.0.0/8"]},
            "admission": {"full_requests": 12, "queue": 64},
        }))
    })
    .await;
    let loads = ["steady", "hasty", "poor", "narrow"].map(|tenant| {
        let load = Load {
            headers: vec![(
                "x-tenant".parse().expect("a name"),
                tenant.parse().expect("a value"),
            )],
            patience: match tenant {
                "hasty" => Duration::from_millis(12),
                _ => Duration::from_secs(20),
            },
            prompt_tokens: 300,
            seed: tenant.len() as u64,
            ..Load::on([stand.address()], RATE / 4.0)
        };
        load.start()
    });
    let part = Duration::from_secs_f64(requests as f64 / RATE / 5.0);
    tokio::time::sleep(part).await;
    fleet.fault(0, json!({"kind": "error500"})).await;
    fleet
        .fault(1, json!({"kind": "close", "after_tokens": 3}))
        .await;
    tokio::time::sleep(part).await;
    fleet.heal(0).await;
    let refuse = json!({"kind": "refuse", "for_ms": part.as_millis() as u64});
    fleet.fault(2, refuse).await;
    tokio::time::sleep(part).await;
    fleet.heal(1).await;
    fleet
        .fault(0, json!({"kind": "slow", "factor": 20.0}))
        .await;
    tokio::time::sleep(part).await;
    fleet.heal(0).await;
    tokio::time::sleep(part).await;
    let mut all = Tally::default();
    for load in loads {
        all.extend(load.stop().await);
    }
    let open = || {
        let metrics = stand.metrics();
        let gauges = [
            "plimsoll_reserved_tokens",
            "plimsoll_queued",
            "plimsoll_inflight",
        ];
        gauges.map(|name| metrics.count(name, ""))
    };
    let settled = until("the books to be settled", async || {
        (open() == [0.0; 3]).then_some(())
    });
    // What is not settled in time is told by the figures.
    let _ = tokio::time::timeout(PATIENCE, settled).await;
    let counted = stand.metrics().count("plimsoll_requests", "");
    let [reserved, queued, inflight] = open();
    stand.assert_sound();
    vec![
        Figure::at_least("requests", all.sent() as f64, requests as f64 * 0.9, ""),
        Figure::told(
            "of those, not served in full",
            (all.sent() - all.ok()) as f64,
            "",
        ),
        Figure::at_most(
            "tokens reserved minus settled, when all has ended",
            reserved.abs(),
            0,
            "",
        ),
        Figure::at_most("requests still waiting", queued.abs(), 0, ""),
        Figure::at_most("requests still in flight", inflight.abs(), 0, ""),
        Figure::at_most(
            "requests sent minus counted",
            (counted - all.sent() as f64).abs(),
            0,
            "",
        ),
    ]
}
