//! The scorers of llm-d and the Gateway API Inference Extension, weighted queue 2, KV cache 2, prefix 3.
//!
//! Each scorer gives [0, 1]: the queue's length between the longest (0) and the shortest (1) polled queue, the free
//! share of the KV cache, the matched share of the prompt's blocks. The highest weighted sum wins; ties at random.

use super::view::View;
use super::{Conditions, Policy, Polled, Truth};
use crate::engine::Token;
use crate::fleet::Prepared;
use crate::random::Random;

const QUEUE_WEIGHT: f64 = 2.0;
const KV_WEIGHT: f64 = 2.0;
const PREFIX_WEIGHT: f64 = 3.0;

pub(super) struct Gie {
    view: View,
    random: Random,
}

impl Gie {
    pub(super) fn new(conditions: &Conditions<'_>) -> Self {
        Self {
            view: View::new(conditions),
            random: Random::new(conditions.seed),
        }
    }
}

impl Policy for Gie {
    fn poll(&mut self, _now: u64, hosts: &[Polled]) {
        self.view.poll(hosts);
    }

    fn choose(&mut self, _now: u64, request: &Prepared, _truth: &Truth<'_>) -> usize {
        let queues = self.view.hosts.iter().map(|host| host.polled.waiting);
        let shortest = queues.clone().min().unwrap_or(0);
        let longest = queues.max().unwrap_or(0);
        let mut best = (0, f64::NEG_INFINITY);
        let mut ties = 0;
        for (position, host) in self.view.hosts.iter().enumerate() {
            let queue = if longest == shortest {
                1.0
            } else {
                f64::from(longest - host.polled.waiting) / f64::from(longest - shortest)
            };
            let cached = self.view.cached_tokens(position, &request.prompt);
            let prefix = f64::from(cached) / f64::from(request.prompt.tokens);
            let score = QUEUE_WEIGHT * queue
                + KV_WEIGHT * (1.0 - host.polled.kv_used)
                + PREFIX_WEIGHT * prefix;
            if score > best.1 {
                best = (position, score);
                ties = 1;
            } else if score == best.1 {
                ties += 1;
                if self.random.below(ties) == 0 {
                    best.0 = position;
                }
            }
        }
        self.view.sent(best.0, request.id, &request.prompt);
        best.0
    }

    fn token(&mut self, _now: u64, host: usize, token: &Token, _request: &Prepared) {
        self.view.token(host, token);
    }
}
