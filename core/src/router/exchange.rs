//! The router's exchange with the collector (snapshots) and with the other workers (shares).

use alloc::vec::Vec;

use super::{Applied, Router};
use crate::fleet::Listed;
use crate::health::eject;
use crate::host::{Host, Load};
use crate::learn::Sums;
use crate::prefix::Learned;
use crate::share::{self, Part, RING, Share, SharedBlock};
use crate::snapshot::{SnapshotError, View};
use crate::time::{Instant, Micros};

/// A share older than this is of a worker that is gone.
const SHARE_LIFE: Micros = Micros::from_millis(1000);

/// Whether a worker that wrote at `stamp` may be there at `now`. A stamp far ahead is of one that died before the clock was set back.
fn alive(now: Instant, stamp: Instant) -> bool {
    now.since(stamp) <= SHARE_LIFE && stamp.since(now) <= SHARE_LIFE
}

/// The last prefix blocks that this worker placed, for the others to read.
#[derive(Clone, Debug)]
pub(super) struct Ring {
    blocks: Vec<Learned>,
    /// Running number of the next block.
    next: u64,
    missed: u64,
}

impl Ring {
    pub(super) fn new() -> Self {
        Self {
            blocks: Vec::with_capacity(RING),
            next: 0,
            missed: 0,
        }
    }

    pub(super) fn push(&mut self, learned: Learned) {
        let place = (self.next % RING as u64) as usize;
        match self.blocks.get_mut(place) {
            Some(slot) => *slot = learned,
            None => self.blocks.push(learned),
        }
        self.next += 1;
    }

    /// Blocks of other workers that were overwritten before they were read.
    pub(super) const fn missed(&self) -> u64 {
        self.missed
    }

    /// The blocks, oldest first.
    fn iter(&self) -> impl Iterator<Item = Learned> + '_ {
        let split = if self.blocks.len() < RING {
            0
        } else {
            (self.next % RING as u64) as usize
        };
        let (newer, older) = self
            .blocks
            .split_at_checked(split)
            .unwrap_or((&self.blocks, &[]));
        older.iter().chain(newer).copied()
    }
}

/// Another worker, by the slot it writes.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    slot: usize,
    owner: u64,
    stamp: Instant,
    next: u64,
    parts: Vec<(u16, Load, Sums)>,
}

/// Another host takes the place `host`: what was placed there, or said of it, is not true of the new one.
pub(super) fn forget(ring: &mut Ring, peers: &mut [Peer], host: usize) {
    let places = ring.blocks.iter_mut().map(|learned| &mut learned.host);
    let parts = peers.iter_mut().flat_map(|peer| &mut peer.parts);
    for place in places.chain(parts.map(|(place, ..)| place)) {
        if usize::from(*place) == host {
            *place = super::NOWHERE;
        }
    }
}

impl Router {
    /// Takes over what the collector has published. Returns the epoch.
    ///
    /// # Errors
    /// When the bytes are no snapshot this module can read; the last good one stays in force.
    pub fn apply_snapshot(&mut self, now: Instant, bytes: &[u8]) -> Result<u64, SnapshotError> {
        let view = View::new_checked(bytes)?;
        let (epoch, writer) = (view.epoch(), view.writer());
        // A stamp from the future is of a clock that was set back: it counts as written now, and ages from here.
        let stamp = view.stamp().min(now);
        if self
            .snapshot
            .is_some_and(|applied| applied.epoch == epoch && applied.writer == writer)
        {
            return Ok(epoch);
        }
        let index = &mut self.index;
        let polled = view.records().filter_map(|record| record.polled);
        let listed = view.records().map(|record| Listed {
            address: record.address,
            weight: record.weight,
            models: record.models,
            state: record.state,
            since: record.since,
            polled: record.polled,
        });
        let (ring, peers) = (&mut self.ring, &mut self.peers);
        self.fleet.sync(listed, |reused| {
            index.forget(reused);
            forget(ring, peers, reused);
        });
        self.fleet.obey(&self.config);
        self.snapshot = Some(Applied {
            epoch,
            writer,
            stamp,
            polled: polled.map(|polled| polled.at.min(now)).max(),
        });

        for (index, host) in self.fleet.hosts_mut().iter_mut().enumerate() {
            match host.turns() {
                0 => {}
                1 => self.index.turn(index),
                _ => self.index.forget(index),
            }
        }
        self.fleet.settle_polls();
        self.relearn = true;
        // A host that joins has no speed yet, and a request before the next tick would take it for free.
        if self
            .fleet
            .hosts()
            .iter()
            .any(|host| host.speed.per_token == 0)
        {
            self.fleet.relearn(&self.config.priors);
        }
        Ok(epoch)
    }

