//! What a prefix-aware rival knows: load, and which prefixes it sent where, as far as the host can still hold them.

use super::Conditions;
use super::loads::Loads;
use crate::engine::{BlockId, BlockPool, Prompt};

/// A fleet as one router sees it.
pub(super) struct View {
    pub(super) loads: Loads,
    /// Each host's cache as far as this router filled it: as large as the real one, least recently used first out.
    caches: Vec<BlockPool>,
    block_tokens: u32,
    held: Vec<BlockId>,
}

impl View {
    pub(super) fn new(conditions: &Conditions<'_>) -> Self {
        let cache = |gpu: &crate::engine::Gpu| {
            BlockPool::new((gpu.kv_tokens() / conditions.block_tokens) as usize)
        };
        Self {
            loads: Loads::new(conditions.fleet.len()),
            caches: conditions.fleet.iter().map(cache).collect(),
            block_tokens: conditions.block_tokens,
            held: Vec::new(),
        }
    }

    /// Tokens of `prompt` that `host` is believed to hold.
    pub(super) fn cached_tokens(&self, host: usize, prompt: &Prompt) -> u32 {
        let blocks = self.caches[host].lookup(&prompt.blocks).0 as u32;
        (blocks * self.block_tokens).min(prompt.tokens)
    }

    /// Books a request.
    pub(super) fn sent(&mut self, host: usize, id: u64, prompt: &Prompt) {
        let uncached = prompt.tokens - self.cached_tokens(host, prompt);
        self.loads.sent(host, id, uncached);
        let cache = &mut self.caches[host];
        let (hits, _) = cache.lookup(&prompt.blocks);
        self.held.extend(
            prompt.blocks[..hits]
                .iter()
                .filter_map(|&hash| cache.hold(hash)),
        );
        self.held.extend(
            prompt.blocks[hits..]
                .iter()
                .map_while(|&hash| cache.allocate(Some(hash))),
        );
        cache.release(&mut self.held);
    }
}
