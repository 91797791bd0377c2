//! What time alone changes.

use plimsoll_core::host::Load;
use plimsoll_core::learn::Sums;
use plimsoll_core::share::WORKERS;
use plimsoll_core::time::{Instant, Micros};

use super::{Reference, SHARE_LIFE, arithmetic, learn};

impl Reference {
    pub(crate) fn on_tick(&mut self, now: Instant) {
        self.peers
            .retain(|_, peer| now.since(peer.stamp).get() <= SHARE_LIFE);
        for host in self.hosts.values_mut() {
            (host.peers, host.peer_sums) = (Load::default(), Sums::default());
        }
        let half = self.config.exchange.every.get() / 2;
        for (slot, peer) in &self.peers {
            // What another proxy said was half an interval old when it came.
            let age = match slot {
                ..WORKERS => 0,
                _ => now.since(peer.stamp).get() + half,
            };
            for (address, load, sums) in &peer.parts {
                let Some(address) = address else { continue };
                let host = self.hosts.get_mut(address).unwrap();
                let mut load = *load;
                if host.per_token > 0 {
                    let computed = arithmetic::over(age, arithmetic::ONE, host.per_token);
                    load.queued_tokens = load.queued_tokens.saturating_sub(computed);
                }
                host.peers.add(&load);
                host.peer_sums.add(sums);
            }
        }
        for address in self.order.clone() {
            let mut load = self.own(address);
            let host = self.hosts.get_mut(&address).unwrap();
            load.add(&host.peers);
            host.past.push((now, load));
            let forgotten = host.past.len().saturating_sub(16);
            host.past.drain(..forgotten);
        }
        self.watch(now);
        for flight in self.flights.values_mut() {
            if let (false, true, Some(address)) = (flight.stream, flight.prefilling, flight.host) {
                let settled = self.hosts[&address].settled;
                let predicted = arithmetic::times(flight.queued + flight.uncached, settled);
                flight.prefilling = now.since(flight.sent).get() <= 2 * predicted;
                if !flight.prefilling {
                    self.hosts.get_mut(&address).unwrap().ended = now;
                }
            }
        }
        self.go_on(now);
        if now.since(self.swept) >= Micros::from_millis(500) {
            self.swept = now;
            self.blocks.sweep();
        }
        if now.since(self.faded) >= Micros::from_millis(4000) {
            self.faded = now;
            for host in self.hosts.values_mut() {
                learn::fade(&mut host.own_sums);
            }
        }
        self.learn_pending(now);
        self.relearn();
    }
}
