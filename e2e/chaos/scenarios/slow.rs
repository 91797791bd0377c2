//! One engine of eight becomes five times slower.

use std::time::Duration;

use plimsoll_e2e::{Figure, Load, Tally};
use serde_json::json;

use crate::report::Report;
use crate::stage::Stage;

const SLOW: usize = 5;
const FACTOR: f64 = 5.0;
/// Share of the fleet's capacity.
const SHARE: f64 = 0.6;

pub(crate) async fn play() -> Report {
    let stage = Stage::new(8, json!({})).await;
    let (mut tally, healthy) = measure(&stage).await;
    let fault = json!({"kind": "slow", "factor": FACTOR});
    stage.fleet.fault(SLOW, fault).await;
    // Its speed is learned from its answers, which have become late and few.
    let load = Load {
        seed: 2,
        ..stage.load(SHARE)
    };
    let load = load.start();
    load.run(Duration::from_secs(6)).await;
    let learning = load.stop().await;
    let before = busy(&stage).await;
    let (whole, slowed) = measure(&stage).await;
    let after = busy(&stage).await;

    let p99 = |tally: &Tally| tally.ttft(0.99).as_secs_f64() * 1000.0;
    let work: Vec<f64> = before.iter().zip(&after).map(|(a, b)| b - a).collect();
    let mine = work[SLOW] * FACTOR;
    let others = (work.iter().sum::<f64>() - work[SLOW]) / 7.0;
    let learned_at = p99(&learning);
    tally.extend(learning);
    tally.extend(whole);
    let mut figures = stage.account(&tally).await;
    figures.extend([
        Figure::told(
            "requests measured before, and after",
            healthy.sent() as f64,
            "",
        ),
        Figure::told("p99 TTFT, all healthy", p99(&healthy), "ms"),
        Figure::told(
            "p99 TTFT, in the 6 s in which its speed is learned",
            learned_at,
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

/// Twelve seconds of load, the same gaps and lengths every time: all of its requests, and those after the first two seconds, in which the
/// fleet fills.
async fn measure(stage: &Stage) -> (Tally, Tally) {
    let load = stage.load(SHARE).start();
    let full = load.run(Duration::from_secs(2)).await;
    load.run(Duration::from_secs(10)).await;
    let tally = load.stop().await;
    let measured = tally.between(full, Duration::MAX);
    (tally, measured)
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
