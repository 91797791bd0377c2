//! The router's watch over hosts: what failures, silence and limits come to.

use super::Router;
use crate::fleet::Fleet;
use crate::health::{Cause, Events, eject, stall};
use crate::host::Host;
use crate::inflight::Flight;
use crate::time::Instant;

/// Whether a request to the host at `index` is a probe.
pub(super) fn is_probe(fleet: &Fleet, index: usize) -> bool {
    fleet
        .get(index)
        .is_some_and(|host| host.health.breaker.is_open())
}

impl Router {
    /// A request of ours has failed where it was booked.
    pub(super) fn on_failure(&mut self, now: Instant, flight: &Flight) {
        let (settings, events) = (&self.config.health, &mut self.events);
        let (hosts, host) = (self.fleet.hosts_mut(), usize::from(flight.host));
        eject::on_failure(hosts, host, now, flight.probe, self.seed, settings, events);
    }

    /// What happened at a time that is now ahead counts as happening now: it would look fresh until the clock has caught up.
    pub(super) fn on_clock_set_back(&mut self, now: Instant) {
        self.swept = now;
        if let Some(snapshot) = &mut self.snapshot {
            snapshot.stamp = snapshot.stamp.min(now);
            snapshot.polled = snapshot.polled.min(Some(now));
        }
        for host in self.fleet.hosts_mut() {
            host.gap.1 = host.gap.1.min(now);
            host.health.on_clock_set_back(now);
            if let Some(polled) = &mut host.polled {
                polled.at = polled.at.min(now);
            }
        }
        self.fleet.forget_loads();
    }

    /// Looks for silent hosts, and ends slow starts that are over.
    pub(super) fn watch(&mut self, now: Instant) {
        let settings = &self.config.health;
        // Time that this worker did not live through, since it was stopped or the clock was set, is no host's silence.
        let lost = now < self.ticked || now.since(self.ticked).get() > settings.stall.get() / 2;
        let jumped = lost && self.ticked != Instant::ZERO;
        if jumped {
            self.events.jumps = self.events.jumps.saturating_add(1);
        }
        self.ticked = now;
        for host in self.fleet.hosts_mut() {
            host.health.ramp.settle(now, settings);
            if lost {
                host.health.alive = now;
            }
        }
        let mut any = false;
        for flight in self.inflight.iter_mut() {
            flight.teaches &= !jumped;
            let waited = now.since(flight.last_token);
            if waited <= settings.stall {
                continue;
            }
            let index = usize::from(flight.host);
            let Some(host) = self.fleet.get(index) else {
                continue;
            };
            let limit = stall::limit(flight, host, &self.config, settings.stall);
            if waited <= limit || lost {
                continue;
            }
            if !core::mem::replace(&mut flight.stalled, true) {
                self.events.stalls = self.events.stalls.saturating_add(1);
            }
            // One stream may stall for its own reasons; a host that gives nothing at all is sick.
            let silent = now.since(host.health.alive) > limit;
            let known = host.health.breaker.is_open() && !flight.probe;
            let probe = core::mem::take(&mut flight.probe);
            if let Some(host) = self.fleet.get_mut(index) {
                host.health.silent |= silent && !known;
                any |= host.health.silent;
                if probe {
                    host.health.breaker.end_probe();
                }
            }
        }
        if any {
            self.eject_silent(now);
        }
    }

    /// Those first that have been silent for longest: the cap may not allow all.
    fn eject_silent(&mut self, now: Instant) {
        let (settings, seed) = (&self.config.health, self.seed);
        let hosts = self.fleet.hosts_mut();
        let longest = |hosts: &[Host]| {
            let silent = hosts.iter().enumerate().filter(|(_, h)| h.health.silent);
            let longest = silent.min_by_key(|(_, host)| (host.health.alive, host.key));
            longest.map(|(index, _)| index)
        };
        while let Some(index) = longest(hosts) {
            if let Some(host) = hosts.get_mut(index) {
                host.health.silent = false;
                // Where the cap leaves no room, it is asked for again after as long a silence.
                host.health.alive = now;
            }
            let events = &mut self.events;
            eject::open(hosts, index, now, Cause::Stall, seed, settings, events);
        }
    }

    /// Whether the pool has as many requests of this proxy as it may have.
    pub(super) fn is_full(&self) -> bool {
        let most = u64::from(self.config.limits.pool_inflight);
        let ours = |host: &Host| u64::from(host.ours());
        most != 0 && self.fleet.hosts().iter().map(ours).sum::<u64>() >= most
    }

    /// What has happened to hosts' health so far.
    pub const fn health_events(&self) -> &Events {
        &self.events
    }

    /// Hosts whose breaker is not closed.
    pub fn ejected(&self) -> usize {
        eject::ejected(self.fleet.hosts())
    }
}
