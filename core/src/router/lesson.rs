//! What requests teach: of sizes and homes by their usage, of speeds by their first tokens, awaited ones too.

use super::{Outcome, Router};
use crate::inflight::Flight;
use crate::learn::Sums;
use crate::observe::Usage;
use crate::score::LEAST_TOKENS;
use crate::time::Instant;

impl Router {
    /// Learns from what a request has really used. Returns the tokens that were prefilled for it.
    pub(super) fn on_usage(&mut self, flight: &Flight, usage: Usage, outcome: Outcome) -> u64 {
        let prompt = u64::from(usage.prompt_tokens);
        // The answer of a request that was broken off would have been longer.
        if !outcome.aborted && !outcome.failed {
            let completion = u64::from(usage.completion_tokens);
            self.costs
                .on_usage(flight.class, flight.prompt_bytes, prompt, completion);
        }
        let cached = usage.cached_tokens.map(u64::from);
        if let Some(cached) = cached {
            let beyond = cached.saturating_sub(flight.known_tokens);
            self.homes
                .on_confirmed(flight.prompt_tokens, flight.credited_tokens, beyond);
        }
        prompt.saturating_sub(cached.unwrap_or(flight.known_tokens))
    }

    /// Learns from requests that have not ended.
    pub(super) fn learn_pending(&mut self, now: Instant) {
        for host in self.fleet.hosts_mut() {
            self.relearn |= core::mem::take(&mut host.speed.pending) != Sums::default();
        }
        for flight in self.inflight.iter() {
            let Some(host) = self.fleet.get_mut(usize::from(flight.host)) else {
                continue;
            };
            // As long as the engine has not confirmed it, a home's credit may be wrong, which must not make the host look slow.
            let ahead = flight.ahead().saturating_add(flight.credited_tokens);
            match flight.lesson {
                Some(ttft) => host.speed.on_pending(ttft, ahead),
                None if flight.stream && flight.prefilling && flight.teaches => {
                    host.speed.on_waiting(now.since(flight.sent), ahead);
                }
                None => continue,
            }
            self.relearn |= host.speed.pending.samples > 0;
        }
    }

    /// Learns from a first token once it is known how many tokens were really prefilled for it: an estimate that counted on a cache hit
    /// which did not happen would make the host look slow.
    pub(super) fn learn(&mut self, flight: &Flight, uncached_tokens: u64) {
        let host = self.fleet.get_mut(usize::from(flight.host));
        if let (Some(ttft), Some(host)) = (flight.lesson, host) {
            let ahead = flight
                .queued_tokens
                .saturating_add(uncached_tokens.max(LEAST_TOKENS));
            host.speed.on_first_token(ttft, ahead);
            self.relearn = true;
        }
    }
}
