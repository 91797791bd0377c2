//! How the requests of the last seconds ended.

use crate::time::{Instant, Micros};

/// Counts of the present half of the window and of the one before, so it remembers between half of its length and all of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// Number of the present half since the epoch.
    half: u64,
    now: (u32, u32),
    before: (u32, u32),
}

impl Window {
    fn at(&self, now: Instant, length: Micros) -> Self {
        let half = now.as_micros() / (length.get() / 2).max(1);
        match half.wrapping_sub(self.half) {
            0 => *self,
            1 => Self {
                half,
                now: (0, 0),
                before: self.now,
            },
            _ => Self {
                half,
                ..Self::default()
            },
        }
    }

    /// A request has ended, well or not.
    pub fn count(&mut self, now: Instant, length: Micros, good: bool) {
        *self = self.at(now, length);
        let counter = if good {
            &mut self.now.0
        } else {
            &mut self.now.1
        };
        *counter = counter.saturating_add(1);
    }

    /// Requests that ended well and those that did not.
    pub fn counts(&self, now: Instant, length: Micros) -> (u64, u64) {
        if (self.now.1 | self.before.1 | self.now.0 | self.before.0) == 0 {
            return (0, 0);
        }
        let window = self.at(now, length);
        let sum = |a: u32, b: u32| u64::from(a) + u64::from(b);
        (
            sum(window.now.0, window.before.0),
            sum(window.now.1, window.before.1),
        )
    }

    /// Whether no failure is remembered, or will be counted: what a decision asks of every host.
    pub const fn is_clean(&self) -> bool {
        self.now.1 == 0 && self.before.1 == 0
    }
}
