//! Two Envoys in front of the same engines, and one of them is cut off from the engines' metrics.

use std::time::Duration;

use plimsoll_e2e::{Figure, Stand, Tally};
use serde_json::json;

use crate::report::Report;
use crate::stage::{fleet, load, lost, setting, unaccounted};

pub(crate) async fn play() -> Report {
    let fleet = fleet(8).await;
    let informed = Stand::start(setting(&fleet, json!({}))).await;
    let blind = Stand::start(setting(
        &fleet,
        json!({"poll": {"path": "/metrics?from=blind"}}),
    ))
    .await;
    let load = load([informed.address(), blind.address()], 8, 0.6).start();
    load.run(Duration::from_secs(3)).await;
    for index in 0..fleet.len() {
        let cut = json!({"kind": "hang", "path": "/metrics?from=blind"});
        fleet.fault(index, cut).await;
    }
    // Until its facts are stale and its polls have run into their time limit.
    let cut = load.run(Duration::from_secs(4)).await;
    load.run(Duration::from_secs(6)).await;
    let tally = load.stop().await;

    let after = tally.between(cut, Duration::MAX);
    let (seeing, blinded) = (after.of_target(0), after.of_target(1));
    let p99 = |tally: &Tally| tally.ttft(0.99).as_secs_f64() * 1000.0;
    let busiest = fleet
        .addresses
        .iter()
        .map(|host| blinded.served_share(*host) * 8.0)
        .fold(0.0, f64::max);
    let step = |step: &str| {
        blind
            .metrics()
            .count("plimsoll_decisions", &format!("step=\"{step}\""))
    };
    let figures = vec![
        lost(&tally),
        unaccounted(&[&informed, &blind], &fleet, &tally).await,
        Figure::at_least(
            "blind proxy: decisions without the engines' facts",
            step("local"),
            100,
            "",
        ),
        Figure::at_most("blind proxy: busiest host, of an eighth", busiest, 2, "x"),
        Figure::at_most(
            "p99 TTFT of the blind one, of the other's",
            p99(&blinded) / p99(&seeing),
            2,
            "x",
        )
        .unless_late(fleet.late().await),
        Figure::told("p99 TTFT of the one that sees", p99(&seeing), "ms"),
    ];
    Report::new("two_proxies", tally, figures)
}