    /// Writes this worker's share into `out`.
    pub fn write_share(&mut self, now: Instant, out: &mut Vec<u8>) {
        // Parts go out in the order of hosts, those with nothing to tell left out; blocks name their host by its place in that order.
        let telling = |host: &Host| {
            host.own != Load::default()
                || host.speed.told().samples > 0
                || host.turnover > 0
                || host.health.breaker.is_open()
        };
        let hosts = self.fleet.hosts();
        let parts = hosts.iter().filter(|host| telling(host)).map(|host| Part {
            host: host.key,
            load: Load {
                queued_tokens: host.left(),
                ..host.own
            },
            sums: host.speed.told(),
            ejected_until: host.health.breaker.open_until().unwrap_or_default(),
        });
        let mut places = Vec::with_capacity(hosts.len());
        let mut place = 0u32;
        for host in hosts {
            places.push(telling(host).then_some(place));
            place += u32::from(telling(host));
        }
        // Every block listed counts in the running number, so one whose host is gone is kept as a block of nobody.
        let blocks = self.ring.iter().map(|learned| {
            let part = places
                .get(usize::from(learned.host))
                .copied()
                .flatten()
                .unwrap_or(u32::MAX);
            SharedBlock {
                key: learned.key,
                part,
                extent: learned.extent,
            }
        });
        share::write(out, self.seed, now, self.ring.next, parts, blocks);
    }

    /// Whether other proxies tell what they do.
    pub(super) fn hears_proxies(&self) -> bool {
        self.peers.iter().any(|peer| peer.slot >= share::WORKERS)
    }

    /// Takes over what the worker, or from [`share::WORKERS`] on the proxy, of `slot` has written. Damaged bytes, one's own, and what was read before change nothing.
    pub fn apply_share(&mut self, now: Instant, slot: usize, bytes: &[u8]) {
        let Some(share) = Share::new_checked(bytes) else {
            return;
        };
        if share.owner() == self.seed || !alive(now, share.stamp()) {
            return;
        }
        let place = match self.peers.iter().position(|peer| peer.slot == slot) {
            Some(place) => place,
            None => {
                self.peers.push(Peer {
                    slot,
                    owner: 0,
                    stamp: Instant::ZERO,
                    next: 0,
                    parts: Vec::new(),
                });
                self.peers.len() - 1
            }
        };
        let Some(peer) = self.peers.get_mut(place) else {
            return;
        };
        if peer.owner != share.owner() {
            (peer.owner, peer.next) = (share.owner(), 0);
        } else if peer.stamp == share.stamp() {
            return;
        }
        peer.stamp = share.stamp();
        peer.parts.clear();
        // Records of hosts unknown here keep their place, since blocks refer to places.
        for part in share.parts() {
            let host = self
                .fleet
                .find_key(part.host)
                .and_then(|index| u16::try_from(index).ok())
                .unwrap_or(super::NOWHERE);
            peer.parts.push((host, part.load, part.sums));
            let (settings, events) = (&self.config.health, &mut self.events);
            let (hosts, host) = (self.fleet.hosts_mut(), usize::from(host));
            eject::adopt(hosts, host, now, part.ejected_until, settings, events);
        }
        let blocks = share.blocks();
        let first = share.next().saturating_sub(blocks.len() as u64);
        if peer.next != 0 {
            self.ring.missed = self
                .ring
                .missed
                .saturating_add(first.saturating_sub(peer.next));
        }
        let known = usize::try_from(peer.next.saturating_sub(first)).unwrap_or(usize::MAX);
        let seconds = now.as_micros() / 1_000_000;
        for block in blocks.skip(known) {
            if let Some((host, ..)) = peer.parts.get(block.part as usize)
                && *host != super::NOWHERE
            {
                self.index.insert_learned(
                    Learned {
                        key: block.key,
                        host: *host,
                        extent: block.extent,
                    },
                    seconds,
                );
            }
        }
        peer.next = share.next();
        self.peers_changed = true;
    }

    /// Sums up what the other workers, and other proxies, said last. What proxies said grows old between two exchanges, and was half an
    /// interval old when it came: the engines have gone on with what was queued, or all proxies would shun a host that is long done.
    pub(super) fn sum_peers(&mut self, now: Instant) {
        let before = self.peers.len();
        self.peers.retain(|peer| alive(now, peer.stamp));
        let changed = core::mem::take(&mut self.peers_changed) || self.peers.len() != before;
        if !changed && !self.hears_proxies() {
            return;
        }
        for host in self.fleet.hosts_mut() {
            host.peers = Load::default();
            host.speed.peers = Sums::default();
        }
        for peer in &self.peers {
            let age = if peer.slot < share::WORKERS {
                Micros::ZERO
            } else {
                now.since(peer.stamp) + Micros::new(self.config.exchange.every.get() / 2)
            };
            for (host, load, sums) in &peer.parts {
                if let Some(host) = self.fleet.get_mut(usize::from(*host)) {
                    host.add_peer(load, age);
                    host.speed.peers.add(sums);
                }
            }
        }
        self.relearn |= changed;
    }
}
