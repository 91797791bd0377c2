//! The circuit breaker of one host.

use crate::config;
use crate::rng;
use crate::time::{Instant, Micros};

/// Back-off doubles this often at most; the configured longest is reached long before.
const DOUBLINGS: u32 = 20;

/// Closed, open until a time, and from then on half-open: a few probes at once, of which the first to succeed closes it and any that
/// fails opens it again for twice as long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Breaker {
    open: bool,
    /// End of the open phase. Kept after closing, so that what another worker said is not heard twice.
    until: Instant,
    /// Openings in a row: how often the back-off has doubled.
    openings: u32,
    closed_at: Instant,
    /// Requests of this worker in flight that were sent while it was not closed.
    probing: u32,
}

impl Breaker {
    /// Whether it is not closed: open or half-open.
    pub const fn is_open(&self) -> bool {
        self.open
    }

    /// End of the open phase, if it is open; what other workers are told.
    pub fn open_until(&self) -> Option<Instant> {
        self.open.then_some(self.until)
    }

    /// Probes in flight.
    pub const fn probing(&self) -> u32 {
        self.probing
    }

    /// Whether a request may go through at `now`.
    pub fn admits(&self, now: Instant, settings: &config::Health) -> bool {
        !self.open || (!self.waits(now, settings) && self.probing < settings.probes)
    }

    /// Whether it is open at `now`, not half-open. More of a wait than the longest is a clock that was set back, and ends it.
    pub fn waits(&self, now: Instant, settings: &config::Health) -> bool {
        self.open && now < self.until && self.until.since(now) <= settings.longest_open()
    }

    /// Opens it at `now`, or opens it again after a failed probe. `seed` jitters the back-off by up to a quarter, so that workers and
    /// proxies do not all probe at once.
    pub fn open(&mut self, now: Instant, seed: u64, settings: &config::Health) {
        self.begin_term(now, settings);
        let doubled = settings.open.times(1 << self.openings.min(DOUBLINGS));
        let length = doubled.min(settings.max_open).get();
        let jitter = fixed_quarter(length, rng::mix(seed ^ u64::from(self.openings)));
        self.until = now + Micros::new(length.saturating_add(jitter));
        self.openings = self.openings.saturating_add(1);
    }

    /// Whether another worker's opening until `until` is news at `now`. More than the longest back-off is not believed.
    pub fn is_news(&self, now: Instant, until: Instant, settings: &config::Health) -> bool {
        until > self.until && until > now && until.since(now) <= settings.longest_open()
    }

    /// Takes over another worker's opening.
    pub fn adopt(&mut self, now: Instant, until: Instant, settings: &config::Health) {
        if !self.waits(now, settings) {
            self.begin_term(now, settings);
            self.openings = self.openings.saturating_add(1);
        }
        self.until = until;
    }

    fn begin_term(&mut self, now: Instant, settings: &config::Health) {
        if !self.open && now.since(self.closed_at) >= settings.max_open {
            self.openings = 0;
        }
        self.open = true;
    }

    /// Closes it.
    pub const fn close(&mut self, now: Instant) {
        self.open = false;
        self.closed_at = now;
    }

    /// Closes it because more are open than may be; the host has not shown that it is well, so the back-off goes on from where it was.
    pub const fn release(&mut self) {
        self.open = false;
    }

    /// Half-opens it at `now`: someone else has seen that the host is well.
    pub fn retry(&mut self, now: Instant) {
        if self.open {
            self.until = self.until.min(now);
        }
    }

    /// A request that is sent while it is not closed.
    pub const fn begin_probe(&mut self) {
        self.probing = self.probing.saturating_add(1);
    }

    /// That request is no probe any more.
    pub const fn end_probe(&mut self) {
        self.probing = self.probing.saturating_sub(1);
    }

    pub(super) fn on_clock_set_back(&mut self, now: Instant) {
        self.until = self.until.min(now);
        self.closed_at = self.closed_at.min(now);
    }
}

/// Up to a quarter of `length`, by the upper bits of `draw`.
const fn fixed_quarter(length: u64, draw: u64) -> u64 {
    (length / 4).saturating_mul(draw >> 48) >> 16
}
