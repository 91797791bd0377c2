//! Which hosts may be trusted with requests, as this worker sees it with its own eyes.
//!
//! What the proxy's or the collector's checks say comes with the snapshot ([`crate::host::State`]). Everything here is passive: it looks at
//! how requests of ours end.
//!
//! - [`Breaker`]: closed, open with exponential back-off, half-open with a few probes.
//! - [`Window`]: how requests of the last seconds ended. It opens breakers against the fleet's error rate ([`eject::is_outlier`]), and is
//!   the sinkhole guard of the score: see [`Health::faults`].
//! - [`Ramp`]: slow start after a join or a recovery.
//! - [`stall`]: how long a host may be silent.
//! - [`eject`]: opens breakers, and never more than the cap allows.
//!
//! A slow host is not ejected for being slow: slower hardware is for the score, which learns speeds. Only silence, failures and
//! time-outs count.

mod breaker;
pub mod eject;
mod ramp;
pub mod stall;
#[cfg(test)]
mod tests;
mod window;

pub use breaker::Breaker;
pub use eject::{Cause, Events};
pub use ramp::Ramp;
pub use window::Window;

use crate::config;
use crate::fixed;
use crate::time::{Instant, Micros};

/// The health of one host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Whether it takes requests.
    pub breaker: Breaker,
    /// How requests ended lately.
    pub window: Window,
    /// Failures since the last success.
    pub row: u32,
    /// Slow start.
    pub ramp: Ramp,
    /// When it last gave a token or an answer of ours.
    pub alive: Instant,
    /// It owes a token or an answer for too long; to be ejected in this tick.
    pub(crate) silent: bool,
    /// Mean gap between tokens of its streams; zero until one was seen.
    pub pace: Micros,
}

impl Health {
    /// Whether nothing is wrong with it and nothing was: most hosts, most of the time.
    pub const fn is_calm(&self) -> bool {
        !self.breaker.is_open() && !self.ramp.is_rising()
    }

    /// Attempts that fail there before one succeeds, Q16, by how the last ones ended: failures over successes and one.
    ///
    /// This is the sinkhole guard. A host that fails at once is always idle, so every other term calls it the fastest; but the time
    /// until a request *succeeds* there is the time of an attempt over the chance of success.
    pub fn faults(&self, now: Instant, settings: &config::Health) -> u64 {
        if self.window.is_clean() {
            return 0;
        }
        let (good, bad) = self.window.counts(now, settings.window);
        fixed::ratio(bad, good.saturating_add(1))
    }

    /// A request there has succeeded. `probe` says that it was sent while the breaker was not closed. Returns whether that closes it.
    pub fn on_success(&mut self, now: Instant, probe: bool, settings: &config::Health) -> bool {
        self.alive = now;
        self.ramp.on_answer();
        if self.breaker.is_open() {
            return self.on_probe(now, probe);
        }
        self.row = 0;
        self.window.count(now, settings.window, true);
        false
    }

    /// A probe has shown that the host serves: its answer, or the first token of it. Returns whether that closes the breaker.
    pub fn on_probe(&mut self, now: Instant, probe: bool) -> bool {
        if !probe || !self.breaker.is_open() {
            return false;
        }
        self.breaker.close(now);
        self.row = 0;
        self.window = Window::default();
        self.ramp.begin(now);
        true
    }

    /// Two tokens of one of its streams came `gap` apart.
    pub fn on_gap(&mut self, gap: Micros) {
        self.pace = if self.pace == Micros::ZERO {
            gap
        } else {
            Micros::new(fixed::ewma(self.pace.get(), gap.get(), 4))
        };
    }

    /// The collector has seen it join or come back at `since`: it begins slowly, and its breaker need not wait any longer.
    pub fn on_joined(&mut self, since: Instant) {
        if self.ramp.begin_later(since) {
            self.breaker.retry(since);
        }
    }

    /// The clock was set back to `now`: nothing lies ahead of it.
    pub fn on_clock_set_back(&mut self, now: Instant) {
        self.breaker.on_clock_set_back(now);
        self.ramp.on_clock_set_back(now);
        self.alive = self.alive.min(now);
        self.window = Window::default();
    }
}
