use alloc::vec;
use alloc::vec::Vec;

use super::View;
use crate::choose::{self, Choice, Facts, Hosts, Rules, Shadowed};
use crate::policy::Classic;
use crate::score::Inputs;

/// The hosts of a record.
struct Recorded<'a> {
    view: &'a View<'a>,
    eligible: Vec<u64>,
}

impl Hosts for Recorded<'_> {
    fn eligible(&self) -> &[u64] {
        &self.eligible
    }

    fn facts(&self, index: usize) -> Option<Facts> {
        self.view.host(index).map(|host| host.facts)
    }

    fn inputs(&self, index: usize) -> Option<Inputs> {
        let host = self.view.host(index)?;
        self.view.gathered().then_some(host.inputs)
    }
}

/// A decision made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// What was chosen.
    pub choice: Choice,
    /// What the shadow chose, if there was one.
    pub shadow: Option<Shadowed>,
}

impl View<'_> {
    /// Decides again, by the policies and weights that the record holds.
    pub fn replay(&self) -> Replayed {
        let (weights, shadow_weights) = (self.weights(), self.shadow_weights());
        let rules = Rules {
            policy: self.policy(),
            weights: &weights,
            tie_band: self.tie_band(),
        };
        let choice = self.choose(&rules, false);
        let shadow = self.shadow_policy().map(|policy| {
            let shadow = Rules {
                policy,
                weights: &shadow_weights,
                ..rules
            };
            let ranked = self.choose(&shadow, true).ranked;
            self.compare(&rules, &shadow, &choice, ranked)
        });
        Replayed { choice, shadow }
    }

    /// What another policy would have done, beside what was chosen.
    pub fn under(&self, other: &Rules<'_>) -> Shadowed {
        let weights = self.weights();
        let rules = Rules {
            policy: self.policy(),
            weights: &weights,
            tie_band: self.tie_band(),
        };
        let ranked = self.choose(other, false).ranked;
        self.compare(&rules, other, &self.choice(), ranked)
    }

    fn candidates(&self) -> Recorded<'_> {
        let mut eligible = vec![0u64; self.len().div_ceil(64)];
        for (index, host) in self.hosts().enumerate() {
            if let (0, Some(word)) = (host.ruled_out, eligible.get_mut(index / 64)) {
                *word |= 1 << (index % 64);
            }
        }
        Recorded {
            view: self,
            eligible,
        }
    }

    fn choose(&self, rules: &Rules<'_>, shadow: bool) -> Choice {
        let (rng, last) = self.memory(shadow);
        let credit = self.hosts().map(|host| {
            if shadow {
                host.shadow_credit
            } else {
                host.credit
            }
        });
        let mut memory = Classic::recorded(rng, last, credit);
        let mut scores = Vec::with_capacity(self.len());
        let hosts = self.candidates();
        choose::choose(rules, &self.question(), &mut memory, &mut scores, &hosts)
    }

    fn compare(
        &self,
        rules: &Rules<'_>,
        other: &Rules<'_>,
        choice: &Choice,
        ranked: crate::pick::Ranked,
    ) -> Shadowed {
        choose::compare(
            (rules.weights, other.weights),
            &self.question(),
            &self.candidates(),
            choice,
            ranked,
        )
    }
}
