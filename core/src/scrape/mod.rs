//! Engine metrics pages (Prometheus text) to facts.
//!
//! What it does: looks at the name at the start of every line and reads the few that `names.rs` lists; all else is passed
//! over. Input: a page of any engine. Output: [`EngineFacts`].
//!
//! Limits: the page has to be whole (a cut page may lack series, so its sums are too low); label values are compared as
//! written, escapes included.

mod head;
mod names;
mod sample;

pub use head::Head;
use names::{Fact, Row};
use sample::Sample;

use crate::find;
use crate::fixed;
use crate::number::Number;

/// What an engine says of itself. 0 means unknown in the fields that say so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EngineFacts {
    /// Requests in the running batch.
    pub running: u32,
    /// Requests queued in the engine.
    pub waiting: u32,
    /// KV-cache utilisation in Q16: 65,536 is full.
    pub kv_used_q16: u32,
    /// KV-cache size in tokens; 0 unknown.
    pub kv_capacity_tokens: u64,
    /// Tokens of one KV-cache block; 0 unknown.
    pub block_tokens: u32,
    /// Prompt tokens looked up in the prefix cache since the engine started.
    pub prefix_queries: u64,
    /// Prompt tokens found there.
    pub prefix_hits: u64,
    /// Tokens generated since the engine started.
    pub generated_tokens: u64,
    /// Hash ([`crate::hash::key`]) of the served model's name; 0 unknown.
    pub model: u64,
}

impl EngineFacts {
    /// Tokens that went into the KV cache since the engine started, prompt tokens computed and tokens generated; 0 unknown.
    pub const fn computed_tokens(&self) -> u64 {
        if self.prefix_queries == 0 {
            return 0;
        }
        self.prefix_queries
            .saturating_sub(self.prefix_hits)
            .saturating_add(self.generated_tokens)
    }
}

/// Reads a metrics page and returns how many of its samples told something.
///
/// Facts that the page does not have keep the value they came with. Samples of one name (data-parallel engines, models)
/// are added up; of utilisations the highest counts, since the fullest cache is the one that preempts.
pub fn parse(text: &[u8], facts: &mut EngineFacts) -> usize {
    read(text, facts).samples
}

/// What a reading has found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Samples that told something.
    pub samples: usize,
    /// Of those, samples of what changes while an engine runs: not the shape of its cache.
    pub moving: usize,
    /// Bytes up to the end of the last of these.
    pub moving_end: usize,
}

/// [`parse`], and where on the page it found what.
pub fn read(text: &[u8], facts: &mut EngineFacts) -> Found {
    let mut page = Page::default();
    let mut found = Found::default();
    let mut rest = text;
    while !rest.is_empty() {
        let end = find::byte(b'\n', rest).unwrap_or(rest.len());
        let (line, after) = rest.split_at_checked(end).unwrap_or_default();
        rest = after.get(1..).unwrap_or_default();
        for (row, after_name) in names::rows(line) {
            if page.line(row, after_name) {
                found.samples = found.samples.saturating_add(1);
                if row.fact.moves() {
                    found.moving = found.moving.saturating_add(1);
                    found.moving_end = text.len().saturating_sub(rest.len());
                }
            }
        }
    }
    page.write(facts);
    found
}

/// A total over the samples of the best name seen for it.
#[derive(Clone, Copy, Debug, Default)]
struct Total {
    value: u64,
    rank: u8,
    known: bool,
}

impl Total {
    /// Names of a lower rank replace those of a higher one: some engines print a value under its old and its new name.
    fn add(&mut self, rank: u8, value: u64) {
        self.merge(rank, value, u64::saturating_add);
    }

    fn max(&mut self, rank: u8, value: u64) {
        self.merge(rank, value, u64::max);
    }

    fn merge(&mut self, rank: u8, value: u64, with: impl Fn(u64, u64) -> u64) {
        if !self.known || rank < self.rank {
            *self = Self {
                value,
                rank,
                known: true,
            };
        } else if rank == self.rank {
            self.value = with(self.value, value);
        }
    }

