//! What one worker tells the others of its tenants, as bytes.
//!
//! Layout, little-endian words of 64 bits: magic `PLTN` and version; owner; stamp in microseconds; how many tiers, tenants (from bit 16) and
//! promises (from bit 32) follow; hash of all that follows; then 3 words a tier, 11 a tenant and 5 a promise, as the types below list them.

use alloc::vec::Vec;

use crate::bytes::{pad, put, u64_at};
use crate::hash;

const MAGIC: u64 = 0x02_4e54_4c50;
const HEADER: usize = 40;
/// Words of a row.
const TIER: usize = 3;
const TENANT: usize = 11;
const PROMISE: usize = 5;

/// Cost a second that leaves the queue, cost let through since the start, requests waiting.
pub(super) type TierRow = [u64; TIER];
/// Tenant, requests at once, cost attained since the start, cost that waits, cost promised here; then of requests, tokens and GPU time what was taken since the start, and
/// the level.
pub(super) type TenantRow = [u64; TENANT];
/// Its running number, what the request is, its tenant, microseconds until it is due, its cost; no cost: the promise was kept.
pub(super) type PromiseRow = [u64; PROMISE];

pub(super) fn push<const N: usize>(out: &mut Vec<u8>, rows: impl Iterator<Item = [u64; N]>) -> u64 {
    let mut count = 0;
    for row in rows {
        out.extend_from_slice(row.map(u64::to_le_bytes).as_flattened());
        count += 1;
    }
    count
}

/// Empties `out` for a value.
pub(super) fn begin(out: &mut Vec<u8>) {
    out.clear();
    pad(out, HEADER);
}

/// Writes the header over what was left free for it.
pub(super) fn seal(out: &mut [u8], owner: u64, stamp: u64, counts: [u64; 3]) {
    let [tiers, tenants, promises] = counts;
    let hash = hash::key(out.get(HEADER..).unwrap_or_default());
    let words = [
        MAGIC,
        owner,
        stamp,
        tiers | tenants << 16 | promises << 32,
        hash,
    ];
    put(out, 0, words.map(u64::to_le_bytes).as_flattened());
}

/// A value of another worker.
#[derive(Clone, Copy)]
pub(super) struct Value<'a> {
    bytes: &'a [u8],
    counts: [usize; 3],
}

impl<'a> Value<'a> {
    /// `None` for what is no such value, or one of another layout.
    pub(super) fn new_checked(bytes: &'a [u8]) -> Option<Self> {
        let counts = u64_at(bytes, 24);
        let counts =
            [counts & 0xffff, counts >> 16 & 0xffff, counts >> 32].map(|count| count as usize);
        let [tiers, tenants, promises] = counts;
        let words = tiers
            .saturating_mul(TIER)
            .saturating_add(tenants.saturating_mul(TENANT))
            .saturating_add(promises.saturating_mul(PROMISE));
        let rest = bytes.get(HEADER..)?;
        let sound = u64_at(bytes, 0) == MAGIC
            && rest.len() == words.saturating_mul(8)
            && u64_at(bytes, 32) == hash::key(rest);
        sound.then_some(Self { bytes, counts })
    }

    pub(super) fn owner(&self) -> u64 {
        u64_at(self.bytes, 8)
    }

    pub(super) fn stamp(&self) -> u64 {
        u64_at(self.bytes, 16)
    }

    fn rows<const N: usize>(
        &self,
        from: usize,
        count: usize,
    ) -> impl Iterator<Item = [u64; N]> + 'a {
        let bytes = self.bytes;
        (0..count).map(move |row| {
            core::array::from_fn(|word| u64_at(bytes, HEADER + (from + row * N + word) * 8))
        })
    }

    pub(super) fn tiers(&self) -> impl Iterator<Item = TierRow> + 'a {
        let [tiers, ..] = self.counts;
        self.rows(0, tiers)
    }

    pub(super) fn tenants(&self) -> impl Iterator<Item = TenantRow> + 'a {
        let [tiers, tenants, _] = self.counts;
        self.rows(tiers * TIER, tenants)
    }

    pub(super) fn promises(&self) -> impl Iterator<Item = PromiseRow> + 'a {
        let [tiers, tenants, promises] = self.counts;
        self.rows(tiers * TIER + tenants * TENANT, promises)
    }
}
