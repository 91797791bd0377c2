//! Load for a long time: no VM grows.

use std::time::Duration;

use plimsoll_e2e::{Fleet, Load, Stand};
use serde_json::json;

use crate::memory;
use crate::report::{Figure, Report};
use crate::stage::{lost, setting, unaccounted};

/// Requests a second, of engines fast enough not to queue.
const RATE: f64 = 80.0;
const SPEEDUP: u32 = 20;

pub(crate) async fn play(time: Duration) -> Report {
    let fleet = Fleet::start(3, "h200", SPEEDUP).await;
    let stand = Stand::start(setting(&fleet, json!({}))).await;
    let load = Load {
        prompt_tokens: 300,
        ..Load::on([stand.address()], RATE)
    };
    let load = load.start();
    // Tables grow into their sizes first.
    load.run(time / 4).await;
    let at_first = size(&stand);
    load.run(time - time / 4).await;
    let at_last = size(&stand);
    let tally = load.stop().await;

    let largest = memory::of_vms(stand.pid())
        .into_iter()
        .max()
        .unwrap_or_default();
    let figures = vec![
        lost(&tally),
        unaccounted(&[&stand], &fleet, &tally).await,
        Figure::told("seconds", time.as_secs_f64(), "s"),
        Figure::at_least("VMs found", memory::of_vms(stand.pid()).len() as f64, 3, ""),
        Figure::at_most("largest VM", mib(largest), 8, "MiB"),
        Figure::at_most(
            "growth of all VMs after a quarter of the time",
            mib(at_last.0) - mib(at_first.0),
            1,
            "MiB",
        ),
        Figure::told(
            "growth of the whole process in that time",
            mib(at_last.1) - mib(at_first.1),
            "MiB",
        ),
    ];
    stand.assert_sound();
    Report::new("soak", tally, figures)
}

/// Memory of all VMs, and of the process, in bytes.
fn size(stand: &Stand) -> (u64, u64) {
    let vms = memory::of_vms(stand.pid()).iter().sum();
    (vms, memory::of_process(stand.pid()))
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
