//! `kill -9` of one of eight engines under load, and its return.

use std::time::Duration;

use serde_json::json;

use crate::report::{Figure, Report};
use crate::stage::Stage;

const VICTIM: usize = 3;

pub(crate) async fn play() -> Report {
    let mut stage = Stage::new(8, json!({})).await;
    let host = stage.host(VICTIM);
    let load = stage.load(0.6).start();
    load.run(Duration::from_secs(3)).await;
    stage.fleet.kill(VICTIM);
    let killed = load.elapsed();
    let before_return = load.run(Duration::from_secs(4)).await;
    stage.fleet.restart(VICTIM).await;
    let back = load.elapsed();
    let ramp = Duration::from_secs(5);
    load.run(ramp + Duration::from_secs(4)).await;
    let tally = load.stop().await;

    let off = off_after(&tally.between(killed, before_return), host).saturating_sub(killed);
    let full = tally.between(back + ramp, Duration::MAX).served_share(host) * 8.0;
    let mut figures = stage.account(&tally).await;
    figures.extend([
        Figure::at_most(
            "traffic is off the dead host after",
            off.as_secs_f64() * 1000.0,
            1000,
            "ms",
        ),
        Figure::at_least("share after the ramp, of an eighth", full, 0.7, ""),
    ]);
    Report::new("kill", tally, figures)
}

/// The moment after which the host is the first choice of under one request in a hundred: what is left are probes.
pub(crate) fn off_after(tally: &plimsoll_e2e::Tally, host: std::net::SocketAddr) -> Duration {
    let records = &tally.records;
    let (mut chosen, mut all) = (0.0, 0.0);
    let mut off = records.first().map_or(Duration::ZERO, |record| record.at);
    // From the end backwards: the first moment from which the share on to the end is too large.
    for record in records.iter().rev() {
        all += 1.0;
        if record.first_choice == Some(host) {
            chosen += 1.0;
            if chosen > 0.01 * all && chosen > 1.0 {
                off = off.max(record.at);
            }
        }
    }
    off
}
