//! What one worker tells the others every tick: its outstanding work, what it has learned of speeds, and which host has come to hold
//! which prefix blocks. A [`Merger`] makes one share of many, so that a whole proxy tells others in the same words.
//!
//! Each Envoy worker is a VM of its own, so without this every worker would be a router of its own, with the split prefix index that
//! costs. A share is written whole by its one writer and read by the others; blocks carry a running number, so a reader takes each
//! once and sees how many it missed.
//!
//! Layout, little endian: magic `PLSH`, version (u16), zero (u16), owner (u64), stamp in microseconds (u64), number of the first block
//! after the ones listed (u64), hosts (u32), blocks (u32), checksum of all the rest (u64); then a record of 72 bytes a host (key, requests,
//! prefilling, queued tokens, KV tokens, the four sums of [`crate::learn::Sums`], and the end of its ejection) and 16 bytes a block
//! (key and, as u32, the place of its host among the records and the bytes of its prompt).

mod merge;
#[cfg(test)]
mod tests;

pub use merge::{MERGED_RING, Merger};

use alloc::vec::Vec;

use crate::bytes::{pad, put, u16_at, u32_at, u64_at};
use crate::hash::Chain;
use crate::host::Load;
use crate::learn::Sums;
use crate::time::Instant;

const MAGIC: &[u8; 4] = b"PLSH";
const VERSION: u16 = 2;
/// Bytes ahead of the hosts.
pub const HEADER: usize = 48;
/// Bytes a host.
pub const RECORD: usize = 72;
/// Bytes a block.
pub const BLOCK: usize = 16;
/// Blocks kept for the others to read; at 60 blocks a prompt, 17 prompts between two ticks.
pub const RING: usize = 1024;

/// Workers of one proxy that tell each other, at most. A slot below is a worker's, one from here on another proxy's.
pub const WORKERS: usize = 256;

/// One host of a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Key of the host's address.
    pub host: u64,
    /// The worker's outstanding work there.
    pub load: Load,
    /// What it has learned of the host's speed.
    pub sums: Sums,
    /// Until when the worker sends nothing there; zero if it does.
    pub ejected_until: Instant,
}

/// A block and the place of its host among the parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharedBlock {
    /// Key of the block.
    pub key: u64,
    /// Place of the host among the parts.
    pub part: u32,
    /// Bytes of the prompt that the block is of.
    pub extent: u32,
}

/// Writes a share into `out`, which is emptied first. `next` is the running number after the last of `blocks`.
pub fn write(
    out: &mut Vec<u8>,
    owner: u64,
    stamp: Instant,
    next: u64,
    parts: impl Iterator<Item = Part>,
    blocks: impl Iterator<Item = SharedBlock>,
) {
    out.clear();
    pad(out, HEADER);
    let (mut part_count, mut block_count) = (0u32, 0u32);
    for part in parts {
        write_part(out, &part);
        part_count += 1;
    }
    for block in blocks {
        let place = (u64::from(block.extent) << 32) | u64::from(block.part);
        out.extend_from_slice([block.key, place].map(u64::to_le_bytes).as_flattened());
        block_count += 1;
    }
    let counts = u64::from(block_count) << 32 | u64::from(part_count);
    seal(out, [owner, stamp.as_micros(), next, counts]);
}

// Apart from `write`, which is compiled once for every caller.
#[inline(never)]
fn write_part(out: &mut Vec<u8>, part: &Part) {
    let words = [
        part.host,
        u64::from(part.load.prefilling) << 32 | u64::from(part.load.requests),
        part.load.queued_tokens,
        part.load.kv_tokens,
        part.sums.ttft,
        part.sums.tokens,
        part.sums.samples,
        part.sums.squares,
        part.ejected_until.as_micros(),
    ];
    out.extend_from_slice(words.map(u64::to_le_bytes).as_flattened());
}

