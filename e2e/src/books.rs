//! Thousands of requests of which some fail, some are cut, some are refused and some are given up by their clients: at the end nothing is reserved.

use std::time::Duration;

use serde_json::json;

use crate::figure::Figure;
use crate::fleet::Fleet;
use crate::load::{Fate, Load, Record, Tally};
use crate::stand::{Setting, Stand};
use crate::wait::until;

/// Requests a second, all kinds together.
const RATE: f64 = 400.0;
const WORKERS: u32 = 2;
/// Tokens a minute of the tenant that wants more, and its place among the loads.
const BUDGET: u32 = 60_000;
/// See [`BUDGET`].
const POOR: usize = 2;
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
        concurrency: WORKERS,
        ..Setting::hosts(fleet.addresses.clone()).configuration(json!({
            "tiers": [{"name": "gold", "max_wait_ms": 1000}, {"name": "free", "ceiling": 0.7, "max_wait_ms": 500}],
            "tenants": [
                {"name": "steady", "tier": "gold", "tokens_per_minute": 100_000_000},
                {"name": "hasty", "tier": "free", "tokens_per_minute": 100_000_000},
                {"name": "poor", "tier": "free", "tokens_per_minute": BUDGET},
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
    let time = loads[POOR].elapsed();
    let mut all = Tally::default();
    let mut beyond = 0.0;
    for (place, load) in loads.into_iter().enumerate() {
        let tally = load.stop().await;
        if place == POOR {
            beyond = beyond_budget(&tally, time);
        }
        all.extend(tally);
    }
    let open = || {
        let metrics = stand.metrics();
        let gauges = [
            "plimsoll_reserved_tokens",
            "plimsoll_queued",
            "plimsoll_inflight",
        ];
        let counted = metrics.count("plimsoll_requests", "");
        (gauges.map(|name| metrics.count(name, "")), counted)
    };
    // Workers hand on what they have counted with their ticks: a request refused at once is counted when no gauge shows it any more.
    let settled = until("the books to be settled", async || {
        (open() == ([0.0; 3], all.sent() as f64)).then_some(())
    });
    // What is not settled in time is told by the figures.
    let _ = tokio::time::timeout(PATIENCE, settled).await;
    let ([reserved, queued, inflight], counted) = open();
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
        Figure::at_most(
            "tokens of a tenant beyond its budget, in its largest requests",
            beyond,
            WORKERS,
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

/// By how many of its largest requests a tenant got more than its budget of so much `time` and of the minute that it begins with.
fn beyond_budget(tally: &Tally, time: Duration) -> f64 {
    let tokens = |record: &Record| record.prompt_tokens + record.output_tokens;
    let served = tally
        .records
        .iter()
        .filter(|record| record.fate == Fate::Whole);
    let used: u64 = served.clone().map(tokens).sum();
    let largest = served.map(tokens).max().unwrap_or(1);
    let budget = f64::from(BUDGET) * (1.0 + time.as_secs_f64() / 60.0);
    ((used as f64 - budget) / largest as f64).max(0.0)
}
