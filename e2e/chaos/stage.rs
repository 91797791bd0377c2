//! What most scenarios play on: engines in processes of their own, and an Envoy with two workers in front of them.

use std::net::SocketAddr;
use std::time::Duration;

use plimsoll_e2e::{Figure, Fleet, Load, Setting, Stand, Tally, until};
use serde_json::{Value, json};

/// Worker threads of each Envoy.
const WORKERS: u32 = 2;
/// Requests a second that eight engines of [`KIND`] take at most, measured: see docs/chaos.md.
const CAPACITY: f64 = 170.0;
/// GPU of the engines, at its real speed.
const KIND: &str = "h200";
/// The ramp of a host that comes back, in the suite: the default's 30 s would be most of its time.
pub(crate) const SLOW_START: Duration = Duration::from_secs(4);

/// Hosts and proxy.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) fleet: Fleet,
    pub(crate) stand: Stand,
}

/// Starts `count` engines.
pub(crate) async fn fleet(count: usize) -> Fleet {
    Fleet::start(count, KIND, 1).await
}

/// A proxy's setting in front of `fleet`, with everything that takes time scaled down; `configuration` is added to the module's.
pub(crate) fn setting(fleet: &Fleet, configuration: Value) -> Setting {
    let mut whole = json!({
        "explain": true,
        "first_token_ms": 2000,
        "health": {
            "slow_start_ms": SLOW_START.as_millis() as u64,
            "window_ms": 2000,
            "open_ms": 500,
            "max_open_ms": 4000,
            "stall_ms": 1000,
        },
    });
    if let (Value::Object(whole), Value::Object(more)) = (&mut whole, configuration) {
        whole.extend(more);
    }
    Setting {
        concurrency: WORKERS,
        ..Setting::hosts(fleet.addresses.clone()).configuration(whole)
    }
}

/// Load on `targets` at `share` of what `hosts` engines can do.
pub(crate) fn load(
    targets: impl IntoIterator<Item = SocketAddr>,
    hosts: usize,
    share: f64,
) -> Load {
    Load::on(targets, CAPACITY / 8.0 * hosts as f64 * share)
}

impl Stage {
    pub(crate) async fn new(hosts: usize, configuration: Value) -> Self {
        Self::with(hosts, configuration, |setting| setting).await
    }

    /// As [`Self::new`], with more of the proxy's setting changed.
    pub(crate) async fn with(
        hosts: usize,
        configuration: Value,
        change: impl FnOnce(Setting) -> Setting,
    ) -> Self {
        let fleet = fleet(hosts).await;
        let setting = change(setting(&fleet, configuration));
        let stand = Stand::start(setting).await;
        Self { fleet, stand }
    }

    pub(crate) fn host(&self, index: usize) -> SocketAddr {
        self.fleet.addresses[index]
    }

    /// Load at `share` of the capacity.
    pub(crate) fn load(&self, share: f64) -> Load {
        load([self.stand.address()], self.fleet.len(), share)
    }

    /// What every scenario must show: no request lost before its first byte, and each accounted for exactly once.
    pub(crate) async fn account(&self, tally: &Tally) -> Vec<Figure> {
        vec![
            lost(tally),
            unaccounted(&[&self.stand], &self.fleet, tally).await,
        ]
    }
}

/// No request may be lost of which the client has seen nothing.
pub(crate) fn lost(tally: &Tally) -> Figure {
    let lost = tally.failed_before_first_byte();
    Figure::at_most("failed before the first byte", lost as f64, 0, "")
}

/// Requests that one book shows and another does not, once everything has ended: the clients' own, the module's counter and
/// its gauge of requests in flight, Envoy's of active ones, and the engines' batches and queues.
pub(crate) async fn unaccounted(stands: &[&Stand], fleet: &Fleet, tally: &Tally) -> Figure {
    let counted = |stand: &Stand| stand.metrics().count("plimsoll_requests", "");
    let settled = until("the books to be settled", async || {
        let requests: f64 = stands.iter().map(|stand| counted(stand)).sum();
        let open = open(stands, fleet).await;
        let gap = (requests - tally.sent() as f64).abs() + open;
        (gap == 0.0).then_some(gap)
    });
    let gap = match tokio::time::timeout(PATIENCE, settled).await {
        Ok(gap) => gap,
        Err(_) => {
            let requests: f64 = stands.iter().map(|stand| counted(stand)).sum();
            let open = open(stands, fleet).await;
            eprintln!(
                "clients {}, module {requests}, still open {open}",
                tally.sent()
            );
            (requests - tally.sent() as f64).abs() + open
        }
    };
    Figure::at_most("unaccounted for, or still in flight", gap, 0, "")
}

/// How long the books may take to agree: counters follow by the tick, engines notice an abort at their next step.
const PATIENCE: Duration = Duration::from_secs(5);

/// Requests in flight by anybody's account.
async fn open(stands: &[&Stand], fleet: &Fleet) -> f64 {
    let gauges: f64 = stands.iter().map(|stand| gauge(stand).abs()).sum();
    gauges + open_elsewhere(stands, fleet).await
}

/// Requests in flight as the module's gauge has it.
pub(crate) fn gauge(stand: &Stand) -> f64 {
    stand.metrics().count("plimsoll_inflight", "")
}

/// Requests in flight by Envoy's and the engines' account.
pub(crate) async fn open_elsewhere(stands: &[&Stand], fleet: &Fleet) -> f64 {
    let mut open: f64 = stands.iter().map(|stand| active(stand)).sum();
    for index in 0..fleet.len() {
        let Some(state) = fleet.state(index).await else {
            continue;
        };
        open += state["running"].as_f64().unwrap_or(0.0) + state["waiting"].as_f64().unwrap_or(0.0);
    }
    open
}

/// Envoy's own count of requests under way to the pool.
fn active(stand: &Stand) -> f64 {
    stand.stat("cluster.pool.upstream_rq_active") as f64
}
