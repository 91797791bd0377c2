//! One engine of eight falls silent in the middle of its streams, and goes on much later.

use std::time::Duration;

use plimsoll_e2e::Figure;
use serde_json::json;

use crate::report::Report;
use crate::scenarios::kill::off_after;
use crate::stage::Stage;

const SILENT: usize = 6;

pub(crate) async fn play() -> Report {
    let stage = Stage::new(8, json!({})).await;
    let host = stage.host(SILENT);
    let load = stage.load(0.5).start();
    load.run(Duration::from_secs(3)).await;
    let fault = json!({"kind": "stall"});
    stage.fleet.fault(SILENT, fault).await;
    let silent = load.elapsed();
    let end = load.run(Duration::from_secs(6)).await;
    stage.fleet.heal(SILENT).await;
    let tally = load.stop().await;

    let during = tally.between(silent, end);
    let off = off_after(&during, host).saturating_sub(silent);
    let probes = during.records.iter().filter(|record| record.probe).count();
    let mut figures = stage.account(&tally).await;
    figures.extend([
        Figure::at_most(
            "traffic is off the silent host after",
            off.as_secs_f64() * 1000.0,
            3000,
            "ms",
        ),
        // Each costs its client the wait for `first_token_ms`, so there must be few.
        Figure::at_most(
            "requests that try whether it is back, of all",
            100.0 * probes as f64 / during.sent() as f64,
            2,
            "%",
        ),
        // `first_token_ms` is 2 s here, and what is predicted may be more.
        Figure::at_most(
            "longest wait for a first token",
            during.ttft(1.0).as_secs_f64(),
            8,
            "s",
        ),
    ]);
    Report::new("stall", tally, figures)
}
