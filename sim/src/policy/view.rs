//! What a prefix-aware rival knows: its own requests, the last poll, and which prefixes it sent where.

use super::{Conditions, Polled};
use crate::engine::{BlockId, BlockPool, HashKeyed, Prompt};

/// One host as one router sees it.
pub(super) struct HostView {
    /// Counters of the last poll.
    pub(super) polled: Polled,
    /// Own requests that have not ended.
    pub(super) own: u32,
    /// Own requests that had not ended at the last poll.
    own_at_poll: u32,
    /// Own requests without a first token.
    pub(super) own_prefilling: u32,
    own_prefilling_at_poll: u32,
    /// Uncached tokens, as predicted, of own requests without a first token.
    pub(super) own_queued_tokens: u64,
    /// The host's cache as far as this router filled it: as large as the real one, least recently used first out.
    cache: BlockPool,
}

/// A fleet as one router sees it.
pub(super) struct View {
    pub(super) hosts: Vec<HostView>,
    block_tokens: u32,
    /// Predicted uncached tokens of own requests without a first token.
    uncached: HashKeyed<u64>,
    held: Vec<BlockId>,
}

impl View {
    pub(super) fn new(conditions: &Conditions<'_>) -> Self {
        let host = |gpu: &crate::engine::Gpu| HostView {
            polled: Polled::default(),
            own: 0,
            own_at_poll: 0,
            own_prefilling: 0,
            own_prefilling_at_poll: 0,
            own_queued_tokens: 0,
            cache: BlockPool::new((gpu.kv_tokens() / conditions.block_tokens) as usize),
        };
        Self {
            hosts: conditions.fleet.iter().map(host).collect(),
            block_tokens: conditions.block_tokens,
            uncached: HashKeyed::default(),
            held: Vec::new(),
        }
    }

    pub(super) fn poll(&mut self, hosts: &[Polled]) {
        for (host, &polled) in self.hosts.iter_mut().zip(hosts) {
            host.polled = polled;
            host.own_at_poll = host.own;
            host.own_prefilling_at_poll = host.own_prefilling;
        }
    }

    /// Tokens of `prompt` that `host` is believed to hold.
    pub(super) fn cached_tokens(&self, host: usize, prompt: &Prompt) -> u32 {
        let blocks = self.hosts[host].cache.lookup(&prompt.blocks).0 as u32;
        (blocks * self.block_tokens).min(prompt.tokens)
    }

    /// Books a request.
    pub(super) fn sent(&mut self, host: usize, id: u64, prompt: &Prompt) {
        let uncached = u64::from(prompt.tokens - self.cached_tokens(host, prompt));
        self.uncached.insert(id, uncached);
        let host = &mut self.hosts[host];
        host.own += 1;
        host.own_prefilling += 1;
        host.own_queued_tokens += uncached;
        let (hits, _) = host.cache.lookup(&prompt.blocks);
        self.held.extend(
            prompt.blocks[..hits]
                .iter()
                .filter_map(|&hash| host.cache.hold(hash)),
        );
        self.held.extend(
            prompt.blocks[hits..]
                .iter()
                .map_while(|&hash| host.cache.allocate(Some(hash))),
        );
        host.cache.release(&mut self.held);
    }

    /// A token of an own request has come.
    pub(super) fn token(&mut self, host: usize, token: &crate::engine::Token) {
        let host = &mut self.hosts[host];
        if token.ordinal == 1
            && let Some(uncached) = self.uncached.remove(&token.id)
        {
            host.own_prefilling -= 1;
            host.own_queued_tokens -= uncached;
        }
        if token.last {
            host.own -= 1;
        }
    }
}

impl HostView {
    /// Requests there: own ones exactly, others' as of the last poll.
    pub(super) fn requests(&self) -> u32 {
        let others = (self.polled.running + self.polled.waiting).saturating_sub(self.own_at_poll);
        self.own + others
    }

    /// Others' requests in the engine's queue, as of the last poll.
    pub(super) fn others_waiting(&self) -> u32 {
        self.polled
            .waiting
            .saturating_sub(self.own_prefilling_at_poll)
    }
}
