//! What a worker does on every tick.

use alloc::{string::ToString, sync::Arc, vec::Vec};
use plimsoll_core::{
    share::{Share, stamp_of},
    snapshot::{View, epoch_of},
    time::{Instant, Micros},
};

use super::Worker;
use crate::{
    clock,
    collecting::Collecting,
    host::{Host, Level, Status},
    lease::{self, Duty, Lease},
    metrics::{self, Id},
    slots::SLOTS,
};

impl Worker {
    /// Takes over what the collector and the other workers say, and stands in for the collector if it is missing.
    pub fn on_tick<H: Host>(&mut self, host: &H) {
        let now = clock(host);
        // During a reconfiguration several roots tick for one worker.
        let due = self.config().tick.get() * 3 / 4;
        if now >= self.last_tick && now.since(self.last_tick).get() < due {
            return;
        }
        self.last_tick = now;
        self.read_snapshot(host, now);
        self.read_shares(host, now);
        self.router.on_tick(now);
        if let Some(reuse) = &mut self.reuse {
            reuse.on_tick(now);
        }
        self.stand_in(host, now);
        self.publish_metrics(host, now);
    }

    /// Reads what others have published, so that the first request after a hot swap is decided as well as the last one
    /// before it.
    pub(crate) fn catch_up<H: Host>(&mut self, host: &H) {
        let now = clock(host);
        self.read_snapshot(host, now);
        self.read_shares(host, now);
        self.router.on_tick(now);
    }

    fn read_snapshot<H: Host>(&mut self, host: &H, now: Instant) {
        let Ok((bytes, cas)) = host.shared_get(&self.keys.snapshot) else {
            return;
        };
        let version = (epoch_of(&bytes), cas);
        if version == self.snapshot.version {
            return;
        }
        self.snapshot.version = version;
        match self.router.apply_snapshot(now, &bytes) {
            Ok(_) => {
                if let Ok(view) = View::new_checked(&bytes) {
                    self.snapshot.stamp = view.stamp().min(now);
                    self.snapshot.own = view.writer() == self.me;
                }
                self.needs_model = self.router.needs_model();
                self.metrics.add(host, Id::SnapshotsApplied, 1);
            }
            Err(error) => {
                self.metrics.add(host, Id::SnapshotsRejected, 1);
                host.log(Level::Warn, &["plimsoll: ", &error.to_string()].concat());
            }
        }
    }

    /// Tells the other workers what this one does. It is the last thing of a tick, so that they know of the requests that it has let through.
    ///
    /// A worker without a request has nothing to tell and needs no slot; such are the main thread of a proxy and idle
    /// workers. It reads all the same, so that its first request is decided by what the others know.
    pub fn tell<H: Host>(&mut self, host: &H) {
        if self.requests == 0 {
            return;
        }
        let now = clock(host);
        self.router.write_share(now, &mut self.share);
        let lost = self.slots.write(host, &mut self.keys, self.me, &self.share);
        if lost {
            self.metrics.forget_inflight();
        }
        self.tell_of_tenants(host, now);
    }

    fn read_shares<H: Host>(&mut self, host: &H, now: Instant) {
        let router = &mut self.router;
        let (mut dead, mut live) = (Vec::new(), Vec::new());
        let apply = |slot, share: &[u8]| {
            live.push(slot);
            router.apply_share(now, slot, share);
        };
        let bury = |share: &[u8]| dead.push(share.to_vec());
        self.slots
            .read(host, &mut self.keys, self.me, now, apply, bury);
        if !self.router.config().exchange.peers.is_empty()
            && let Ok((others, _)) = host.shared_get(&self.keys.others)
            && core::mem::replace(&mut self.others, stamp_of(&others)) != stamp_of(&others)
        {
            self.router.apply_share(now, SLOTS, &others);
        }
        if self.router.identifies() {
            for slot in live {
                if let Ok((said, _)) = host.shared_get(self.keys.tenants(slot)) {
                    self.router.apply_tenants(now, slot, &said);
                }
            }
        }
        // A worker that has trapped cannot take back what it had added to the gauges.
        for share in &dead {
            for part in Share::new_checked(share).iter().flat_map(Share::parts) {
                if let Some(address) = self.router.address_of(part.host) {
                    self.metrics.bury(host, address, part.load.requests);
                }
            }
        }
    }

