//! What the collector and the other workers say.

use plimsoll_core::fleet::Listed;
use plimsoll_core::host::{Address, Load, State};
use plimsoll_core::time::Instant;

use super::arithmetic::{ratio, towards};
use super::decide::turns;
use super::{Applied, Peer, Reference, SHARE_LIFE, Said, seconds};

impl Reference {
    pub(crate) fn apply_snapshot(
        &mut self,
        now: Instant,
        epoch: u64,
        writer: u64,
        stamp: Instant,
        list: &[Listed],
    ) {
        if let Some(last) = self.snapshot
            && (last.epoch, last.writer) == (epoch, writer)
        {
            return;
        }
        if self.list(list) {
            self.relearn();
        }
        self.obey();
        self.snapshot = Some(Applied {
            epoch,
            writer,
            stamp: stamp.min(now),
            polled: list.iter().filter_map(|l| l.polled).map(|p| p.at).max(),
        });
        let addresses: Vec<Address> = self.hosts.keys().copied().collect();
        for address in &addresses {
            match turns(self.hosts.get_mut(address).unwrap()) {
                0 => {}
                1 => self.blocks.turn(*address),
                _ => self.blocks.forget(*address),
            }
        }
        let (mut ours, mut others) = (0, 0);
        for address in addresses {
            let own = self.own(address);
            let host = &self.hosts[&address];
            let at = host.polled.map_or(Instant::ZERO, |polled| polled.at);
            // What was sent after the engine was asked is not in its answer.
            let mut known = Load {
                requests: 0,
                prefilling: 0,
                queued_tokens: own.queued_tokens,
                kv_tokens: 0,
            };
            for flight in self.flights.values() {
                if flight.host == Some(address) && flight.sent <= at {
                    known.requests += 1;
                    known.prefilling += u32::from(flight.prefilling);
                    known.kv_tokens += flight.kv_tokens;
                }
            }
            known.add(&host.peers);
            let host = self.hosts.get_mut(&address).unwrap();
            host.at_poll = known;
            if host.state != State::Gone {
                ours += u64::from(own.requests + host.peers.requests);
                others += self.others(address);
            }
        }
        if ours + others > 0 || self.foreign.is_some() {
            let share = ratio(others, ours + others);
            self.foreign = Some(
                self.foreign
                    .map_or(share, |before| towards(before, share, 4)),
            );
        }
    }

    pub(crate) fn apply_share(&mut self, now: Instant, slot: usize, said: &Said) {
        let apart = now.as_micros().abs_diff(said.stamp.as_micros());
        if said.owner == self.seed || apart > SHARE_LIFE {
            return;
        }
        let peer = self.peers.entry(slot).or_insert(Peer {
            owner: 0,
            stamp: Instant::ZERO,
            next: 0,
            parts: Vec::new(),
        });
        if peer.owner != said.owner {
            (peer.owner, peer.next) = (said.owner, 0);
        } else if peer.stamp == said.stamp {
            return;
        }
        peer.stamp = said.stamp;
        peer.parts = said
            .parts
            .iter()
            .map(|part| {
                let known = self.hosts.iter().find(|(_, host)| host.key == part.host);
                (known.map(|(address, _)| *address), part.load, part.sums)
            })
            .collect();
        let first = said.next - said.blocks.len() as u64;
        for (number, block) in (first..).zip(&said.blocks) {
            if number >= peer.next
                && let Some((Some(address), ..)) = peer.parts.get(block.part as usize)
            {
                self.blocks
                    .hear_of(block.key, *address, block.extent, seconds(now));
            }
        }
        peer.next = said.next;
        for part in &said.parts {
            let known = self.hosts.iter().find(|(_, host)| host.key == part.host);
            if let Some(address) = known.map(|(address, _)| *address) {
                self.hears_of_ejection(now, address, part.ejected_until);
            }
        }
    }
}
