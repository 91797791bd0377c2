//! One engine of eight answers 500 at once: the sinkhole that least request falls for.

use std::net::SocketAddr;
use std::time::Duration;

use plimsoll_e2e::{Figure, Setting, Stand, Tally};
use plimsoll_envoy::Policy;
use serde_json::json;

use crate::report::Report;
use crate::stage::{fleet, load, setting, unaccounted};

const SICK: usize = 2;

pub(crate) async fn play() -> Report {
    let fleet = fleet(8).await;
    let sick = fleet.addresses[SICK];
    let rival = Setting {
        policy: Policy::LeastRequest,
        ..setting(&fleet, json!({}))
    };
    let rival = Stand::launch(rival).await.expect("Envoy starts");
    // The breaker as it is by default: its probes come at 1, 3, 7 s.
    let stand = Stand::start(setting(&fleet, json!({"health": {}}))).await;

    let ours = load([stand.address()], 8, 0.45).start();
    let theirs = load([rival.address()], 8, 0.35).start();
    ours.run(Duration::from_secs(2)).await;
    fleet.fault(SICK, json!({"kind": "error500"})).await;
    let start = ours.elapsed();
    ours.run(Duration::from_secs(12)).await;
    let (tally, theirs) = (ours.stop().await, theirs.stop().await);

    let after = |tally: &Tally| tally.between(start + Duration::from_secs(2), Duration::MAX);
    let share = |tally: &Tally, host: SocketAddr| after(tally).served_share(host) * 100.0;
    let figures = vec![
        unaccounted(&[&stand], &fleet, &tally).await,
        Figure::at_most(
            "traffic on the host that answers 500, after 2 s",
            share(&tally, sick),
            1,
            "%",
        ),
        Figure::told(
            "the same with Envoy's least request",
            share(&theirs, sick),
            "%",
        ),
    ];
    Report::new("error500", tally, figures)
}
