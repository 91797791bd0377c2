//! What the other workers let through before they can say so.
//!
//! All workers see the same free room at a tick, and each would fill it. So whatever this one has let through since then, the others are taken
//! to have let through as well, each for its requests that wait: the room is divided as the queues are.

use alloc::vec::Vec;

use crate::fixed;

/// Models that are told apart; of one beyond them nothing is foreseen.
const MODELS: usize = 16;

/// The time between two ticks.
#[derive(Clone, Debug, Default)]
pub(super) struct Round {
    /// Least saturation seen of the hosts of each model.
    least: Vec<(u64, u64)>,
    /// Requests that wait elsewhere.
    elsewhere: u64,
}

impl Round {
    /// The others have said what they let through, and that so many requests wait there.
    pub(super) fn begin(&mut self, elsewhere: u64) {
        self.least.clear();
        self.elsewhere = elsewhere;
    }

    /// The saturation (Q16) of the hosts that serve `model`, given what is known of it and how many requests wait `here`.
    pub(super) fn foresee(&mut self, model: u64, known: u64, here: usize) -> u64 {
        let mut seen = self.least.iter_mut().filter(|(of, _)| *of == model);
        let least = match seen.next() {
            Some((_, least)) => {
                *least = known.min(*least);
                *least
            }
            None => {
                if self.least.len() < MODELS {
                    self.least.push((model, known));
                }
                known
            }
        };
        let added = known.saturating_sub(least);
        known.saturating_add(fixed::mul_div(added, self.elsewhere, here.max(1) as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_room_is_divided_as_the_queues_are() {
        let mut round = Round::default();
        round.begin(6);
        assert_eq!(round.foresee(1, 100, 3), 100, "nothing was let through yet");
        assert_eq!(
            round.foresee(1, 110, 3),
            130,
            "twice as many wait elsewhere"
        );
        assert_eq!(
            round.foresee(2, 500, 3),
            500,
            "another model has its own hosts"
        );
        assert_eq!(round.foresee(1, 90, 2), 90, "a host got free");
        assert_eq!(round.foresee(1, 92, 0), 104);
        round.begin(0);
        assert_eq!(round.foresee(1, 110, 3), 110);
        assert_eq!(round.foresee(1, 150, 3), 150, "nobody else has a queue");
    }
}
