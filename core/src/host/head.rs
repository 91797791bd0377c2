//! How far the engine has come with the first of our prefills: engines compute prompts in turn, and say nothing until a first token.

use crate::inflight::Flight;
use crate::learn::Speed;
use crate::time::Instant;

/// A prefill counts as left by one part in so many until its first token, which alone tells that it is over.
const KEPT: u64 = 4;

/// The first of our prefills on a host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// When the request was sent, its uncached tokens, and those that were queued before it.
    first: Option<(Instant, u64, u64)>,
    /// When the last of our prefills ended there.
    pub ended: Instant,
}

impl Head {
    /// `flight` is prefilling there.
    pub fn meet(&mut self, flight: &Flight) {
        let met = (flight.sent, flight.uncached_tokens, flight.queued_tokens);
        self.first = Some(self.first.map_or(met, |first| first.min(met)));
    }

    /// Tokens of it that must be computed `now` at that speed. Whom we have met is forgotten.
    pub fn computed(&mut self, now: Instant, speed: &Speed) -> u64 {
        let Some((sent, tokens, ahead)) = self.first.take() else {
            return 0;
        };
        // Its turn came when the prefill before it ended, if that was ours, else when what was queued there had been computed.
        let (since, ahead) = if self.ended > sent {
            (self.ended, 0)
        } else {
            (sent, ahead)
        };
        speed
            .tokens_in(now.since(since))
            .saturating_sub(ahead)
            .min(tokens.saturating_sub(tokens / KEPT))
    }
}