/// Writes the header over what was left free for it: owner, stamp, number and the two counts.
#[inline(never)]
fn seal(out: &mut [u8], words: [u64; 4]) {
    put(out, 0, MAGIC);
    put(out, 4, &VERSION.to_le_bytes());
    put(out, 8, words.map(u64::to_le_bytes).as_flattened());
    let checksum = checksum(out);
    put(out, 40, &checksum.to_le_bytes());
}

#[inline(never)]
fn checksum(bytes: &[u8]) -> u64 {
    let mut chain = Chain::new();
    chain.update(bytes.get(..40).unwrap_or_default());
    chain.update(bytes.get(HEADER..).unwrap_or_default());
    chain.value()
}

/// What stands in the slot of a worker that has been found dead: nobody's share, and the name of the one who is dead.
pub fn tombstone(owner: u64) -> [u8; 24] {
    let mut bytes = [0; 24];
    put(&mut bytes, 16, &owner.to_le_bytes());
    bytes
}

/// A share read in place.
#[derive(Clone, Copy, Debug)]
pub struct Share<'a> {
    bytes: &'a [u8],
    parts: &'a [u8],
    blocks: &'a [u8],
}

/// The owner that `bytes` name, without checking anything else; 0 when there is none.
pub fn owner_of(bytes: &[u8]) -> u64 {
    u64_at(bytes, 8)
}

/// The stamp that `bytes` bear, without checking anything else.
pub fn stamp_of(bytes: &[u8]) -> Instant {
    Instant::from_micros(u64_at(bytes, 16))
}

impl<'a> Share<'a> {
    /// Checks `bytes`; `None` when they are damaged, of another version, or no share at all.
    pub fn new_checked(bytes: &'a [u8]) -> Option<Self> {
        if !bytes.starts_with(MAGIC)
            || u16_at(bytes, 4) != VERSION
            || u64_at(bytes, 40) != checksum(bytes)
        {
            return None;
        }
        Self::again(bytes)
    }

    /// Reads `bytes` that have been checked before; `None` when they are cut.
    pub fn again(bytes: &'a [u8]) -> Option<Self> {
        let (header, rest) = bytes.split_at_checked(HEADER)?;
        let (parts, blocks) =
            rest.split_at_checked((u32_at(header, 32) as usize).checked_mul(RECORD)?)?;
        (blocks.len() == (u32_at(header, 36) as usize).checked_mul(BLOCK)?).then_some(Self {
            bytes,
            parts,
            blocks,
        })
    }

    /// Who wrote it.
    pub fn owner(&self) -> u64 {
        owner_of(self.bytes)
    }

    /// When.
    pub fn stamp(&self) -> Instant {
        stamp_of(self.bytes)
    }

    /// Running number after the last block.
    pub fn next(&self) -> u64 {
        u64_at(self.bytes, 24)
    }

    /// The hosts.
    pub fn parts(&self) -> impl Iterator<Item = Part> + 'a {
        self.parts.chunks_exact(RECORD).map(|bytes| Part {
            host: u64_at(bytes, 0),
            load: Load {
                requests: u32_at(bytes, 8),
                prefilling: u32_at(bytes, 12),
                queued_tokens: u64_at(bytes, 16),
                kv_tokens: u64_at(bytes, 24),
            },
            sums: Sums {
                ttft: u64_at(bytes, 32),
                tokens: u64_at(bytes, 40),
                samples: u64_at(bytes, 48),
                squares: u64_at(bytes, 56),
            },
            ejected_until: Instant::from_micros(u64_at(bytes, 64)),
        })
    }

    /// Key of the host at `place` among the parts.
    pub fn host_at(&self, place: u32) -> Option<u64> {
        let at = (place as usize).checked_mul(RECORD)?;
        (at < self.parts.len()).then(|| u64_at(self.parts, at))
    }

    /// The last blocks, oldest first.
    pub fn blocks(&self) -> impl ExactSizeIterator<Item = SharedBlock> + 'a {
        self.blocks.chunks_exact(BLOCK).map(|bytes| SharedBlock {
            key: u64_at(bytes, 0),
            part: u32_at(bytes, 8),
            extent: u32_at(bytes, 12),
        })
    }
}
