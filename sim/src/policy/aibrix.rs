//! `prefix-cache` of AIBrix.
//!
//! Source: vllm-project/aibrix, `pkg/plugins/gateway/algorithms/prefix_cache.go`. If own running requests differ by
//! more than 8 between hosts, the least loaded; else the host with the longest known prefix (ties: fewer requests)
//! among those with at most the mean plus one standard deviation of requests; else the least loaded. The table holds
//! 200,000 blocks of 128 bytes. Code's defaults; its README says 16 and 2.

use super::loads::Loads;
use super::prefix_index::PrefixIndex;
use super::rival::Rival;
use super::{Conditions, Truth, pick};
use crate::engine::TOKEN_BYTES;
use crate::fleet::Prepared;
use crate::random::Random;

const IMBALANCE: u32 = 8;
const STANDARD_DEVIATIONS: f64 = 1.0;
const TABLE_BYTES: usize = 200_000 * 128;

pub(super) struct Aibrix {
    loads: Loads,
    index: PrefixIndex,
    random: Random,
}

impl Aibrix {
    pub(super) fn new(conditions: &Conditions<'_>) -> Self {
        let hosts = conditions.fleet.len();
        let blocks = TABLE_BYTES / TOKEN_BYTES / conditions.block_tokens as usize;
        Self {
            loads: Loads::new(hosts),
            index: PrefixIndex::new(hosts, (blocks / hosts.max(1)).max(1), u64::MAX),
            random: Random::new(conditions.seed),
        }
    }

    fn matching(&self, now: u64, request: &Prepared) -> Option<usize> {
        let own = |host: usize| self.loads.own(host);
        let all = || self.loads.listed();
        let count = all().count() as f64;
        let mean = all().map(own).sum::<f64>() / count;
        let variance = all().map(|host| (own(host) - mean).powi(2)).sum::<f64>() / count;
        let bound = mean + STANDARD_DEVIATIONS * variance.sqrt();
        all()
            .map(|host| (self.index.matched(host, now, &request.prompt), host))
            .filter(|&(matched, host)| matched > 0 && own(host) <= bound)
            .max_by_key(|&(matched, host)| {
                (matched, core::cmp::Reverse(self.loads.hosts[host].own))
            })
            .map(|(_, host)| host)
    }
}

impl Rival for Aibrix {
    fn loads(&mut self) -> &mut Loads {
        &mut self.loads
    }

    fn index(&mut self) -> Option<&mut PrefixIndex> {
        Some(&mut self.index)
    }

    fn pick(&mut self, now: u64, request: &Prepared, _truth: &Truth<'_>) -> Option<usize> {
        let (least, most) = self.loads.own_range();
        let matching = if most - least > IMBALANCE {
            None
        } else {
            self.matching(now, request)
        };
        let loads = &self.loads;
        matching.or_else(|| pick::least(&mut self.random, loads.listed(), |host| loads.own(host)))
    }
}

#[cfg(test)]
mod tests {
    use crate::policy::script::Script;

    #[test]
    fn a_match_holds_within_one_standard_deviation() {
        // With two hosts the bound is the greater load, so only the difference of 8 ends the affinity.
        let mut two = Script::new("aibrix", 2);
        let home = two.choose(0, &[1]);
        for id in 1..9 {
            assert_eq!(two.choose(id, &[1]), home, "{id}");
        }
        assert_ne!(two.choose(9, &[1]), home);
        // With three, one request more than the others is beyond it.
        let mut three = Script::new("aibrix", 3);
        let home = three.choose(0, &[1]);
        assert_ne!(three.choose(1, &[1]), home);
    }
}