    /// Collects if nobody else does (see [`lease`]).
    fn stand_in<H: Host>(&mut self, host: &H, now: Instant) {
        // The collector cannot publish more often than it ticks.
        let period = Micros::new(self.config().poll.every.get().max(self.config().tick.get()));
        let age = now.since(self.snapshot.stamp);
        if self.collecting.is_none() && age <= lease::patience(period) {
            return;
        }
        let (stored, cas) = match host.shared_get(&self.keys.lease) {
            Ok((bytes, cas)) => (Lease::decode(&bytes), Some(cas)),
            Err(Status::NotFound) => (None, None),
            // A host without shared data: there is nobody to compete with and nothing to publish to.
            Err(_) => return,
        };
        let view = lease::View {
            now,
            period,
            stamp: self.snapshot.stamp,
            own_snapshot: self.snapshot.own,
            lease: stored,
            me: self.me,
        };
        let duty = lease::duty(&view);
        let claim = |owner| {
            host.shared_set(
                &self.keys.lease,
                &Lease {
                    owner,
                    renewed: now,
                }
                .encode(),
                cas,
            )
            .is_ok()
        };
        let held = match duty {
            Duty::Idle => false,
            Duty::Collect => true,
            Duty::Take | Duty::Renew => claim(self.me),
            Duty::Yield => {
                claim(0);
                false
            }
        };
        if !held {
            if self.collecting.take().is_some() {
                host.log(
                    Level::Info,
                    "plimsoll: the collector is back; this worker no longer stands in",
                );
            }
            return;
        }
        if self.collecting.is_none() {
            self.metrics.add(host, Id::LeaseTaken, 1);
            host.log(
                Level::Warn,
                "plimsoll: no fresh snapshot; this worker stands in for the collector",
            );
        }
        let (config, me) = (self.router.config(), self.me);
        let keys = &self.keys;
        let collecting = self.collecting.get_or_insert_with(|| {
            let mut collecting = Collecting::new(Arc::clone(config), me);
            collecting.resume(host, &keys.snapshot);
            collecting
        });
        collecting.tick(host, &self.metrics, &mut self.keys, now);
    }

    pub(crate) fn on_call_response<H: Host>(
        &mut self,
        host: &H,
        token: u32,
        headers: usize,
        body_size: usize,
    ) {
        if let Some(collecting) = &mut self.collecting {
            collecting.answer(host, &self.metrics, clock(host), token, headers, body_size);
        }
    }

    /// Hands the proxy what was counted, and the gauges.
    pub(super) fn publish_metrics<H: Host>(&mut self, host: &H, now: Instant) {
        let overflows = self.router.overflows();
        let health = self.router.health_events().counts();
        let ids = metrics::OVERFLOWS.into_iter().chain(metrics::HEALTH);
        let counts = overflows.into_iter().chain(health);
        let before = self.overflows.into_iter().chain(self.health);
        for ((id, now), before) in ids.zip(counts).zip(before) {
            self.metrics.count(id, now.saturating_sub(before));
        }
        (self.overflows, self.health) = (overflows, health);
        self.metrics.flush(host);
        self.metrics
            .set(host, Id::Hosts, self.router.host_count() as u64);
        self.metrics
            .set(host, Id::Ejected, self.router.ejected() as u64);
        if let Some(age) = self.router.snapshot_age(now) {
            self.metrics.set(host, Id::SnapshotAgeMs, age.get() / 1000);
        }
        let busy = self.router.hosts().filter_map(|(_, of_host)| {
            let inflight = u64::from(of_host.own.requests);
            (inflight > 0).then_some((of_host.address, inflight))
        });
        self.metrics.inflight(host, busy);
        self.publish_door(host);
    }

    /// Hands over what was counted and takes back this worker's part of the gauges that all workers share. The next tick publishes it again, if there is
    /// one.
    pub(crate) fn withdraw<H: Host>(&mut self, host: &H) {
        self.metrics.flush(host);
        self.metrics.inflight(host, core::iter::empty());
        self.slots.give_back(host, &mut self.keys);
        self.publish_of_door(host, [0, 0]);
        self.root_gone();
    }
}
