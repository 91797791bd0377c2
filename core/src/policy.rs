//! The classic policies, behind the same facade, so that every comparison differs in the policy and in nothing else.
//!
//! Each looks at the same eligible hosts as the score does and names up to three.

use alloc::vec;
use alloc::vec::Vec;

use crate::config::Policy;
use crate::fleet::Fleet;
use crate::pick::{self, RANKS, Ranked};
use crate::rng::Rng;

/// What the classic policies remember from one request to the next.
#[derive(Clone, Debug)]
pub struct Classic {
    rng: Rng,
    last: usize,
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
            last: usize::MAX,
            credit: vec![0; hosts],
        }
    }

    /// Names hosts among the `count` ones in `eligible`.
    pub fn choose(
        &mut self,
        policy: Policy,
        fleet: &Fleet,
        eligible: &[u64],
        count: usize,
        seed: u64,
    ) -> Ranked {
        let mut ranked = Ranked::default();
        let in_flight = |index: usize| {
            fleet
                .get(index)
                .map_or((u64::MAX, 0), |host| (u64::from(host.ours()), host.key))
        };
        match policy {
            Policy::RoundRobin => {
                let next = each(eligible)
                    .find(|index| self.last == usize::MAX || *index > self.last)
                    .or_else(|| each(eligible).next());
                if let Some(next) = next {
                    self.last = next;
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
                let weight =
                    |index: usize| fleet.get(index).map_or(0, |host| i64::from(host.weight));
                let mut total = 0;
                for index in each(eligible) {
                    total += weight(index);
                    if let Some(credit) = self.credit.get_mut(index) {
                        *credit += weight(index);
                    }
                }
                let credit = |index: usize| self.credit.get(index).copied().unwrap_or(0);
                ranked = pick::smallest(each(eligible).map(|index| (-credit(index), index)));
                if let Some(credit) = ranked.first().and_then(|first| self.credit.get_mut(first)) {
                    *credit -= total;
                }
            }
            Policy::LeastRequest => {
                let scores = each(eligible).map(|index| {
                    let (load, key) = in_flight(index);
                    (index, key, load)
                });
                ranked = pick::rank(scores, seed, 0);
            }
            Policy::Random | Policy::PowerOfTwo | Policy::Plimsoll => {
                let size = u32::try_from(count).unwrap_or(u32::MAX);
                let first = self.rng.below(size) as usize;
                let second = if count > 1 {
                    (first + 1 + self.rng.below(size - 1) as usize) % count
                } else {
                    first
                };
                let mut pair = [each(eligible).nth(first), each(eligible).nth(second)];
                if policy == Policy::PowerOfTwo {
                    pair.sort_by_key(|index| index.map_or(u64::MAX, |index| in_flight(index).0));
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
    use crate::fleet::Listed;
    use crate::host::{Address, State};
    use alloc::format;

    fn fleet(weights: &[u32]) -> Fleet {
        let mut fleet = Fleet::new(64);
        let list = weights.iter().enumerate().map(|(i, weight)| Listed {
            address: Address::parse(&format!("10.0.0.{}:80", i + 1)).unwrap(),
            weight: *weight,
            models: [0; 4],
            state: State::Ready,
            polled: None,
        });
        fleet.sync(list, |_| {});
        fleet
    }

    fn firsts(policy: Policy, weights: &[u32], rounds: u64) -> Vec<usize> {
        let fleet = fleet(weights);
        let mut classic = Classic::new(1, 64);
        let eligible = [(1u64 << weights.len()) - 1];
        (0..rounds)
            .filter_map(|seed| {
                classic
                    .choose(policy, &fleet, &eligible, weights.len(), seed)
                    .first()
            })
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
        fleet.get_mut(2).unwrap().own.requests = 9;
        let mut classic = Classic::new(1, 64);
        for seed in 0..500 {
            assert_ne!(
                classic
                    .choose(Policy::PowerOfTwo, &fleet, &[0b1111], 4, seed)
                    .first(),
                Some(2)
            );
            assert_ne!(
                classic
                    .choose(Policy::LeastRequest, &fleet, &[0b1111], 4, seed)
                    .first(),
                Some(2)
            );
        }
    }

    #[test]
    fn one_host_or_none() {
        for (_, policy) in Policy::NAMES {
            let fleet = fleet(&[1]);
            let mut classic = Classic::new(1, 64);
            assert_eq!(
                classic
                    .choose(policy, &fleet, &[1], 1, 0)
                    .iter()
                    .collect::<Vec<_>>(),
                [0]
            );
            assert!(classic.choose(policy, &fleet, &[0], 0, 0).is_empty());
        }
    }
}
