//! What a host had of ours a moment ago.
//!
//! An engine's counters are some ticks old when a worker reads them, and requests of ours have come and ended since. Held against what is
//! there now, those that have ended would look like another proxy's.

use super::Load;
use crate::time::Instant;

/// Ticks remembered. A report is published a quarter of a poll interval after it came at most, and read within two ticks: 300 ms where polls are a
/// second apart.
const TICKS: usize = 16;

/// Our load on one host at the last ticks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Past {
    loads: [(Instant, Load); TICKS],
    /// Where the oldest is, and the next goes.
    oldest: usize,
    /// When the counters were read that were looked up last.
    settled: Instant,
}

impl Past {
    /// Our load is `load` at `now`.
    pub fn note(&mut self, now: Instant, load: Load) {
        if let Some(slot) = self.loads.get_mut(self.oldest) {
            *slot = (now, load);
        }
        self.oldest = (self.oldest + 1) % TICKS;
    }

    /// Our load when the engine's counters were read, at `at`: that of the first tick from then on, or the `present` one when there was
    /// none. Nothing when these counters were looked up before.
    pub fn settle(&mut self, at: Instant, present: Load) -> Option<Load> {
        if core::mem::replace(&mut self.settled, at) == at {
            return None;
        }
        let (newer, older) = self.loads.split_at_checked(self.oldest)?;
        let mut noted = older.iter().chain(newer);
        let then = noted.find(|(noted, _)| *noted >= at.max(Instant::from_micros(1)));
        Some(then.map_or(present, |(_, load)| *load))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(requests: u32) -> Load {
        Load {
            requests,
            ..Load::default()
        }
    }

    #[test]
    fn counters_are_held_against_what_was_there_when_they_were_read() {
        let at = Instant::from_micros;
        let mut past = Past::default();
        let look = |past: &mut Past, time| past.settle(at(time), load(99)).map(|l| l.requests);
        assert_eq!(look(&mut past, 5), Some(99), "nothing was noted yet");
        for tick in 1..=20 {
            past.note(at(tick * 10), load(tick as u32));
        }
        assert_eq!(look(&mut past, 155), Some(16));
        assert_eq!(look(&mut past, 160), Some(16));
        assert_eq!(look(&mut past, 160), None, "the same counters again");
        assert_eq!(look(&mut past, 201), Some(99), "after the last tick");
        assert_eq!(look(&mut past, 1), Some(5), "before the oldest");
    }
}
