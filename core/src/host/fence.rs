//! A local ban: a host that has just failed requests of ours gets no more for a while, twice as long each time.

use crate::time::{Instant, Micros};

/// First ban.
const BASE: Micros = Micros::from_millis(250);
/// The ban doubles up to this many times: 32 s.
const DOUBLINGS: u32 = 7;

/// The ban of one host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fence {
    failures: u32,
    until: Instant,
}

impl Fence {
    /// A request could not be served. Failures that were under way when the ban began do not lengthen it.
    pub fn on_failure(&mut self, now: Instant) {
        if self.is_up(now) {
            return;
        }
        self.until = now + BASE.times(1 << self.failures.min(DOUBLINGS));
        self.failures = self.failures.saturating_add(1);
    }

    /// A request was served.
    pub const fn on_success(&mut self) {
        *self = Self {
            failures: 0,
            until: Instant::ZERO,
        };
    }

    /// Whether the ban holds. More of it than the longest ban is a clock that was set back, and ends it.
    pub fn is_up(&self, now: Instant) -> bool {
        now < self.until && self.until.since(now) <= BASE.times(1 << DOUBLINGS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_its_limit_and_ends_with_success() {
        let mut fence = Fence::default();
        let mut now = Instant::ZERO;
        let mut last = 0;
        for _ in 0..12 {
            fence.on_failure(now);
            fence.on_failure(now);
            let start = now;
            while fence.is_up(now) {
                now = now + Micros::from_millis(50);
            }
            let banned = now.since(start).get();
            assert!(banned >= last && banned <= 32_100_000, "{banned}");
            last = banned;
        }
        assert!(last >= 32_000_000);
        fence.on_failure(now);
        fence.on_success();
        assert!(!fence.is_up(now));
    }
}
