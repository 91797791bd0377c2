//! One engine of eight freezes: its sockets stay open, nothing answers, its health check neither.

use std::time::Duration;

use plimsoll_e2e::Figure;
use serde_json::json;

use crate::report::Report;
use crate::scenarios::kill::off_after;
use crate::stage::Stage;

const WEDGED: usize = 1;

pub(crate) async fn play() -> Report {
    let stage = Stage::new(8, json!({})).await;
    let host = stage.host(WEDGED);
    let load = stage.load(0.5).start();
    load.run(Duration::from_secs(2)).await;
    stage.fleet.freeze(WEDGED);
    let frozen = load.elapsed();
    let end = load.run(Duration::from_secs(9)).await;
    let tally = load.stop().await;
    stage.fleet.thaw(WEDGED);

    let during = tally.between(frozen, end);
    let off = off_after(&during, host).saturating_sub(frozen);
    let longest = during
        .records
        .iter()
        .map(|record| record.end.saturating_sub(record.at))
        .max()
        .unwrap_or_default();
    let mut figures = stage.account(&tally).await;
    figures.extend([
        Figure::at_most(
            "traffic is off the frozen host after",
            off.as_secs_f64() * 1000.0,
            6000,
            "ms",
        ),
        Figure::at_most("longest request", longest.as_secs_f64(), 15, "s"),
    ]);
    Report::new("hang", tally, figures)
}
