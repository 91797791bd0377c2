//! Many shares made into one, as if one worker had written it.
//!
//! A proxy tells others what its workers do as one share, and its workers hear what all other proxies do as one share. Work and samples
//! add up host by host, and the blocks of all come in one running order, so a reader needs to know nothing of who was merged.
//!
//! Ejections are not merged: a proxy that cannot reach a host says something of its own network as well, and must not take the host
//! from those who can. Each proxy finds out for itself.

use alloc::vec::Vec;

use super::{Part, Share, SharedBlock, write};
use crate::time::{Instant, Micros};

/// Blocks kept for readers, of all that are merged.
pub const MERGED_RING: usize = 2048;

/// How far the blocks of one writer have been taken.
#[derive(Clone, Copy, Debug)]
struct Writer {
    owner: u64,
    next: u64,
    heard: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Placed {
    key: u64,
    host: u64,
    extent: u32,
    /// When it was taken, as [`moment`] has it.
    taken: u32,
}

/// Time in steps of 16 ms, as it fits beside an extent. It runs over every two years.
const fn moment(micros: u64) -> u32 {
    (micros >> 14) as u32
}

/// Merges shares: [`Self::begin`], [`Self::add`] for each, [`Self::write`]; over and over.
#[derive(Clone, Debug)]
pub struct Merger {
    owner: u64,
    /// Hosts beyond this many are left out.
    hosts: usize,
    /// In the order of keys.
    parts: Vec<Part>,
    writers: Vec<Writer>,
    /// Oldest first.
    blocks: Vec<Placed>,
    /// Running number after the last block.
    next: u64,
}

impl Merger {
    /// Merges under the name of `owner`, at most `hosts` hosts.
    pub const fn new(owner: u64, hosts: usize) -> Self {
        Self {
            owner,
            hosts,
            parts: Vec::new(),
            writers: Vec::new(),
            blocks: Vec::new(),
            next: 0,
        }
    }

    /// Who writes.
    pub const fn owner(&self) -> u64 {
        self.owner
    }

    /// Goes on under the name of `owner`, who had told blocks up to the number `next`.
    pub const fn resume(&mut self, owner: u64, next: u64) {
        self.owner = owner;
        self.next = self.next.saturating_add(next);
    }

    /// Begins anew: nobody has told anything. Blocks stay.
    pub fn begin(&mut self) {
        self.parts.clear();
    }

    /// Adds all of `share`.
    pub fn add(&mut self, now: Instant, share: &Share<'_>) {
        for part in share.parts() {
            self.add_part(&part);
        }
        let known = self.known(now, share);
        for block in share.blocks().skip(known) {
            if let Some(host) = share.host_at(block.part) {
                self.next = self.next.saturating_add(1);
                self.blocks.push(Placed {
                    key: block.key,
                    host,
                    extent: block.extent,
                    taken: moment(now.as_micros()),
                });
            }
        }
        self.trim(0);
    }

    /// Lets go of the first `old` blocks and of those too many: now and then, since those that stay have to be moved.
    fn trim(&mut self, old: usize) {
        let too_many = self.blocks.len().saturating_sub(2 * MERGED_RING).max(old);
        if too_many > MERGED_RING / 2 {
            self.blocks.drain(..too_many);
        }
    }

    /// Adds work and samples of one host.
    #[inline(never)]
    fn add_part(&mut self, part: &Part) {
        match self.place(part.host) {
            Ok(place) => {
                if let Some(sum) = self.parts.get_mut(place) {
                    sum.load.add(&part.load);
                    sum.sums.add(&part.sums);
                }
            }
            Err(place) if self.parts.len() < self.hosts => {
                let ejected_until = Instant::ZERO;
                self.parts.insert(
                    place,
                    Part {
                        ejected_until,
                        ..*part
                    },
                );
            }
            Err(_) => {}
        }
    }

    #[inline(never)]
    fn place(&self, host: u64) -> Result<usize, usize> {
        self.parts.binary_search_by_key(&host, |part| part.host)
    }

    /// How many of the blocks of `share` its writer had told before.
    fn known(&mut self, now: Instant, share: &Share<'_>) -> usize {
        let (owner, next) = (share.owner(), share.next());
        let mut writers = self.writers.iter_mut();
        let before = match writers.find(|writer| writer.owner == owner) {
            Some(writer) => {
                writer.heard = now;
                core::mem::replace(&mut writer.next, next)
            }
            None => {
                self.writers.push(Writer {
                    owner,
                    next,
                    heard: now,
                });
                0
            }
        };
        let first = next.saturating_sub(share.blocks().len() as u64);
        usize::try_from(before.saturating_sub(first)).unwrap_or(usize::MAX)
    }

    /// Writes what was added since [`Self::begin`] into `out`. A block is told for as long as `keep` after it was taken, and the last
    /// [`MERGED_RING`] at most; a writer that says nothing for so long is forgotten.
    pub fn write(&mut self, now: Instant, keep: Micros, out: &mut Vec<u8>) {
        self.writers
            .retain(|writer| now.since(writer.heard) <= keep);
        let too_many = self.blocks.len().saturating_sub(MERGED_RING);
        let kept = self.blocks.get(too_many..).unwrap_or_default();
        let (now_moment, keep) = (moment(now.as_micros()), moment(keep.get()));
        let is_new = |block: &Placed| now_moment.wrapping_sub(block.taken) <= keep;
        let old = kept.iter().position(is_new);
        let old = too_many + old.unwrap_or(kept.len());
        // Blocks of one prompt follow each other, and are at one host.
        let mut last = (None, u32::MAX);
        let blocks = self.blocks.iter().skip(old).map(|block| {
            if last.0 != Some(block.host) {
                // One whose host nobody speaks of is a block of nobody: it counts in the running number.
                let place = self.place(block.host);
                last = (
                    Some(block.host),
                    place.map_or(u32::MAX, |place| place as u32),
                );
            }
            SharedBlock {
                key: block.key,
                part: last.1,
                extent: block.extent,
            }
        });
        write(
            out,
            self.owner,
            now,
            self.next,
            self.parts.iter().copied(),
            blocks,
        );
        self.trim(old);
    }
}
