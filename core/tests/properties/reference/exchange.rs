//! What the collector and the other workers say.

use plimsoll_core::fleet::Listed;
use plimsoll_core::host::{Address, State};
use plimsoll_core::time::Instant;

use super::arithmetic::{ONE, towards};
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
        // What was ours at the first of the last sixteen ticks from the poll on is in its counters.
        let (mut ours, mut all) = (0, 0);
        for address in addresses {
            let mut now = self.own(address);
            let host = self.hosts.get_mut(&address).unwrap();
            let Some(polled) = host.polled else { continue };
            if host.polled_at != polled.at {
                host.polled_at = polled.at;
                now.add(&host.peers);
                let noted = host.past.iter().find(|(at, _)| *at >= polled.at);
                host.at_poll = noted.map_or(now, |(_, load)| *load);
            }
            if host.state != State::Gone {
                ours += u64::from(host.at_poll.requests) * ONE;
                all += (u64::from(polled.running) + u64::from(polled.waiting)) * ONE;
            }
        }
        if ours + all > 0 {
            let (mean, mean_all) = self.crowd;
            self.crowd = (towards(mean, ours, 6), towards(mean_all, all, 6));
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
