//! How far engines have come with the first of our prefills.

use plimsoll_core::host::Address;
use plimsoll_core::time::Instant;

use super::arithmetic::{ONE, over};
use super::{Flight, Reference};

impl Reference {
    /// Of our first prefill there, the tokens that must be computed.
    pub(super) fn go_on(&mut self, now: Instant) {
        for (address, host) in &mut self.hosts {
            let there = |f: &&Flight| f.host == Some(*address) && f.prefilling;
            let first = self.flights.values().filter(there);
            let first = first.map(|f| (f.sent, f.uncached, f.queued)).min();
            host.done = 0;
            if let (Some((sent, tokens, queued)), true) = (first, host.per_token > 0) {
                let (since, ahead) = match host.ended > sent {
                    true => (host.ended, 0),
                    false => (sent, queued),
                };
                let computed = over(now.since(since).get(), ONE, host.per_token);
                host.done = computed.saturating_sub(ahead).min(tokens - tokens / 4);
            }
        }
    }

    /// A prefill of ours is over there.
    pub(super) fn ends(&mut self, now: Instant, address: Option<Address>) {
        if let Some(host) = address.and_then(|address| self.hosts.get_mut(&address)) {
            (host.ended, host.done) = (now, 0);
        }
    }
}
