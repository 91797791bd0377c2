//! What most rivals have in common: a view of loads, a choice, bookings.

use super::loads::Loads;
use super::prefix_index::PrefixIndex;
use super::{Policy, Polled, Truth};
use crate::engine::Token;
use crate::fleet::Prepared;

/// A rival that keeps [`Loads`].
pub(super) trait Rival {
    /// Its view of the hosts' loads.
    fn loads(&mut self) -> &mut Loads;

    /// Its own index of what was sent where, if that is booked with every request.
    fn index(&mut self) -> Option<&mut PrefixIndex> {
        None
    }

    /// The host for a request, among those listed; `None` when it finds none.
    fn pick(&mut self, now: u64, request: &Prepared, truth: &Truth<'_>) -> Option<usize>;

    /// Books the request where it goes.
    fn book(&mut self, now: u64, host: usize, request: &Prepared) {
        if let Some(index) = self.index() {
            index.insert(host, now, &request.prompt);
        }
        self.loads().sent(host, request.id, request.prompt.tokens);
    }

    /// Its first token came `ttft` microseconds after it arrived.
    fn first_token(&mut self, _now: u64, _host: usize, _ttft: u64) {}

    /// The request is no longer there.
    fn ended(&mut self, _host: usize, _request: &Prepared) {}
}

impl<R: Rival> Policy for R {
    fn poll(&mut self, _now: u64, hosts: &[Polled]) {
        self.loads().poll(hosts);
    }

    fn choose(&mut self, now: u64, request: &Prepared, truth: &Truth<'_>) -> usize {
        let host = self.pick(now, request, truth).unwrap_or(0);
        self.book(now, host, request);
        host
    }

    fn token(&mut self, now: u64, host: usize, token: &Token, request: &Prepared) {
        if token.ordinal == 1 {
            self.loads().prefilled(host, token.id);
            self.first_token(now, host, now - request.at_micros);
        }
        if token.last {
            self.loads().ended(host);
            self.ended(host, request);
        }
    }

    fn failed(&mut self, _now: u64, host: usize, request: &Prepared) {
        self.loads().prefilled(host, request.id);
        self.loads().ended(host);
        self.ended(host, request);
    }
}
