//! The classic policies, behind the same facade, so that every comparison differs in the policy and in nothing else.
//!
//! Each looks at the same eligible hosts as the score does and names up to three.

use alloc::vec;
use alloc::vec::Vec;

use crate::choose::Hosts;
use crate::config::Policy;
use crate::pick::{self, RANKS, Ranked};
use crate::rng::{self, Rng};

/// What the classic policies remember from one request to the next.
#[derive(Clone, Debug)]
pub struct Classic {
    rng: Rng,
    /// The host of the last turn.
    last: Option<u16>,
    credit: Vec<i64>,
}

/// Calls `f` with the index of every bit that is set.
pub fn each(bits: &[u64]) -> impl Iterator<Item = usize> + Clone + '_ {
    bits.iter().enumerate().flat_map(|(word, bits)| {
        let mut bits = *bits;
        core::iter::from_fn(move || {
            (bits != 0).then(|| {
                let bit = bits.trailing_zeros() as usize;
                bits &= bits - 1;
                word * 64 + bit
            })
        })
    })
}

impl Classic {
    /// No memory of anything; `hosts` is the most there will be.
    pub fn new(seed: u64, hosts: usize) -> Self {
        Self {
            rng: Rng::new(seed),
            last: None,
            credit: vec![0; hosts],
        }
    }

    /// The memory that a decision record tells of: [`Self::rng`], [`Self::last`] and the [`Self::credit`] of each host.
    pub fn recorded(rng: u64, last: Option<u16>, credit: impl Iterator<Item = i64>) -> Self {
        Self {
            rng: Rng::new(rng),
            last,
            credit: credit.collect(),
        }
    }

    /// State of the random sequence.
    pub const fn rng(&self) -> u64 {
        self.rng.state()
    }

    /// The host of the last turn.
    pub const fn last(&self) -> Option<u16> {
        self.last
    }

    /// What the host at `index` has earned and not been paid.
    pub fn credit(&self, index: usize) -> i64 {
        self.credit.get(index).copied().unwrap_or(0)
    }

    /// Names hosts among the eligible.
    pub fn choose<H: Hosts>(&mut self, policy: Policy, seed: u64, hosts: &H) -> Ranked {
        let mut ranked = Ranked::default();
        let eligible = hosts.eligible();
        let facts = |index: usize| hosts.facts(index).unwrap_or_default();
        match policy {
            Policy::RoundRobin => {
                let due = |index: &usize| self.last.is_none_or(|last| *index > usize::from(last));
                let next = each(eligible).find(due).or_else(|| each(eligible).next());
                if let Some(next) = next {
                    self.last = u16::try_from(next).ok();
                    let after = each(eligible).filter(|index| *index > next);
                    let around = each(eligible).filter(|index| *index < next);
                    core::iter::once(next)
                        .chain(after)
                        .chain(around)
                        .take(RANKS)
                        .for_each(|index| ranked.push(index));
                }
            }
            Policy::WeightedRoundRobin => {
                // Smooth weighted round robin, as nginx does it: everyone earns its weight, the richest is chosen and pays the total.
                let weight = |index: usize| i64::from(facts(index).weight);
                let mut total = 0;
                for index in each(eligible) {
                    total += weight(index);
                    if let Some(credit) = self.credit.get_mut(index) {
                        *credit = credit.saturating_add(weight(index));
                    }
                }
                let poorest_last = |index| (self.credit(index).saturating_neg(), index);
                ranked = pick::smallest(each(eligible).map(poorest_last));
                if let Some(credit) = ranked.first().and_then(|first| self.credit.get_mut(first)) {
                    *credit = credit.saturating_sub(total);
                }
            }
            Policy::LeastRequest => {
                // Equals are told apart by a hash of the request and the host, as in [`pick::rank`].
                ranked = pick::smallest(each(eligible).map(|index| {
                    let host = facts(index);
                    ((host.load, rng::mix(seed ^ host.key)), index)
                }));
            }
            Policy::Random | Policy::PowerOfTwo | Policy::Plimsoll => {
                let size = eligible.iter().map(|word| word.count_ones()).sum();
                let count = size as usize;
                let first = self.rng.below(size) as usize;
                let second = if count > 1 {
                    (first + 1 + self.rng.below(size - 1) as usize) % count
                } else {
                    first
                };
                let mut pair = [each(eligible).nth(first), each(eligible).nth(second)];
                if policy == Policy::PowerOfTwo {
                    pair.sort_by_key(|index| index.map_or(u32::MAX, |index| facts(index).load));
                }
                let [first, second] = pair;
                first.into_iter().for_each(|index| ranked.push(index));
                second
                    .into_iter()
                    .filter(|index| Some(*index) != first)
                    .for_each(|index| ranked.push(index));
            }
        }
        ranked
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::choose::Facts;
    use crate::score::Inputs;

    struct Fleet {
        eligible: [u64; 1],
        hosts: Vec<Facts>,
    }

    impl Hosts for Fleet {
        fn eligible(&self) -> &[u64] {
            &self.eligible
        }
        fn facts(&self, index: usize) -> Option<Facts> {
            self.hosts.get(index).copied()
        }
        fn inputs(&self, _: usize) -> Option<Inputs> {
            None
        }
    }

    fn fleet(weights: &[u32]) -> Fleet {
        let host = |(key, weight): (u64, &u32)| Facts {
            key,
            weight: *weight,
            ..Facts::default()
        };
        Fleet {
            eligible: [(1 << weights.len()) - 1],
            hosts: (1..).zip(weights).map(host).collect(),
        }
    }

    fn firsts(policy: Policy, weights: &[u32], rounds: u64) -> Vec<usize> {
        let fleet = fleet(weights);
        let mut classic = Classic::new(1, 64);
        (0..rounds)
            .filter_map(|seed| classic.choose(policy, seed, &fleet).first())
            .collect()
    }

    #[test]
    fn round_robin_takes_turns() {
        assert_eq!(
            firsts(Policy::RoundRobin, &[1, 1, 1], 7),
            [0, 1, 2, 0, 1, 2, 0]
        );
    }

    #[test]
    fn weighted_round_robin_interleaves() {
        assert_eq!(
            firsts(Policy::WeightedRoundRobin, &[5, 1, 1], 7),
            [0, 0, 1, 0, 2, 0, 0]
        );
    }

    #[test]
    fn random_is_even_and_power_of_two_prefers_the_idle() {
        let picks = firsts(Policy::Random, &[1; 4], 4000);
        for host in 0..4 {
            let share = picks.iter().filter(|p| **p == host).count();
            assert!((900..1100).contains(&share), "{share}");
        }
        let mut fleet = fleet(&[1; 4]);
        fleet.hosts[2].load = 9;
        let mut classic = Classic::new(1, 64);
        for seed in 0..500 {
            let choice = classic.choose(Policy::PowerOfTwo, seed, &fleet);
            assert_ne!(choice.first(), Some(2));
            let choice = classic.choose(Policy::LeastRequest, seed, &fleet);
            assert_ne!(choice.first(), Some(2));
        }
    }

    #[test]
    fn one_host_or_none() {
        for (_, policy) in Policy::NAMES {
            let mut fleet = fleet(&[1]);
            let mut classic = Classic::new(1, 64);
            let all: Vec<usize> = classic.choose(policy, 0, &fleet).iter().collect();
            assert_eq!(all, [0]);
            fleet.eligible = [0];
            assert!(classic.choose(policy, 0, &fleet).is_empty());
        }
    }
}
