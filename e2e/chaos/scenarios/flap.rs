//! One engine of eight dies and comes back, again and again.

use std::time::Duration;

use plimsoll_e2e::Figure;
use serde_json::json;

use crate::report::Report;
use crate::stage::Stage;

const FLAPPING: usize = 4;
const TIMES: u32 = 5;

pub(crate) async fn play() -> Report {
    let mut stage = Stage::new(8, json!({})).await;
    let load = stage.load(0.6).start();
    load.run(Duration::from_secs(2)).await;
    for _ in 0..TIMES {
        stage.fleet.kill(FLAPPING);
        load.run(Duration::from_millis(700)).await;
        stage.fleet.restart(FLAPPING).await;
        load.run(Duration::from_millis(700)).await;
    }
    load.run(Duration::from_secs(1)).await;
    let tally = load.stop().await;
    let cut = tally.sent() - tally.ok() - tally.failed_before_first_byte();
    let mut figures = stage.account(&tally).await;
    figures.push(Figure::told(
        "streams cut, of those that its deaths could reach",
        cut as f64,
        "",
    ));
    Report::new("flap", tally, figures)
}
