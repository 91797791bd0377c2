//! Opening breakers: for what, and how many at once.

use crate::config;
use crate::fixed;
use crate::host::{Host, State};
use crate::rng;
use crate::time::Instant;

/// A host's error rate must be this many times the rest's to count as the host's own fault.
const TIMES_THE_REST: u64 = 3;

/// Why a breaker opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Cause {
    /// Failures in a row.
    Consecutive = 0,
    /// A larger share of failures than the fleet's.
    ErrorRate = 1,
    /// Silence with work in hand.
    Stall = 2,
    /// A probe failed.
    Probe = 3,
    /// Another worker opened its own.
    Peer = 4,
}

/// What has happened to hosts' health so far; every field only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Events {
    /// Breakers opened, by [`Cause`].
    pub opened: [u64; 5],
    /// Breakers that would have opened but for the cap.
    pub capped: u64,
    /// Breakers closed by a probe.
    pub recovered: u64,
    /// Streams that were silent for longer than their host ever is.
    pub stalls: u64,
    /// Times the clock, or this worker, lost so much time that silence means nothing.
    pub jumps: u64,
}

impl Events {
    /// All of it: the five causes, capped, recovered, stalls, jumps.
    pub const fn counts(&self) -> [u64; 9] {
        let [a, b, c, d, e] = self.opened;
        [
            a,
            b,
            c,
            d,
            e,
            self.capped,
            self.recovered,
            self.stalls,
            self.jumps,
        ]
    }

    fn opened(&mut self, cause: Cause) {
        if let Some(count) = self.opened.get_mut(cause as usize) {
            *count = count.saturating_add(1);
        }
    }
}

/// How many breakers may be open at once: a share of the listed hosts.
fn allowed(hosts: &[Host], settings: &config::Health) -> usize {
    let listed = hosts.iter().filter(|host| host.state != State::Gone);
    let allowed = fixed::mul_q16(listed.count() as u64, settings.max_ejected);
    usize::try_from(allowed).unwrap_or(usize::MAX)
}

/// Breakers that are not closed, among listed hosts.
pub fn ejected(hosts: &[Host]) -> usize {
    let open = |host: &&Host| host.health.breaker.is_open() && host.state != State::Gone;
    hosts.iter().filter(open).count()
}

fn has_room(hosts: &[Host], index: usize, settings: &config::Health) -> bool {
    let is_open = |host: &Host| host.health.breaker.is_open();
    hosts
        .get(index)
        .is_some_and(|host| is_open(host) || host.state == State::Gone)
        || ejected(hosts) < allowed(hosts, settings)
}

/// Opens the breaker of the host at `index`, if the cap allows it. What was under way when it opened last says nothing new. `seed` is
/// the worker's.
pub fn open(
    hosts: &mut [Host],
    index: usize,
    now: Instant,
    cause: Cause,
    seed: u64,
    settings: &config::Health,
    events: &mut Events,
) {
    let waits = |host: &Host| host.health.breaker.waits(now, settings);
    if hosts.get(index).is_some_and(waits) {
        return;
    }
    if !has_room(hosts, index, settings) {
        events.capped = events.capped.saturating_add(1);
        return;
    }
    if let Some(host) = hosts.get_mut(index) {
        host.health
            .breaker
            .open(now, rng::mix(seed ^ host.key), settings);
        events.opened(cause);
    }
}

/// Another worker has opened its breaker of the host at `index` until `until`.
pub fn adopt(
    hosts: &mut [Host],
    index: usize,
    now: Instant,
    until: Instant,
    settings: &config::Health,
    events: &mut Events,
) {
    let news = |host: &Host| host.health.breaker.is_news(now, until, settings);
    if !hosts.get(index).is_some_and(news) || !has_room(hosts, index, settings) {
        return;
    }
    if let Some(host) = hosts.get_mut(index) {
        host.health.breaker.adopt(now, until, settings);
        events.opened(Cause::Peer);
    }
}

/// A request at the host at `index` has failed. What was under way when the breaker opened says nothing new.
pub fn on_failure(
    hosts: &mut [Host],
    index: usize,
    now: Instant,
    probe: bool,
    seed: u64,
    settings: &config::Health,
    events: &mut Events,
) {
    let Some(host) = hosts.get_mut(index) else {
        return;
    };
    let cause = if host.health.breaker.is_open() {
        if !probe {
            return;
        }
        Cause::Probe
    } else {
        host.health.row = host.health.row.saturating_add(1);
        host.health.window.count(now, settings.window, false);
        if host.health.row >= settings.consecutive_failures {
            Cause::Consecutive
        } else if is_outlier(hosts, index, now, settings) {
            Cause::ErrorRate
        } else {
            return;
        }
    };
    open(hosts, index, now, cause, seed, settings, events);
}

/// Whether the host at `index` fails more often than is accepted, and much more often than the rest of the fleet: what fails everywhere
/// is the requests' fault, or the network's.
pub fn is_outlier(hosts: &[Host], index: usize, now: Instant, settings: &config::Health) -> bool {
    let mut own = (0, 0);
    let mut rest = (0u64, 0u64);
    for (at, host) in hosts.iter().enumerate() {
        let (good, bad) = host.health.window.counts(now, settings.window);
        if at == index {
            own = (good, bad);
        } else if host.state != State::Gone {
            rest = (rest.0.saturating_add(good), rest.1.saturating_add(bad));
        }
    }
    let rate = |(good, bad): (u64, u64)| fixed::ratio(bad, good.saturating_add(bad));
    own.0.saturating_add(own.1) >= u64::from(settings.min_requests)
        && rate(own) >= settings.error_rate
        && rate(own) >= rate(rest).saturating_mul(TIMES_THE_REST)
}

/// Closes breakers, those first that would be tried again first, until no more are open than the cap allows: the list has become shorter.
pub fn keep_cap(hosts: &mut [Host], settings: &config::Health) {
    for _ in allowed(hosts, settings)..ejected(hosts) {
        let open = hosts.iter_mut().filter(|host| host.state != State::Gone);
        let soonest = open
            .filter_map(|host| {
                let until = host.health.breaker.open_until()?;
                Some(((until, host.key), host))
            })
            .min_by_key(|(order, _)| *order);
        if let Some((_, host)) = soonest {
            host.health.breaker.release();
        }
    }
}
