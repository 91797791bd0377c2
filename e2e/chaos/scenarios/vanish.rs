//! Hosts drain, vanish from discovery and come back, while streams run on them.

use std::time::Duration;

use plimsoll_e2e::{Figure, Setting, until};
use serde_json::json;

use crate::report::Report;
use crate::stage::Stage;

const DRAINED: usize = 0;
const VANISHED: usize = 7;

pub(crate) async fn play() -> Report {
    let change = |setting| Setting {
        discovery: true,
        ..setting
    };
    let mut stage = Stage::with(8, json!({}), change).await;
    let all = stage.fleet.addresses.clone();
    let load = stage.load(0.6).start();
    load.run(Duration::from_secs(2)).await;
    let left: Vec<_> = all
        .iter()
        .copied()
        .filter(|host| *host != all[VANISHED])
        .collect();
    stage.stand.set_hosts(&left, &[all[DRAINED]], "2");
    until("Envoy to take the list", async || {
        (stage.stand.stat("cluster.pool.update_success") >= 2).then_some(())
    })
    .await;
    let gone = load.elapsed();
    let quiet = load.run(Duration::from_secs(2)).await;
    let end = load.run(Duration::from_secs(3)).await;
    stage.stand.set_hosts(&all, &[], "3");
    load.run(Duration::from_secs(4)).await;
    let tally = load.stop().await;

    let share = |host| tally.between(quiet, end).served_share(host) * 100.0;
    let mut figures = stage.account(&tally).await;
    let cut = tally.sent() - tally.ok();
    figures.extend([
        Figure::at_most("requests that did not finish", cut as f64, 0, ""),
        Figure::at_most(
            "traffic on the drained host, after 2 s",
            share(all[DRAINED]),
            0,
            "%",
        ),
        Figure::at_most(
            "traffic on the vanished host, after 2 s",
            share(all[VANISHED]),
            0,
            "%",
        ),
    ]);
    let last = |host| {
        let served = tally.between(gone, end);
        let last = served
            .records
            .iter()
            .rfind(|record| record.served_by == Some(host));
        last.map_or(0.0, |record| {
            record.at.saturating_sub(gone).as_secs_f64() * 1000.0
        })
    };
    figures.push(Figure::told(
        "last request on the drained host, after",
        last(all[DRAINED]),
        "ms",
    ));
    figures.push(Figure::told(
        "last request on the vanished host, after",
        last(all[VANISHED]),
        "ms",
    ));
    Report::new("vanish", tally, figures)
}