    fn get(self) -> Option<u64> {
        self.known.then_some(self.value)
    }
}

/// What the lines so far have told.
#[derive(Debug, Default)]
struct Page {
    running: Total,
    waiting: Total,
    kv_used: Total,
    capacity: Total,
    block_tokens: Total,
    blocks: Total,
    hits: Total,
    generated: Total,
    queries: Total,
    /// Tokens computed, from engines that count those apart from cached ones.
    misses: Total,
    model: u64,
}

impl Page {
    /// Reads the rest of a line after a name that is listed; true if it told something.
    fn line(&mut self, row: &Row, after_name: &[u8]) -> bool {
        let Some(sample) = Sample::parse(after_name) else {
            return false;
        };
        if row
            .only
            .is_some_and(|(label, value)| sample.label(label) != Some(value))
        {
            return false;
        }
        let told = self.sample(row, &sample);
        if told.is_some()
            && self.model == 0
            && let Some(name) = sample.label(b"model_name")
        {
            self.model = crate::hash::key(name);
        }
        told.is_some()
    }

    fn sample(&mut self, row: &Row, sample: &Sample<'_>) -> Option<()> {
        let rank = row.rank;
        match row.fact {
            Fact::KvUsed => self
                .kv_used
                .max(rank, sample.value()?.q16().min(fixed::ONE)),
            Fact::Running => self.running.add(rank, sample.value()?.whole()),
            Fact::Waiting => self.waiting.add(rank, sample.value()?.whole()),
            Fact::Queries => self.queries.add(rank, sample.value()?.whole()),
            Fact::Generated => self.generated.add(rank, sample.value()?.whole()),
            Fact::Hits => self.hits.add(rank, sample.value()?.whole()),
            Fact::Misses => self.misses.add(rank, sample.value()?.whole()),
            Fact::Capacity => self.capacity.add(rank, sample.value()?.whole()),
            Fact::BlockTokens => self.block_tokens.max(rank, sample.value()?.whole()),
            Fact::Blocks => self.blocks.add(rank, sample.value()?.whole()),
            Fact::CacheInfo {
                block,
                blocks,
                size,
            } => {
                let number = |label| {
                    sample
                        .label(label)
                        .and_then(Number::parse)
                        .map(Number::whole)
                };
                let block = number(block);
                let product = block
                    .zip(number(blocks))
                    .map(|(block, blocks)| block.saturating_mul(blocks));
                let size = number(size).or(product);
                if let Some(block) = block {
                    self.block_tokens.max(rank, block);
                }
                if let Some(size) = size {
                    self.capacity.add(rank, size);
                }
                block.or(size)?;
            }
        }
        Some(())
    }

    fn write(&self, facts: &mut EngineFacts) {
        let narrow = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        let product = self
            .block_tokens
            .get()
            .zip(self.blocks.get())
            .map(|(block, blocks)| block.saturating_mul(blocks));
        let looked_up = self
            .misses
            .get()
            .zip(self.hits.get())
            .map(|(misses, hits)| misses.saturating_add(hits));
        facts.running = self.running.get().map_or(facts.running, narrow);
        facts.waiting = self.waiting.get().map_or(facts.waiting, narrow);
        facts.kv_used_q16 = self.kv_used.get().map_or(facts.kv_used_q16, narrow);
        facts.kv_capacity_tokens = self
            .capacity
            .get()
            .or(product)
            .unwrap_or(facts.kv_capacity_tokens);
        facts.block_tokens = self.block_tokens.get().map_or(facts.block_tokens, narrow);
        facts.prefix_queries = self
            .queries
            .get()
            .or(looked_up)
            .unwrap_or(facts.prefix_queries);
        facts.prefix_hits = self.hits.get().unwrap_or(facts.prefix_hits);
        facts.generated_tokens = self.generated.get().unwrap_or(facts.generated_tokens);
        if self.model != 0 {
            facts.model = self.model;
        }
    }
}

#[cfg(test)]
mod tests;
