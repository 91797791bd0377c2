//! The scorers of llm-d and the Gateway API Inference Extension, weighted queue 2, KV cache 2, prefix 3.
//!
//! Source: llm-d/llm-d-router, `pkg/epp/config/loader/defaults.go` and its scorers. Each scorer gives [0, 1]: the
//! queue's length between the longest (0) and the shortest (1) polled queue, the free share of the KV cache, the
//! matched share of the prompt's blocks. The highest weighted sum wins; ties at random.
//!
//! `gie_gate` puts its `prefix-cache-affinity-filter` in front: only hosts with at least 0.80 of the prompt are scored,
//! unless the best of them would give the first token 18 s later than the best of all, by tokens in flight over
//! 15,928 tokens/s.

use super::loads::Loads;
use super::rival::Rival;
use super::view::View;
use super::{Conditions, Truth, pick};
use crate::fleet::Prepared;
use crate::random::Random;

const QUEUE_WEIGHT: f64 = 2.0;
const KV_WEIGHT: f64 = 2.0;
const PREFIX_WEIGHT: f64 = 3.0;

const AFFINITY: f64 = 0.8;
const MAX_TTFT_PENALTY_SECONDS: f64 = 18.0;
const PREFILL_TOKENS_PER_SECOND: f64 = 15_928.0;

pub(super) struct Gie {
    view: View,
    random: Random,
    gate: bool,
}

impl Gie {
    pub(super) fn new(conditions: &Conditions<'_>, gate: bool) -> Self {
        Self {
            view: View::new(conditions),
            random: Random::new(conditions.seed),
            gate,
        }
    }

    /// The hosts that the affinity filter leaves.
    fn gated(&self, matched: &[f64]) -> Vec<usize> {
        let all = || self.view.loads.listed();
        let ttft = |host: &usize| {
            self.view.loads.hosts[*host].own_queued_tokens as f64 / PREFILL_TOKENS_PER_SECOND
        };
        let least = |hosts: &[usize]| hosts.iter().map(ttft).fold(f64::INFINITY, f64::min);
        let sticky: Vec<usize> = all().filter(|&host| matched[host] >= AFFINITY).collect();
        let everyone: Vec<usize> = all().collect();
        if sticky.is_empty() || least(&sticky) - least(&everyone) > MAX_TTFT_PENALTY_SECONDS {
            everyone
        } else {
            sticky
        }
    }
}

impl Rival for Gie {
    fn loads(&mut self) -> &mut Loads {
        &mut self.view.loads
    }

    fn pick(&mut self, _now: u64, request: &Prepared, _truth: &Truth<'_>) -> Option<usize> {
        let hosts = &self.view.loads.hosts;
        let matched: Vec<f64> = (0..hosts.len())
            .map(|host| {
                let cached = self.view.cached_tokens(host, &request.prompt);
                f64::from(cached) / f64::from(request.prompt.tokens)
            })
            .collect();
        let candidates = if self.gate {
            self.gated(&matched)
        } else {
            self.view.loads.listed().collect()
        };
        let queues = candidates.iter().map(|&host| hosts[host].polled.waiting);
        let shortest = queues.clone().min().unwrap_or(0);
        let longest = queues.max().unwrap_or(0);
        let score = |host: usize| {
            let polled = &hosts[host].polled;
            let queue = if longest == shortest {
                1.0
            } else {
                f64::from(longest - polled.waiting) / f64::from(longest - shortest)
            };
            QUEUE_WEIGHT * queue
                + KV_WEIGHT * (1.0 - polled.kv_used)
                + PREFIX_WEIGHT * matched[host]
        };
        pick::least(&mut self.random, candidates, |host| -score(host))
    }

    fn book(&mut self, _now: u64, host: usize, request: &Prepared) {
        self.view.sent(host, request.id, &request.prompt);
    }
}

#[cfg(test)]
mod tests {
    use crate::policy::script::{Script, polled};

    #[test]
    fn a_long_queue_outweighs_a_matched_prefix_but_not_behind_the_gate() {
        for (name, expected) in [("gie", false), ("gie_gate", true)] {
            let mut script = Script::new(name, 2);
            let home = script.choose(1, &[1, 2, 3, 4]);
            let mut polls = [polled(0, 0), polled(0, 0)];
            polls[home] = polled(20, 50);
            polls[home].kv_used = 0.9;
            script.poll(&polls);
            assert_eq!(script.choose(2, &[1, 2, 3, 4]) == home, expected, "{name}");
        }
    }

    #[test]
    fn the_gate_opens_when_the_wait_is_too_long() {
        let mut script = Script::new("gie_gate", 2);
        let prefix: Vec<u64> = (0..5000).collect();
        let home = script.choose(1, &prefix);
        script.poll(&[polled(0, 0); 2]);
        // 320,000 tokens in flight there are 20 s; the other host's shorter queue and free cache then decide.
        let mut polls = [polled(0, 0); 2];
        polls[home] = polled(20, 50);
        polls[home].kv_used = 0.9;
        script.poll(&polls);
        assert_ne!(script.choose(2, &prefix), home);
    }
}
