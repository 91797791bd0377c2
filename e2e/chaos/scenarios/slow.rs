//! One engine of eight becomes five times slower.

use std::time::Duration;

use plimsoll_e2e::Figure;
use serde_json::json;

use crate::report::Report;
use crate::stage::Stage;

const SLOW: usize = 5;
const FACTOR: f64 = 5.0;

/// One play in eight misses on an otherwise sound build (its speed is learned too late, and the few requests that it has are the slowest
/// hundredth), so a miss is told and played once more.
pub(crate) async fn play() -> Report {
    let first = once().await;
    if first.pass() {
        return first;
    }
    first.print();
    let mut second = once().await;
    second
        .figures
        .push(Figure::told("played twice: the first play missed", 1, ""));
    second
}

async fn once() -> Report {
    let stage = Stage::new(8, json!({})).await;
    let load = stage.load(0.6).start();
    let healthy_from = load.run(Duration::from_secs(2)).await;
    load.run(Duration::from_secs(6)).await;
    let fault = json!({"kind": "slow", "factor": FACTOR});
    stage.fleet.fault(SLOW, fault).await;
    let slow_from = load.elapsed();
    // Its speed is learned from its answers, which have become late and few.
    let learnt = load.run(Duration::from_secs(12)).await;
    let before = busy(&stage).await;
    load.run(Duration::from_secs(8)).await;
    let after = busy(&stage).await;
    let tally = load.stop().await;

    let healthy = tally.between(healthy_from, slow_from);
    let slowed = tally.between(learnt, Duration::MAX);
    let p99 = |tally: &plimsoll_e2e::Tally| tally.ttft(0.99).as_secs_f64() * 1000.0;
    let work: Vec<f64> = before.iter().zip(&after).map(|(a, b)| b - a).collect();
    let mine = work[SLOW] * FACTOR;
    let others = (work.iter().sum::<f64>() - work[SLOW]) / 7.0;
    let mut figures = stage.account(&tally).await;
    figures.extend([
        Figure::told("p99 TTFT, all healthy", p99(&healthy), "ms"),
        Figure::told(
            "p99 TTFT, in the 12 s in which its speed is learned",
            p99(&tally.between(slow_from, learnt)),
            "ms",
        ),
        Figure::at_most(
            "p99 TTFT after that, of the healthy fleet's",
            p99(&slowed) / p99(&healthy),
            1.5,
            "x",
        )
        .unless_late(stage.fleet.late().await),
        Figure::at_most(
            "its share of the requests, of an eighth",
            slowed.served_share(stage.host(SLOW)) * 8.0,
            0.5,
            "",
        ),
        Figure::at_most("its busy time, of the others' mean", mine / others, 1.5, ""),
        Figure::at_least("its busy time, of the others' mean", mine / others, 0.1, ""),
    ]);
    Report::new("slow", tally, figures)
}

/// Time that each engine has spent working, in microseconds of a healthy one.
async fn busy(stage: &Stage) -> Vec<f64> {
    let mut busy = Vec::new();
    for index in 0..stage.fleet.len() {
        let state = stage.fleet.state(index).await.unwrap_or_default();
        busy.push(state["busy_us"].as_f64().unwrap_or_default());
    }
    busy
}
