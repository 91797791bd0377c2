//! The prefix index: a fixed-size, set-associative table from block to the set of hosts that hold it.
//!
//! # How it works
//! Eight slots make a bucket, one cache line of keys. A block that is not there takes an empty slot, or the one of its bucket that was
//! used longest ago. Holders are a bit set, so matching a prompt is one AND a block however many hosts there are.
//!
//! An engine evicts blocks least recently used first as new tokens come in. The index follows with two generations of bits a host:
//! when a host has taken in half its KV capacity of new tokens, its current bits become its previous ones and those before are
//! dropped. A block not touched within half a cache to a whole cache of new tokens is thus forgotten.
//!
//! # Limits
//! The turnover is an estimate, as is the match: `usage.cached_tokens` says what was true, and [`super::Homes`] and the learner see it.

use alloc::vec;
use alloc::vec::Vec;

use crate::fixed;

const WAYS: usize = 8;
/// Popularity of one request, so that decayed counts keep a fraction.
const ONE_REQUEST: u32 = 256;
/// Half-life of popularity.
const HALF_LIFE_SECONDS: u64 = 120;

/// A block that a host has come to hold, as workers tell each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Learned {
    /// Key of the block ([`super::block_key`]).
    pub key: u64,
    /// Index of the host.
    pub host: u16,
    /// Bytes of the prompt that the block is of.
    pub extent: u32,
}

/// The table.
#[derive(Clone, Debug)]
pub struct Index {
    buckets: usize,
    words: usize,
    keys: Vec<u64>,
    used: Vec<u32>,
    popularity: Vec<u32>,
    extent: Vec<u32>,
    current: Vec<u64>,
    previous: Vec<u64>,
    /// Hosts whose turn is due.
    turning: Vec<u64>,
    evictions: u64,
    requests: u64,
    requests_at: u64,
}

impl Index {
    /// A table of at least `blocks` slots for up to `hosts` hosts.
    pub fn new(blocks: usize, hosts: usize) -> Self {
        let buckets = blocks.div_ceil(WAYS).next_power_of_two();
        let words = hosts.div_ceil(64).max(1);
        let slots = buckets * WAYS;
        Self {
            buckets,
            words,
            keys: vec![0; slots],
            used: vec![0; slots],
            popularity: vec![0; slots],
            extent: vec![0; slots],
            current: vec![0; slots * words],
            previous: vec![0; slots * words],
            turning: vec![0; words],
            evictions: 0,
            requests: 0,
            requests_at: 0,
        }
    }

    /// Blocks forgotten because their bucket was full.
    pub fn evictions(&self) -> u64 {
        self.evictions
    }

    fn bucket(&self, key: u64) -> usize {
        // The low bits choose the bucket; keys are mixed already.
        (key as usize & (self.buckets - 1)) * WAYS
    }

    #[inline]
    fn find(&self, key: u64) -> Option<usize> {
        let start = self.bucket(key);
        let ways = self.keys.get(start..start + WAYS)?;
        ways.iter().position(|k| *k == key).map(|way| start + way)
    }

    fn find_or_claim(&mut self, key: u64) -> usize {
        let start = self.bucket(key);
        let mut oldest = start;
        let mut oldest_use = u32::MAX;
        for slot in start..start + WAYS {
            match self.keys.get(slot) {
                Some(k) if *k == key => return slot,
                _ => {}
            }
            let used = self.used.get(slot).copied().unwrap_or(u32::MAX);
            if used < oldest_use {
                oldest_use = used;
                oldest = slot;
            }
        }
        if self.keys.get(oldest).is_some_and(|k| *k != 0) {
            self.evictions += 1;
        }
        set(&mut self.keys, oldest, key);
        set(&mut self.popularity, oldest, 0);
        set(&mut self.extent, oldest, 0);
        for bits in [&mut self.current, &mut self.previous] {
            if let Some(row) = bits.get_mut(oldest * self.words..(oldest + 1) * self.words) {
                row.fill(0);
            }
        }
        oldest
    }

    /// Walks `keys` (the prompt's blocks in order) and calls `dropped(host, n)` for every host of `candidates` with the number of
    /// leading blocks it holds, once a host, if that number is not zero. `candidates` is consumed as working memory.
    /// Returns how many leading blocks are held by anyone.
    #[inline]
    pub fn matches(
        &self,
        keys: impl Iterator<Item = u64>,
        candidates: &mut [u64],
        mut dropped: impl FnMut(usize, usize),
    ) -> usize {
        let mut depth = 0;
        for key in keys {
            let Some(slot) = self.find(key) else { break };
            let range = slot * self.words..(slot + 1) * self.words;
            let (Some(current), Some(previous)) =
                (self.current.get(range.clone()), self.previous.get(range))
            else {
                break;
            };
            let mut alive = 0;
            for (word, ((candidate, current), previous)) in
                candidates.iter_mut().zip(current).zip(previous).enumerate()
            {
                let held = *candidate & (current | previous);
                if depth > 0 {
                    each_bit(*candidate & !held, |bit| dropped(word * 64 + bit, depth));
                }
                *candidate = held;
                alive |= held;
            }
            if alive == 0 {
                return depth;
            }
            depth += 1;
        }
        if depth > 0 {
            for (word, candidate) in candidates.iter().enumerate() {
                each_bit(*candidate, |bit| dropped(word * 64 + bit, depth));
            }
        }
        depth
    }

