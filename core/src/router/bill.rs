//! What one request used, for whoever pays for it.

use crate::fixed;
use crate::fleet::Fleet;
use crate::inflight::Flight;
use crate::router::Outcome;
use crate::time::{Instant, Micros};

/// What one request used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bill {
    /// Tokens of the prompt.
    pub prompt_tokens: u64,
    /// Of those, what the host had cached.
    pub cached_tokens: u64,
    /// Tokens of the answer.
    pub output_tokens: u64,
    /// Its part of the host's time: its own prefill, and of the rest of its time there one part in as many as there were requests. An estimate.
    pub gpu: Micros,
    /// Whether the engine told the tokens; they are estimated otherwise.
    pub told: bool,
}

/// The bill of `flight`, which ends `now` and is still booked on its host. Who got nothing pays nothing.
pub(super) fn of(flight: &Flight, fleet: &Fleet, now: Instant, outcome: Outcome) -> Bill {
    let refused = outcome.failed || (400..600).contains(&outcome.status);
    if refused && flight.tokens == 0 && flight.usage.is_none() {
        return Bill::default();
    }
    let (prompt_tokens, cached_tokens, output_tokens) = match flight.usage {
        Some(usage) => (
            u64::from(usage.prompt_tokens),
            u64::from(usage.cached_tokens.unwrap_or(0)),
            u64::from(usage.completion_tokens),
        ),
        None => (
            flight.prompt_tokens,
            flight.known_tokens,
            u64::from(flight.tokens),
        ),
    };
    let there = now.since(flight.sent).get();
    let host = fleet.get(usize::from(flight.host));
    let gpu = host.map_or(0, |host| {
        let uncached = prompt_tokens.saturating_sub(cached_tokens);
        let prefill = fixed::mul_q16(uncached, host.speed.per_token).min(there);
        let requests = u64::from(host.ours().saturating_add(host.others()).max(1));
        prefill + (there - prefill) / requests
    });
    Bill {
        prompt_tokens,
        cached_tokens,
        output_tokens,
        gpu: Micros::new(gpu),
        told: flight.usage.is_some(),
    }
}
