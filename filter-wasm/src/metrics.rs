//! The module's metrics: defined once when it is configured, because defining is a host call that takes a name, and
//! counting must not.
//!
//! A host that has no metrics refuses the definition; counting is then a no-op.
//!
//! Counters are summed up here and handed to the proxy by the tick: every host call leaves the VM, and a request counts in half a
//! dozen places. Histograms need each value and are recorded at once.

mod ids;

use alloc::{string::ToString, vec, vec::Vec};
pub use ids::{HEALTH, Id, OVERFLOWS};

use ids::DEFINITIONS;
use plimsoll_core::host::Address;

use crate::host::{Host, Metric};

/// Hosts that get metrics of their own; later ones are routed all the same. Proxies never forget a metric, so a fleet
/// that replaces its hosts for ever must not define them for ever.
pub const LABELLED_HOSTS: usize = 1024;

#[derive(Clone, Copy, Debug)]
struct OfHost {
    address: Address,
    picks: Option<u32>,
    /// First choices since the last [`Metrics::flush`].
    picked: u64,
    inflight: Option<u32>,
    /// What this worker has added to the gauge so far; the proxy sums over workers.
    published: u64,
    /// The round in which it was last busy.
    round: u64,
}

/// Numbers of the defined metrics.
#[derive(Debug, Default)]
pub struct Metrics {
    ids: Vec<Option<u32>>,
    /// What was counted since the last [`Self::flush`], by metric.
    pending: Vec<u64>,
    reasons: Vec<(&'static str, Option<u32>)>,
    /// In the order of addresses.
    hosts: Vec<OfHost>,
    round: u64,
}

impl Metrics {
    /// Defines all metrics without a host label.
    pub fn define<H: Host>(host: &H) -> Self {
        let ids = DEFINITIONS
            .iter()
            .map(|(_, kind, name)| host.define_metric(*kind, name).ok());
        Self {
            ids: ids.collect(),
            pending: vec![0; DEFINITIONS.len()],
            ..Self::default()
        }
    }

    /// Adds to a counter; the proxy sees it with the next [`Self::flush`].
    pub fn count(&mut self, id: Id, delta: u64) {
        if let Some(pending) = self.pending.get_mut(id as usize) {
            *pending = pending.saturating_add(delta);
        }
    }

    /// Adds to a counter at once.
    pub fn add<H: Host>(&self, host: &H, id: Id, delta: u64) {
        if let Some(number) = self.ids.get(id as usize) {
            increment(host, *number, delta);
        }
    }

    /// Hands the proxy what was counted.
    pub fn flush<H: Host>(&mut self, host: &H) {
        for (number, pending) in self.ids.iter().zip(&mut self.pending) {
            increment(host, *number, core::mem::take(pending));
        }
        for of_host in &mut self.hosts {
            increment(host, of_host.picks, core::mem::take(&mut of_host.picked));
        }
    }

    /// Sets a gauge or records into a histogram.
    pub fn set<H: Host>(&self, host: &H, id: Id, value: u64) {
        if let Some(Some(number)) = self.ids.get(id as usize) {
            let _ = host.set_metric(*number, value);
        }
    }

    /// Moves a gauge.
    pub fn shift<H: Host>(&self, host: &H, id: Id, delta: i64) {
        if delta != 0
            && let Some(Some(number)) = self.ids.get(id as usize)
        {
            let _ = host.add_metric(*number, delta);
        }
    }

    /// Counts a refused request under its reason.
    pub fn rejected<H: Host>(&mut self, host: &H, reason: &'static str) {
        let known = self.reasons.iter().find(|(name, _)| *name == reason);
        let number = known.map(|(_, number)| *number).unwrap_or_else(|| {
            let name = ["plimsoll_rejected.reason=", reason].concat();
            let number = host.define_metric(Metric::Counter, &name).ok();
            self.reasons.push((reason, number));
            number
        });
        if let Some(number) = number {
            let _ = host.add_metric(number, 1);
        }
    }

    /// Metrics of the host at `address`, defined when there is room.
    fn of_host<H: Host>(&mut self, host: &H, address: Address) -> Option<&mut OfHost> {
        let place = match self.hosts.binary_search_by_key(&address, |of| of.address) {
            Ok(place) => place,
            Err(_) if self.hosts.len() >= LABELLED_HOSTS => return None,
            Err(place) => {
                self.hosts.insert(place, OfHost::define(host, address));
                place
            }
        };
        self.hosts.get_mut(place)
    }

    /// Counts a first choice of the host at `address`.
    pub fn picked<H: Host>(&mut self, host: &H, address: Address) {
        if let Some(of_host) = self.of_host(host, address) {
            of_host.picked += 1;
        }
    }

    /// Takes back what a worker that is dead has added to the gauge of the host at `address`.
    pub fn bury<H: Host>(&mut self, host: &H, address: Address, requests: u32) {
        if let Some(number) = self.of_host(host, address).and_then(|of| of.inflight)
            && requests > 0
        {
            let _ = host.add_metric(number, -i64::from(requests));
        }
    }

    /// Another worker took this one for dead, and has taken back what it had added to the gauges.
    pub fn forget_inflight(&mut self) {
        for of_host in &mut self.hosts {
            of_host.published = 0;
        }
    }

    /// Publishes this worker's requests in flight: `busy` are the listed hosts that have any, all others have none. Only
    /// changes are sent: in Envoy one gauge serves all workers, so setting it would erase what the others count.
    pub fn inflight<H: Host>(&mut self, host: &H, busy: impl Iterator<Item = (Address, u64)>) {
        self.round = self.round.wrapping_add(1);
        let round = self.round;
        for (address, inflight) in busy {
            if let Some(of_host) = self.of_host(host, address) {
                of_host.round = round;
                of_host.publish(host, inflight);
            }
        }
        for of_host in &mut self.hosts {
            if of_host.round != round {
                of_host.publish(host, 0);
            }
        }
    }
}

fn increment<H: Host>(host: &H, number: Option<u32>, delta: u64) {
    if delta > 0
        && let Some(number) = number
    {
        let _ = host.add_metric(number, i64::try_from(delta).unwrap_or(i64::MAX));
    }
}

impl OfHost {
    fn define<H: Host>(host: &H, address: Address) -> Self {
        let label = address.to_string();
        let define = |kind, name: &str| host.define_metric(kind, &[name, &label].concat()).ok();
        Self {
            address,
            picks: define(Metric::Counter, "plimsoll_host_picks.host="),
            picked: 0,
            inflight: define(Metric::Gauge, "plimsoll_inflight.host="),
            published: 0,
            round: 0,
        }
    }

    fn publish<H: Host>(&mut self, host: &H, inflight: u64) {
        let delta = (inflight as i64).saturating_sub(self.published as i64);
        self.published = inflight;
        if delta != 0
            && let Some(number) = self.inflight
        {
            let _ = host.add_metric(number, delta);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_stand_in_the_order_of_their_ids() {
        for (at, (id, _, _)) in DEFINITIONS.iter().enumerate() {
            assert_eq!(*id as usize, at, "{id:?}");
        }
    }

    #[test]
    fn labels_follow_the_name_so_that_envoy_can_extract_them() {
        for (_, _, name) in DEFINITIONS {
            assert!(name.starts_with("plimsoll_"));
            if let Some((_, label)) = name.split_once('.') {
                let (key, value) = label.split_once('=').expect(name);
                assert!(
                    ["step", "result", "reason"].contains(&key) && !value.is_empty(),
                    "{name}"
                );
            }
        }
    }
}