    /// Longest prompt, in bytes, seen to run through this block.
    pub fn extent(&self, key: u64) -> u32 {
        self.find(key)
            .and_then(|slot| self.extent.get(slot))
            .copied()
            .unwrap_or(0)
    }

    /// Counts one request at `seconds`; to be called once before [`Self::insert`] of its blocks.
    pub fn count_request(&mut self, seconds: u64) {
        let age = seconds.saturating_sub(self.requests_at);
        self.requests = fixed::decay(self.requests, age, HALF_LIFE_SECONDS)
            .saturating_add(u64::from(ONE_REQUEST));
        self.requests_at = seconds;
    }

    /// Notes that `host` holds the block `key` of a prompt of `extent` bytes, asked for at `seconds`. True when that is news.
    pub fn insert(&mut self, key: u64, host: usize, extent: u32, seconds: u64) -> bool {
        let slot = self.find_or_claim(key);
        self.touch(slot, seconds, ONE_REQUEST);
        self.extend(slot, extent);
        self.mark(slot, host)
    }

    /// Notes what another worker has learned.
    pub fn insert_learned(&mut self, learned: Learned, seconds: u64) {
        let slot = self.find_or_claim(learned.key);
        self.touch(slot, seconds, 0);
        self.extend(slot, learned.extent);
        self.mark(slot, usize::from(learned.host));
    }

    fn extend(&mut self, slot: usize, to: u32) {
        if let Some(extent) = self.extent.get_mut(slot) {
            *extent = (*extent).max(to);
        }
    }

    /// Lets the popularity of `slot` decay to `seconds`, adds `requests` to it, and notes the use.
    #[inline]
    fn touch(&mut self, slot: usize, seconds: u64, requests: u32) {
        let at = u32::try_from(seconds).unwrap_or(u32::MAX);
        let age = u64::from(at.saturating_sub(self.used.get(slot).copied().unwrap_or(at)));
        if let Some(popularity) = self.popularity.get_mut(slot) {
            let kept = fixed::decay(u64::from(*popularity), age, HALF_LIFE_SECONDS);
            *popularity = u32::try_from(kept)
                .unwrap_or(u32::MAX)
                .saturating_add(requests);
        }
        // Zero means "never used", so that an empty slot is always the oldest.
        set(&mut self.used, slot, at.max(1));
    }

    #[inline]
    fn mark(&mut self, slot: usize, host: usize) -> bool {
        let bit = 1u64 << (host % 64);
        match self.current.get_mut(slot * self.words + host / 64) {
            Some(word) if host / 64 < self.words => {
                let news = *word & bit == 0;
                *word |= bit;
                news
            }
            _ => false,
        }
    }

    /// Whether the block occurs in fewer than one in `4 * hosts` of recent requests, so that giving it a home cannot flood one host.
    pub fn is_rare(&self, key: u64, hosts: usize, seconds: u64) -> bool {
        let Some(slot) = self.find(key) else {
            return true;
        };
        let at = u64::from(self.used.get(slot).copied().unwrap_or(0));
        let popularity = u64::from(self.popularity.get(slot).copied().unwrap_or(0));
        let popularity = fixed::decay(popularity, seconds.saturating_sub(at), HALF_LIFE_SECONDS);
        popularity.saturating_mul(4 * hosts as u64) < self.requests
    }

    /// Half of `host`'s cache has turned over: with the next [`Self::sweep`], what was not touched since the last turn is forgotten.
    pub fn turn(&mut self, host: usize) {
        if let Some(word) = self.turning.get_mut(host / 64) {
            *word |= 1 << (host % 64);
        }
    }

    /// Carries out the turns that are due, of all hosts in one walk over the table; it costs about a nanosecond a slot, so it belongs to
    /// a tick and not to a request.
    pub fn sweep(&mut self) {
        if self.turning.iter().all(|word| *word == 0) {
            return;
        }
        let rows = self
            .current
            .chunks_exact_mut(self.words)
            .zip(self.previous.chunks_exact_mut(self.words));
        for (current, previous) in rows {
            for ((current, previous), turning) in
                current.iter_mut().zip(previous).zip(&self.turning)
            {
                *previous = (*previous & !turning) | (*current & turning);
                *current &= !turning;
            }
        }
        self.turning.fill(0);
    }

    /// Forgets everything about `host`, at once: another host takes its place, or its cache is empty.
    pub fn forget(&mut self, host: usize) {
        let keep = !(1u64 << (host % 64));
        let clear = |words: &mut [u64]| {
            if let Some(word) = words.get_mut(host / 64) {
                *word &= keep;
            }
        };
        self.current.chunks_exact_mut(self.words).for_each(clear);
        self.previous.chunks_exact_mut(self.words).for_each(clear);
        clear(&mut self.turning);
    }
}

fn set<T>(values: &mut [T], at: usize, value: T) {
    if let Some(slot) = values.get_mut(at) {
        *slot = value;
    }
}

fn each_bit(mut bits: u64, mut f: impl FnMut(usize)) {
    while bits != 0 {
        f(bits.trailing_zeros() as usize);
        bits &= bits - 1;
    }
}
