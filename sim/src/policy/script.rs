//! Scripted views for the rivals' tests.

use plimsoll_core::config::Config;

use super::{Conditions, Policy, Polled, Truth, make};
use crate::engine::{Engine, Gpu, HashKeyed, Prompt, Token};
use crate::fleet::Prepared;

pub(super) const BLOCK_TOKENS: u32 = 64;

/// A prompt of whole blocks.
pub(super) fn prompt(blocks: &[u64]) -> Prompt {
    Prompt {
        tokens: (blocks.len() as u32 * BLOCK_TOKENS).max(1),
        blocks: blocks.into(),
    }
}

/// What a poll tells.
pub(super) fn polled(running: u32, waiting: u32) -> Polled {
    Polled {
        listed: true,
        running,
        waiting,
        kv_capacity_tokens: 850_000,
        computed_tokens: 0,
        ..Polled::default()
    }
}

/// A router and the story that a test tells it.
pub(super) struct Script {
    policy: Box<dyn Policy>,
    sent: HashKeyed<Prepared>,
    /// The truth, for the policies that may see it.
    pub(super) engines: Vec<Engine>,
    pub(super) now: u64,
    pub(super) session: u64,
    polls: u64,
}

impl Script {
    pub(super) fn new(name: &str, hosts: usize) -> Self {
        let fleet = vec![Gpu::H200; hosts];
        let conditions = Conditions {
            fleet: &fleet,
            block_tokens: BLOCK_TOKENS,
            poll_micros: 200_000,
            seed: 1,
            config: &Config::default(),
            decisions: None,
        };
        let mut script = Self {
            policy: make(name, &conditions).unwrap(),
            sent: HashKeyed::default(),
            engines: vec![Engine::new(Gpu::H200, BLOCK_TOKENS); hosts],
            now: 0,
            session: 0,
            polls: 0,
        };
        script.poll(&vec![polled(0, 0); hosts]);
        script
    }

    pub(super) fn poll(&mut self, hosts: &[Polled]) {
        self.polls += 1;
        let at = |polled: &Polled| Polled {
            at: self.polls,
            ..*polled
        };
        let hosts: Vec<Polled> = hosts.iter().map(at).collect();
        self.policy.poll(self.now, &hosts);
    }

    fn request(&self, id: u64, blocks: &[u64]) -> Prepared {
        Prepared {
            id,
            at_micros: self.now,
            prompt: prompt(blocks),
            output_tokens: 2,
            blocks: Vec::new(),
            blocks_complete: true,
            prompt_bytes: blocks.len() as u64 * 256,
            tenant: 0,
            session: self.session,
        }
    }

    pub(super) fn choose(&mut self, id: u64, blocks: &[u64]) -> usize {
        let request = self.request(id, blocks);
        let truth = Truth {
            engines: &self.engines,
            step_ends: &vec![0; self.engines.len()],
            listed: &vec![true; self.engines.len()],
        };
        let host = self.policy.choose(self.now, &request, &truth);
        self.sent.insert(id, request);
        host
    }

    /// The first token of a request that arrived `after` microseconds ago.
    pub(super) fn first_token(&mut self, id: u64, host: usize, after: u64) {
        self.token(id, host, after, 1);
    }

    pub(super) fn end(&mut self, id: u64, host: usize) {
        self.token(id, host, 0, 2);
    }

    fn token(&mut self, id: u64, host: usize, after: u64, ordinal: u32) {
        let mut request = self.sent[&id].clone();
        request.at_micros = self.now - after;
        let token = Token {
            id,
            ordinal,
            last: ordinal == 2,
            cached_tokens: 0,
        };
        self.policy.token(self.now, host, &token, &request);
    }
}
