//! KV-cache blocks: reference counts, prefix lookup, eviction of the least recently used.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Keys are chain hashes already, so hashing them again would only cost time.
#[derive(Clone, Copy, Default)]
pub struct PassThrough(u64);

impl Hasher for PassThrough {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0.rotate_left(8) ^ u64::from(byte)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

/// A map whose keys are hashes or small identifiers.
pub type HashKeyed<V> = HashMap<u64, V, BuildHasherDefault<PassThrough>>;

const NONE: u32 = u32::MAX;

#[derive(Clone, Copy)]
struct Block {
    /// Chain hash of the prompt up to the block's end; meaningful when `cached`.
    hash: u64,
    cached: bool,
    references: u32,
    previous: u32,
    next: u32,
}

/// Index of a block in its pool.
pub type BlockId = u32;

/// The blocks of one engine.
///
/// As in vLLM: a block without references stays findable by its hash until it is handed out again, and the one that
/// lost its last reference longest ago is handed out first.
#[derive(Clone)]
pub struct BlockPool {
    blocks: Vec<Block>,
    by_hash: HashKeyed<BlockId>,
    /// Unreferenced blocks, oldest first: a list threaded through `previous` and `next`.
    oldest: u32,
    newest: u32,
    free: usize,
}

impl BlockPool {
    /// `count` empty blocks.
    #[must_use]
    pub fn new(count: usize) -> Self {
        let empty = Block {
            hash: 0,
            cached: false,
            references: 0,
            previous: NONE,
            next: NONE,
        };
        let mut pool = Self {
            blocks: vec![empty; count],
            by_hash: HashKeyed::default(),
            oldest: NONE,
            newest: NONE,
            free: 0,
        };
        for id in 0..count {
            pool.push_free(id as u32);
        }
        pool
    }

    /// Blocks in total.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.blocks.len()
    }

    /// Blocks that no sequence holds.
    #[must_use]
    pub fn free(&self) -> usize {
        self.free
    }

    /// Blocks that sequences hold.
    #[must_use]
    pub fn used(&self) -> usize {
        self.blocks.len() - self.free
    }

    /// How many of the leading `hashes` are cached, and how many of those are unreferenced (holding them takes from
    /// the free blocks).
    #[must_use]
    pub fn lookup(&self, hashes: &[u64]) -> (usize, usize) {
        let mut unreferenced = 0;
        for (position, hash) in hashes.iter().enumerate() {
            match self.by_hash.get(hash) {
                Some(&id) => unreferenced += usize::from(self.blocks[id as usize].references == 0),
                None => return (position, unreferenced),
            }
        }
        (hashes.len(), unreferenced)
    }

    /// Takes a reference on the cached block of `hash`, if there is one.
    pub fn hold(&mut self, hash: u64) -> Option<BlockId> {
        let id = *self.by_hash.get(&hash)?;
        if self.blocks[id as usize].references == 0 {
            self.unlink(id);
        }
        self.blocks[id as usize].references += 1;
        Some(id)
    }

    /// Hands out the oldest free block, forgetting what it held. `hash` makes it findable for later prompts.
    pub fn allocate(&mut self, hash: Option<u64>) -> Option<BlockId> {
        let id = self.oldest;
        if id == NONE {
            return None;
        }
        self.unlink(id);
        let block = &mut self.blocks[id as usize];
        let forgotten = block.cached.then_some(block.hash);
        block.references = 1;
        block.cached = false;
        if let Some(old) = forgotten {
            self.by_hash.remove(&old);
        }
        if let Some(hash) = hash {
            // A second copy of a cached block stays private, as in vLLM.
            if let std::collections::hash_map::Entry::Vacant(vacant) = self.by_hash.entry(hash) {
                vacant.insert(id);
                let block = &mut self.blocks[id as usize];
                block.hash = hash;
                block.cached = true;
            }
        }
        Some(id)
    }

    /// Drops the references of one sequence. The last blocks of a prompt age first: they are the least shared.
    pub fn release(&mut self, ids: &mut Vec<BlockId>) {
        while let Some(id) = ids.pop() {
            let block = &mut self.blocks[id as usize];
            block.references -= 1;
            if block.references == 0 {
                self.push_free(id);
            }
        }
    }

    fn push_free(&mut self, id: BlockId) {
        let previous = self.newest;
        let block = &mut self.blocks[id as usize];
        block.previous = previous;
        block.next = NONE;
        if previous == NONE {
            self.oldest = id;
        } else {
            self.blocks[previous as usize].next = id;
        }
        self.newest = id;
        self.free += 1;
    }

    fn unlink(&mut self, id: BlockId) {
        let Block { previous, next, .. } = self.blocks[id as usize];
        if previous == NONE {
            self.oldest = next;
        } else {
            self.blocks[previous as usize].next = next;
        }
        if next == NONE {
            self.newest = previous;
        } else {
            self.blocks[next as usize].previous = previous;
        }
        self.free -= 1;
    }
}
