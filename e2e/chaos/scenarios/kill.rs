//! `kill -9` of one of eight engines under load, and its return.

use std::net::SocketAddr;
use std::time::Duration;

use plimsoll_e2e::{Figure, Tally};
use serde_json::{Value, json};

use crate::report::Report;
use crate::stage::{SLOW_START, Stage};

const VICTIM: usize = 3;

/// In the suite.
pub(crate) async fn play() -> Report {
    let (stage, tally, killed, back) = fall_and_rise(json!({}), SLOW_START * 3).await;
    let host = stage.host(VICTIM);
    let early = tally.between(back, back + SLOW_START / 4);
    let late = tally.between(back + SLOW_START * 2, Duration::MAX);
    let mut figures = stage.account(&tally).await;
    figures.extend([
        off(&tally, killed, back, host),
        Figure::at_most(
            "share in the first quarter of the ramp, of an eighth",
            share(&early, host),
            0.7,
            "",
        ),
        Figure::at_least(
            "share after twice the ramp, of an eighth",
            share(&late, host),
            0.6,
            "",
        ),
    ]);
    Report::new("kill", tally, figures)
}

/// With the default configuration, in real time.
pub(crate) async fn play_in_real_time() -> Report {
    let defaults = json!({"health": {}, "first_token_ms": 10_000});
    let (stage, tally, killed, back) = fall_and_rise(defaults, Duration::from_secs(80)).await;
    let host = stage.host(VICTIM);
    let mut figures = stage.account(&tally).await;
    figures.push(off(&tally, killed, back, host));
    const STEP: Duration = Duration::from_secs(10);
    for step in 0..8 {
        let from = back + STEP * step;
        let part = tally.between(from, from + STEP);
        let what = format!(
            "share {} to {} s after its return, of an eighth",
            10 * step,
            10 * step + 10
        );
        figures.push(match step {
            0 => Figure::at_most(what, share(&part, host), 0.7, ""),
            6 | 7 => Figure::at_least(what, share(&part, host), 0.7, ""),
            _ => Figure::told(what, share(&part, host), ""),
        });
    }
    Report::new("kill, in real time", tally, figures)
}

/// Load, the kill, four seconds without the engine, its return, and `after` of load. The moments of the kill and of the return.
async fn fall_and_rise(
    configuration: Value,
    after: Duration,
) -> (Stage, Tally, Duration, Duration) {
    let mut stage = Stage::new(8, configuration).await;
    let load = stage.load(0.6).start();
    load.run(Duration::from_secs(3)).await;
    stage.fleet.kill(VICTIM);
    let killed = load.elapsed();
    load.run(Duration::from_secs(4)).await;
    stage.fleet.restart(VICTIM).await;
    let back = load.elapsed();
    load.run(after).await;
    (stage, load.stop().await, killed, back)
}

fn share(tally: &Tally, host: SocketAddr) -> f64 {
    tally.served_share(host) * 8.0
}

fn off(tally: &Tally, killed: Duration, back: Duration, host: SocketAddr) -> Figure {
    let off = off_after(&tally.between(killed, back), host).saturating_sub(killed);
    Figure::at_most(
        "traffic is off the dead host after",
        off.as_secs_f64() * 1000.0,
        1000,
        "ms",
    )
}

/// The last moment at which `host` was the first choice of a request that was no probe.
pub(crate) fn off_after(tally: &Tally, host: SocketAddr) -> Duration {
    let traffic = tally.records.iter().filter(|record| !record.probe);
    let there = traffic.filter(|record| record.first_choice == Some(host));
    there.map(|record| record.at).max().unwrap_or_default()
}
