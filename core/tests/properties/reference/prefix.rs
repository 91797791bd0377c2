//! Which host holds which block, without a bound on memory.

use std::collections::{BTreeMap, BTreeSet};

use plimsoll_core::fixed::decay;
use plimsoll_core::host::Address;

/// Half-life of popularity, seconds.
const HALF_LIFE: u64 = 120;

#[derive(Debug, Default)]
struct Block {
    used: u64,
    popularity: u64,
    extent: u64,
    current: BTreeSet<Address>,
    previous: BTreeSet<Address>,
}

#[derive(Debug, Default)]
pub(super) struct Blocks {
    blocks: BTreeMap<u64, Block>,
    requests: u64,
    requests_at: u64,
    turning: BTreeSet<Address>,
}

impl Blocks {
    pub(super) fn holds(&self, key: u64, address: Address) -> bool {
        self.blocks.get(&key).is_some_and(|block| {
            block.current.contains(&address) || block.previous.contains(&address)
        })
    }

    pub(super) fn extent(&self, key: u64) -> u64 {
        self.blocks.get(&key).map_or(0, |block| block.extent)
    }

    pub(super) fn count_request(&mut self, seconds: u64) {
        let age = seconds.saturating_sub(self.requests_at);
        self.requests = decay(self.requests, age, HALF_LIFE) + 256;
        self.requests_at = seconds;
    }

    fn touch(&mut self, key: u64, seconds: u64) -> &mut Block {
        let block = self.blocks.entry(key).or_default();
        let age = seconds.saturating_sub(block.used);
        block.popularity = decay(block.popularity, age, HALF_LIFE);
        block.used = seconds;
        block
    }

    pub(super) fn insert(&mut self, key: u64, address: Address, bytes: u64, seconds: u64) {
        let block = self.touch(key, seconds);
        block.popularity += 256;
        block.extent = block.extent.max(bytes);
        block.current.insert(address);
    }

    /// Another worker placed the block there.
    pub(super) fn hear_of(&mut self, key: u64, address: Address, bytes: u32, seconds: u64) {
        let block = self.touch(key, seconds);
        block.extent = block.extent.max(u64::from(bytes));
        block.current.insert(address);
    }

    /// Nothing is held there any more.
    pub(super) fn forget(&mut self, address: Address) {
        self.turning.remove(&address);
        for block in self.blocks.values_mut() {
            block.current.remove(&address);
            block.previous.remove(&address);
        }
    }

    pub(super) fn is_rare(&self, key: u64, hosts: u64, seconds: u64) -> bool {
        self.blocks.get(&key).is_none_or(|block| {
            let age = seconds.saturating_sub(block.used);
            decay(block.popularity, age, HALF_LIFE) * 4 * hosts < self.requests
        })
    }

    pub(super) fn turn(&mut self, address: Address) {
        self.turning.insert(address);
    }

    pub(super) fn sweep(&mut self) {
        for address in std::mem::take(&mut self.turning) {
            for block in self.blocks.values_mut() {
                block.previous.remove(&address);
                if block.current.remove(&address) {
                    block.previous.insert(address);
                }
            }
        }
    }
}
