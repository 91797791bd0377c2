//! `prefix-cache` of AIBrix.
//!
//! Source: vllm-project/aibrix, `pkg/plugins/gateway/algorithms/prefix_cache.go`. If own running requests differ by
//! more than 8 between hosts, the least loaded; else the host with the longest known prefix (ties: fewer requests)
//! among those with at most the mean plus one standard deviation of requests; else the least loaded. The table holds
//! 200,000 blocks of 128 bytes. Code's defaults; its README says 16 and 2.

use super::loads::Loads;
use super::prefix_index::PrefixIndex;
use super::{Conditions, Policy, Polled, Truth, pick};
use crate::engine::{TOKEN_BYTES, Token};
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
        let own = |host: usize| f64::from(self.loads.hosts[host].own);
        let all = || 0..self.loads.hosts.len();
        let count = all().len() as f64;
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

impl Policy for Aibrix {
    fn poll(&mut self, _now: u64, hosts: &[Polled]) {
        self.loads.poll(hosts);
    }

    fn choose(&mut self, now: u64, request: &Prepared, _truth: &Truth<'_>) -> usize {
        let (least, most) = self.loads.own_range();
        let matching = if most - least > IMBALANCE {
            None
        } else {
            self.matching(now, request)
        };
        let hosts = &self.loads.hosts;
        let random = &mut self.random;
        let host = matching
            .or_else(|| pick::least(random, 0..hosts.len(), |host| f64::from(hosts[host].own)))
            .unwrap_or(0);
        self.index.insert(host, now, &request.prompt);
        self.loads.sent(host, request.id, request.prompt.tokens);
        host
    }

    fn token(&mut self, _now: u64, host: usize, token: &Token, _request: &Prepared) {
        self.loads.token(host, token);
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
