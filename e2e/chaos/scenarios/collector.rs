//! The collector traps: a worker takes the lease and collects in its place.

use std::time::{Duration, Instant};

use plimsoll_e2e::{Figure, Setting, module_with_hooks, until};
use serde_json::json;

use crate::report::Report;
use crate::stage::Stage;

const PERIOD: Duration = Duration::from_millis(500);

pub(crate) async fn play() -> Report {
    let change = |setting| Setting {
        module: Some(module_with_hooks().to_path_buf()),
        ..setting
    };
    let configuration = json!({"poll": {"every_ms": PERIOD.as_millis() as u64}});
    let stage = Stage::with(8, configuration, change).await;
    let load = stage.load(0.5).start();
    load.run(Duration::from_secs(2)).await;
    let metric = |name: &str| stage.stand.metrics().count(name, "");
    let before = metric("plimsoll_lease_taken");
    stage.fleet.fault(0, json!({"kind": "trap"})).await;
    until("the collector to trap", async || {
        stage
            .stand
            .log()
            .contains("proxy_on_http_call_response")
            .then_some(())
    })
    .await;
    let trapped = Instant::now();
    until("a worker to take the lease", async || {
        (metric("plimsoll_lease_taken") > before).then_some(())
    })
    .await;
    let taken = trapped.elapsed();
    // The workers go on from snapshots of one of their own.
    let applied = metric("plimsoll_snapshots");
    until("its snapshots to be used", async || {
        (metric("plimsoll_snapshots") > applied + 10.0).then_some(())
    })
    .await;
    let full = "step=\"full\"";
    let decided = stage.stand.metrics().count("plimsoll_decisions", full);
    load.run(Duration::from_secs(2)).await;
    let informed = stage.stand.metrics().count("plimsoll_decisions", full) - decided;
    let tally = load.stop().await;

    let failed = tally.sent() - tally.ok();
    let mut figures = stage.account(&tally).await;
    figures.extend([
        Figure::at_most("failed requests", failed as f64, 0, ""),
        Figure::at_most(
            "the lease is taken after, in poll periods",
            taken.as_secs_f64() / PERIOD.as_secs_f64(),
            3,
            "",
        ),
        Figure::at_least(
            "decisions with the stand-in's facts in 2 s",
            informed,
            50,
            "",
        ),
    ]);
    Report::new("collector", tally, figures)
}
