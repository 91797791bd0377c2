//! Slow start: a host that joins or comes back is cold, and everybody's favourite because it is idle.
//!
//! While the ramp rises its share `r` goes from a tenth to one. The host takes part in a share `r` of the requests, by a hash of request
//! and host, and in those its queue and its requests count as `1/r` of themselves, as if it had `r` of its capacity. The first bounds
//! its part of the traffic while the fleet is idle, the second its part of the load while the fleet is busy; neither can starve it.

use crate::config;
use crate::fixed::{self, ONE};
use crate::rng;
use crate::time::Instant;

/// Answers by which a host counts as warm.
const WARM: u32 = 16;
/// Least share.
const FLOOR: u64 = ONE / 10;
/// Sets the draw apart from the one that breaks ties: who takes part must not be who wins them.
const SALT: u64 = 0x736c_6f77_5f73_7461;

/// The slow start of one host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ramp {
    rising: bool,
    since: Instant,
    answers: u32,
}

impl Ramp {
    /// Whether the host has less than its full share, as of the last tick.
    pub const fn is_rising(&self) -> bool {
        self.rising
    }

    /// Begins at `now`.
    pub const fn begin(&mut self, now: Instant) {
        *self = Self {
            rising: true,
            since: now,
            answers: 0,
        };
    }

    /// Begins at `since`, if that is later than it last began. Returns whether it is.
    pub fn begin_later(&mut self, since: Instant) -> bool {
        let later = since > self.since;
        if later {
            self.begin(since);
        }
        later
    }

    /// An answer of the host: it warms up.
    pub const fn on_answer(&mut self) {
        self.answers = self.answers.saturating_add(1);
    }

    /// Its share, Q16. The ramp takes the configured time for a host that is seen to answer, up to twice that for one that is not.
    pub fn share(&self, now: Instant, settings: &config::Health) -> u64 {
        let whole = settings.slow_start.get();
        if !self.rising || whole == 0 {
            return ONE;
        }
        let warmth = u64::from(self.answers.min(WARM)) * ONE / u64::from(WARM);
        let age = fixed::mul_q16(now.since(self.since).get(), ONE + warmth);
        let progress = fixed::ratio(age, whole.saturating_mul(2)).min(ONE);
        let mut share = progress;
        for _ in 1..settings.slow_start_curve {
            share = fixed::mul_q16(share, progress);
        }
        share.max(FLOOR)
    }

    /// By how much its requests and queued tokens count more than they are, Q16: `1 / share - 1`.
    pub fn restraint(&self, now: Instant, settings: &config::Health) -> u64 {
        if !self.rising {
            return 0;
        }
        fixed::mul_div(ONE, ONE, self.share(now, settings)).saturating_sub(ONE)
    }

    /// Whether the host called `key` takes part in the request of `seed`.
    pub fn takes_part(&self, now: Instant, seed: u64, key: u64, settings: &config::Health) -> bool {
        !self.rising || rng::mix(seed ^ key ^ SALT) >> 48 < self.share(now, settings)
    }

    /// Time has passed: whether the ramp is over now.
    pub fn settle(&mut self, now: Instant, settings: &config::Health) {
        self.rising = self.rising && self.share(now, settings) < ONE;
    }

    pub(super) fn on_clock_set_back(&mut self, now: Instant) {
        self.since = self.since.min(now);
    }
}
