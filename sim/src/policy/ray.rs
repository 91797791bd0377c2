//! `PrefixCacheAffinityRouter` of Ray Serve LLM.
//!
//! Source: ray-project/ray, `python/ray/llm/_internal/serve/…/prefix_aware_router.py`, and docs.ray.io. If queues differ
//! by more than 10: two at random, the shorter queue. Else, with at least a tenth of the prompt known, the shortest
//! queue among the replicas that have the longest match; with less, among the smallest trees. Nothing is evicted.
//! The code's own default threshold is infinite (never imbalanced); 10 is the value of the documentation, and better.
//!
//! In Ray the tree is an actor that all routers share. Here each router has its own.

use super::loads::Loads;
use super::prefix_index::PrefixIndex;
use super::rival::Rival;
use super::{Conditions, Truth, pick};
use crate::fleet::Prepared;
use crate::random::Random;

const IMBALANCE: u32 = 10;
const MATCH_RATE: f64 = 0.1;

pub(super) struct Ray {
    loads: Loads,
    index: PrefixIndex,
    block_tokens: u32,
    random: Random,
}

impl Ray {
    pub(super) fn new(conditions: &Conditions<'_>) -> Self {
        let hosts = conditions.fleet.len();
        Self {
            loads: Loads::new(hosts),
            index: PrefixIndex::new(hosts, usize::MAX, u64::MAX),
            block_tokens: conditions.block_tokens,
            random: Random::new(conditions.seed),
        }
    }

    fn candidates(&mut self, now: u64, request: &Prepared) -> Vec<usize> {
        let all: Vec<usize> = self.loads.listed().collect();
        let queues = all.iter().map(|&host| self.loads.hosts[host].requests());
        let shortest = queues.clone().min().unwrap_or(0);
        if queues.max().unwrap_or(0) - shortest > IMBALANCE {
            let two = pick::two(&mut self.random, all.len());
            return two.map(|position| all[position]).to_vec();
        }
        let hosts = all.iter().copied();
        let (blocks, hosts) = self.index.deepest(hosts, now, &request.prompt);
        let tokens = blocks as f64 * f64::from(self.block_tokens);
        if tokens / f64::from(request.prompt.tokens) >= MATCH_RATE {
            return hosts;
        }
        let smallest = all.iter().map(|&host| self.index.size(host)).min();
        all.into_iter()
            .filter(|&host| Some(self.index.size(host)) == smallest)
            .collect()
    }
}

impl Rival for Ray {
    fn loads(&mut self) -> &mut Loads {
        &mut self.loads
    }

    fn index(&mut self) -> Option<&mut PrefixIndex> {
        Some(&mut self.index)
    }

    fn pick(&mut self, now: u64, request: &Prepared, _truth: &Truth<'_>) -> Option<usize> {
        let candidates = self.candidates(now, request);
        let hosts = &self.loads.hosts;
        let queue = |host: usize| f64::from(hosts[host].requests());
        pick::least(&mut self.random, candidates, queue)
    }
}

#[cfg(test)]
mod tests {
    use crate::policy::script::Script;

    #[test]
    fn long_match_then_smallest_tree_then_two_choices() {
        let mut script = Script::new("ray", 2);
        let home = script.choose(0, &[1, 2, 3]);
        for id in 1..11 {
            assert_eq!(script.choose(id, &[1, 2, 3]), home, "{id}");
        }
        assert_ne!(script.choose(11, &[1, 2, 3]), home, "11 to 0 is imbalanced");
        // 11 to 1 is not; nothing known is as good as the smallest tree, and the trees are equal.
        let shorter = script.choose(12, &[7, 8]);
        assert_ne!(shorter, home, "the shorter queue of equal trees");
        // Its tree is the greater one from here on.
        assert_eq!(script.choose(13, &[9]), home);
    }
}
