//! Load for a long time: no VM grows.

use std::time::Duration;

use plimsoll_e2e::{Figure, Fleet, Load, Stand};
use serde_json::json;

use crate::memory;
use crate::report::Report;
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
    let mut sizes = vec![size(&stand)];
    for _ in 1..4 {
        load.run(time / 4).await;
        sizes.push(size(&stand));
    }
    let tally = load.stop().await;

    let largest = memory::of_vms(stand.pid())
        .into_iter()
        .max()
        .unwrap_or_default();
    let (first, last) = (sizes[0], sizes[3]);
    let mut figures = vec![
        lost(&tally),
        unaccounted(&[&stand], &fleet, &tally).await,
        Figure::told("seconds", time.as_secs_f64(), "s"),
        Figure::at_least("VMs found", memory::of_vms(stand.pid()).len() as f64, 3, ""),
        Figure::at_most("largest VM", mib(largest), 8, "MiB"),
        // A burst of requests that are all in hand at once may take a page more; a leak of 300 bytes a request would show.
        Figure::at_most(
            "growth of all VMs after a quarter of the time",
            mib(last.0) - mib(first.0),
            1,
            "MiB",
        ),
    ];
    for (quarter, pair) in sizes.windows(2).enumerate() {
        figures.push(Figure::told(
            format!("growth of the whole process in quarter {}", quarter + 2),
            mib(pair[1].1) - mib(pair[0].1),
            "MiB",
        ));
    }
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
