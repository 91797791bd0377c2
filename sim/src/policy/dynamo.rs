//! The KV router of NVIDIA Dynamo.
//!
//! Source: ai-dynamo/dynamo, `lib/kv-router/src/scheduling/selector.rs`, in blocks, lower is better, ties at random
//! (temperature 0):
//!
//! `1.0 * max(active prefill + prompt - overlap, 0) + decode blocks`
//!
//! Active prefill are uncached tokens of own requests without a first token; decode blocks are the different blocks of
//! own active requests with this one among them, growth of the answers not counted (the default). `dynamo` takes the
//! overlap from its own routing with entries that live 120 s (`--no-kv-events`), `dynamo_events` from the engines'
//! caches as they are at that moment: KV events without delay or loss.

use super::loads::Loads;
use super::prefix_index::PrefixIndex;
use super::rival::Rival;
use super::{Conditions, Truth, pick};
use crate::engine::{HashKeyed, Prompt};
use crate::fleet::Prepared;
use crate::random::Random;

const TTL_MICROS: u64 = 120_000_000;

/// Blocks of the active requests of a host.
#[derive(Clone, Default)]
struct Active {
    /// Requests that have the block.
    shared: HashKeyed<u32>,
    /// Unfinished last blocks: nobody shares them.
    partial: u64,
}

impl Active {
    /// Blocks there if `prompt` came.
    fn with(&self, prompt: &Prompt, block_tokens: u32) -> u64 {
        let new = prompt.blocks.iter();
        let new = new.filter(|hash| !self.shared.contains_key(hash)).count();
        (self.shared.len() + new) as u64 + self.partial + partial(prompt, block_tokens)
    }

    fn add(&mut self, prompt: &Prompt, block_tokens: u32) {
        for &hash in &*prompt.blocks {
            *self.shared.entry(hash).or_insert(0) += 1;
        }
        self.partial += partial(prompt, block_tokens);
    }

    fn remove(&mut self, prompt: &Prompt, block_tokens: u32) {
        for hash in &*prompt.blocks {
            if let Some(count) = self.shared.get_mut(hash) {
                *count -= 1;
                if *count == 0 {
                    self.shared.remove(hash);
                }
            }
        }
        self.partial -= partial(prompt, block_tokens);
    }
}

fn partial(prompt: &Prompt, block_tokens: u32) -> u64 {
    u64::from(!prompt.tokens.is_multiple_of(block_tokens))
}

pub(super) struct Dynamo {
    loads: Loads,
    active: Vec<Active>,
    /// Own routing; `None` where the engines' events tell.
    index: Option<PrefixIndex>,
    /// Uncached tokens of the request under choice, by host.
    uncached: Vec<u32>,
    block_tokens: u32,
    random: Random,
}

impl Dynamo {
    pub(super) fn new(conditions: &Conditions<'_>, events: bool) -> Self {
        let hosts = conditions.fleet.len();
        Self {
            loads: Loads::new(hosts),
            active: vec![Active::default(); hosts],
            index: (!events).then(|| PrefixIndex::new(hosts, usize::MAX, TTL_MICROS)),
            uncached: Vec::new(),
            block_tokens: conditions.block_tokens,
            random: Random::new(conditions.seed),
        }
    }
}

impl Rival for Dynamo {
    fn loads(&mut self) -> &mut Loads {
        &mut self.loads
    }

    fn pick(&mut self, now: u64, request: &Prepared, truth: &Truth<'_>) -> Option<usize> {
        let prompt = &request.prompt;
        self.uncached = (0..self.active.len())
            .map(|host| {
                let overlap = match &self.index {
                    Some(index) => index.matched(host, now, prompt) as u32 * self.block_tokens,
                    None => truth.engines[host].cached_tokens(prompt),
                };
                prompt.tokens.saturating_sub(overlap)
            })
            .collect();
        let cost = |host: usize| {
            let prefill = self.loads.hosts[host].own_queued_tokens + u64::from(self.uncached[host]);
            let decode = self.active[host].with(prompt, self.block_tokens);
            prefill as f64 / f64::from(self.block_tokens) + decode as f64
        };
        pick::least(&mut self.random, self.loads.listed(), cost)
    }

    fn book(&mut self, now: u64, host: usize, request: &Prepared) {
        if let Some(index) = &mut self.index {
            index.insert(host, now, &request.prompt);
        }
        self.active[host].add(&request.prompt, self.block_tokens);
        let uncached = self.uncached[host];
        self.loads.sent(host, request.id, uncached);
    }

    fn ended(&mut self, host: usize, request: &Prepared) {
        self.active[host].remove(&request.prompt, self.block_tokens);
    }
}

#[cfg(test)]
mod tests {
    use crate::engine::Job;
    use crate::policy::script::{Script, prompt};

    #[test]
    fn overlap_counts_against_active_blocks() {
        let mut script = Script::new("dynamo", 2);
        let home = script.choose(0, &[1, 2, 3, 4]);
        script.first_token(0, home, 0);
        // There: 1 to compute and 5 active blocks; elsewhere 5 and 5.
        assert_eq!(script.choose(1, &[1, 2, 3, 4, 5]), home);
        // Now 3 and 7 there, 2 and 2 elsewhere: nothing shared, the load decides.
        assert_ne!(script.choose(2, &[8, 9]), home);
    }

    #[test]
    fn own_routing_is_forgotten_and_events_are_not() {
        for (name, remembered) in [("dynamo", false), ("dynamo_events", true)] {
            let mut script = Script::new(name, 2);
            let blocks = [1, 2, 3, 4, 5, 6];
            let home = script.choose(0, &blocks);
            let job = Job {
                id: 0,
                prompt: prompt(&blocks),
                output_tokens: 1,
            };
            script.engines[home].submit(job).unwrap();
            script.engines[home].begin_step();
            script.engines[home].finish_step(&mut Vec::new());
            script.first_token(0, home, 0);
            script.end(0, home);
            script.now = 121_000_000;
            // One request of two blocks on each host; the one away from home ends.
            let loads = [21, 31].map(|first| script.choose(first, &[first, first + 1]));
            for (id, host) in [21, 31].into_iter().zip(loads) {
                if host != home {
                    script.first_token(id, host, 0);
                    script.end(id, host);
                }
            }
            // At home 2 + 6 to compute and 8 active, or 2 + 1 with the cache; elsewhere 6 and 6.
            assert_eq!(script.choose(3, &blocks) == home, remembered, "{name}");
        }
    }
}
