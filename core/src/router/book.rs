//! The books: what each host has of ours.

use super::Router;
use crate::inflight::Flight;
use crate::time::Instant;

impl Router {
    /// Counts a request where it is.
    pub(super) fn book(&mut self, flight: &Flight) {
        let Some(host) = self.fleet.get_mut(usize::from(flight.host)) else {
            return;
        };
        host.own.requests = host.own.requests.saturating_add(1);
        host.own.kv_tokens = host.own.kv_tokens.saturating_add(flight.kv_tokens);
        if flight.probe {
            host.health.breaker.begin_probe();
        }
        if flight.prefilling {
            host.own.prefilling = host.own.prefilling.saturating_add(1);
            host.own.queued_tokens = host
                .own
                .queued_tokens
                .saturating_add(flight.uncached_tokens);
        }
    }

    /// Takes it back.
    pub(super) fn unbook(&mut self, now: Instant, flight: &Flight) {
        let Some(host) = self.fleet.get_mut(usize::from(flight.host)) else {
            return;
        };
        host.own.requests = host.own.requests.saturating_sub(1);
        host.own.kv_tokens = host.own.kv_tokens.saturating_sub(flight.kv_tokens);
        if flight.probe {
            host.health.breaker.end_probe();
        }
        if flight.prefilling {
            host.end_prefill(now, flight.uncached_tokens);
        }
    }
}
