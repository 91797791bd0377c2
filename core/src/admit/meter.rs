//! How fast a tier's queue drains.

use crate::fixed;
use crate::time::{Instant, Micros};

/// Time over which the rate is taken.
const WINDOW: Micros = Micros::from_millis(500);

/// Cost let through while there was a queue.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Meter {
    since: Instant,
    cost: u64,
    busy: bool,
    /// Cost a second; 0 until it was measured.
    pub(super) rate: u64,
}

impl Meter {
    pub(super) const fn count(&mut self, cost: u64) {
        self.cost = self.cost.saturating_add(cost);
    }

    /// Time passes; `queued` says whether requests of the tier wait. Only what was let through under load tells how fast it drains.
    pub(super) fn on_tick(&mut self, now: Instant, queued: bool) {
        if !queued || !self.busy || now < self.since {
            (self.since, self.cost, self.busy) = (now, 0, queued);
            return;
        }
        let elapsed = now.since(self.since);
        if elapsed < WINDOW {
            return;
        }
        let rate = fixed::mul_div(self.cost, 1_000_000, elapsed.get());
        self.rate = if self.rate == 0 {
            rate
        } else {
            fixed::ewma(self.rate, rate, 2)
        };
        (self.since, self.cost) = (now, 0);
    }
}
