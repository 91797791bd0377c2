//! A worker's VM traps: Envoy starts another, which finds hosts, facts and the other worker's load in shared data.

use std::time::Duration;

use plimsoll_e2e::{Figure, Protocol, Setting, chat, module_with_hooks, until, whole};
use serde_json::json;
use tokio::time::timeout;

use crate::report::Report;
use crate::stage::{Stage, gauge, open_elsewhere};

/// How long a worker's slot may be found abandoned and its part of the gauge taken back, twice over.
const HEALED: Duration = Duration::from_secs(12);

pub(crate) async fn play() -> Report {
    let change = |setting| Setting {
        module: Some(module_with_hooks().to_path_buf()),
        ..setting
    };
    let stage = Stage::with(8, json!({}), change).await;
    let load = stage.load(0.5).start();
    load.run(Duration::from_secs(2)).await;
    let starts = || stage.stand.metrics().count("plimsoll_worker_starts", "");
    let before = starts();
    let mut request = chat(whole("{}"));
    let headers = request.headers_mut();
    headers.insert("x-plimsoll-test-trap", "1".parse().expect("a value"));
    let mut client = stage.stand.client(Protocol::Http1).await;
    let trapped = load.elapsed();
    // The request that traps is lost, with whatever status.
    let _ = client.try_send(request).await;
    until("another VM to start", async || {
        (starts() > before).then_some(())
    })
    .await;
    let again = load.elapsed().saturating_sub(trapped);
    load.run(Duration::from_secs(4)).await;
    let tally = load.stop().await;

    let late = tally.between(trapped + Duration::from_secs(2), Duration::MAX);
    let failed = tally.sent() - tally.ok();
    // What the VM had counted is taken back by another that finds its slot abandoned.
    let healed = until("the gauge to heal", async || {
        (gauge(&stage.stand) == 0.0).then_some(())
    });
    let _ = timeout(HEALED, healed).await;
    let left = gauge(&stage.stand);
    let open = open_elsewhere(&[&stage.stand], &stage.fleet).await;
    let figures = vec![
        Figure::told("requests that the worker had, and lost", failed as f64, ""),
        Figure::at_most(
            "another VM has started after",
            again.as_secs_f64() * 1000.0,
            2000,
            "ms",
        ),
        Figure::at_most(
            "failed requests from 2 s on",
            (late.sent() - late.ok()) as f64,
            0,
            "",
        ),
        Figure::at_most("still in flight, by Envoy and engines", open, 0, ""),
        Figure::at_most(
            "left in plimsoll_inflight by the VM that is gone",
            left.abs(),
            0,
            "",
        ),
    ];
    Report::new("reload", tally, figures)
}
