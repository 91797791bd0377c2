//! `cache_aware` of the SGLang router and of Shepherd Model Gateway (SMG).
//!
//! Source: lightseekorg/smg, `model_gateway/src/policies/cache_aware.rs`. Load is the router's own requests in flight.
//! Imbalanced is: max - min > abs and max > rel * min; then everyone goes to the shortest queue. Otherwise the host
//! that was last sent the longest known prefix, if that is more than a share `threshold` of the prompt; else least load.
//!
//! | name | abs | rel | threshold | which |
//! |---|---|---|---|---|
//! | `cache_aware` | 32 | 1.1 | 0.5 | defaults of the configuration type |
//! | `cache_aware_cli` | 64 | 1.5 | 0.3 | defaults of the command line |
//!
//! The tree holds 2^26 bytes of prompt a host (the command line's default) and knows nothing of the engine's evictions.

use super::loads::Loads;
use super::prefix_index::PrefixIndex;
use super::rival::Rival;
use super::{Conditions, Truth};
use crate::engine::TOKEN_BYTES;
use crate::fleet::Prepared;

const TREE_BYTES: usize = 1 << 26;

/// When load is imbalanced, and what share of a prompt makes a match.
pub(super) struct Thresholds {
    abs: u32,
    rel: f64,
    matched: f64,
}

impl Thresholds {
    pub(super) const TYPE: Self = Self {
        abs: 32,
        rel: 1.1,
        matched: 0.5,
    };
    pub(super) const COMMAND_LINE: Self = Self {
        abs: 64,
        rel: 1.5,
        matched: 0.3,
    };
}

pub(super) struct CacheAware {
    loads: Loads,
    index: PrefixIndex,
    block_tokens: u32,
    thresholds: Thresholds,
}

impl CacheAware {
    pub(super) fn new(conditions: &Conditions<'_>, thresholds: Thresholds) -> Self {
        let hosts = conditions.fleet.len();
        let limit = TREE_BYTES / TOKEN_BYTES / conditions.block_tokens as usize;
        Self {
            loads: Loads::new(hosts),
            index: PrefixIndex::new(hosts, limit, u64::MAX),
            block_tokens: conditions.block_tokens,
            thresholds,
        }
    }

    fn matching(&self, now: u64, request: &Prepared) -> Option<usize> {
        let listed = self.loads.listed();
        let (blocks, hosts) = self.index.deepest(listed, now, &request.prompt);
        let tokens = blocks as f64 * f64::from(self.block_tokens);
        if tokens / f64::from(request.prompt.tokens) <= self.thresholds.matched {
            return None;
        }
        let last_use = |host: &usize| self.index.last_use(*host, blocks, &request.prompt);
        hosts.into_iter().max_by_key(last_use)
    }
}

impl Rival for CacheAware {
    fn loads(&mut self) -> &mut Loads {
        &mut self.loads
    }

    fn index(&mut self) -> Option<&mut PrefixIndex> {
        Some(&mut self.index)
    }

    fn pick(&mut self, now: u64, request: &Prepared, _truth: &Truth<'_>) -> Option<usize> {
        let (least, most) = self.loads.own_range();
        let imbalanced = most - least > self.thresholds.abs
            && f64::from(most) > self.thresholds.rel * f64::from(least);
        let matching = if imbalanced {
            None
        } else {
            self.matching(now, request)
        };
        matching.or_else(|| self.loads.first_least_own())
    }
}

#[cfg(test)]
mod tests {
    use crate::policy::script::Script;

    #[test]
    fn affinity_holds_until_the_fleet_is_imbalanced() {
        for (name, until) in [("cache_aware", 33), ("cache_aware_cli", 65)] {
            let mut script = Script::new(name, 2);
            let home = script.choose(0, &[1, 2, 3]);
            for id in 1..until {
                assert_eq!(script.choose(id, &[1, 2, 3, 100 + id]), home, "{name} {id}");
            }
            assert_ne!(script.choose(until, &[1, 2, 3]), home, "{name}");
        }
    }

    #[test]
    fn a_share_of_the_prompt_makes_the_match() {
        // Two of five blocks are 0.4: more than 0.3, less than 0.5.
        for (name, stays) in [("cache_aware", false), ("cache_aware_cli", true)] {
            let mut script = Script::new(name, 2);
            let home = script.choose(0, &[1, 2]);
            let same = script.choose(1, &[1, 2, 7, 8, 9]) == home;
            assert_eq!(same, stays, "{name}");
        }
    }
}
