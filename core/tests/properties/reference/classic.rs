//! The classic policies as their names say.

use std::collections::BTreeMap;

use plimsoll_core::config::Policy;
use plimsoll_core::host::Address;
use plimsoll_core::rng::mix;

use super::Reference;
use super::decide::Question;

/// What they remember.
pub(crate) struct Classic {
    /// State of SplitMix64.
    random: u64,
    last: Option<Address>,
    credit: BTreeMap<Address, i64>,
}

impl Classic {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            random: seed,
            last: None,
            credit: BTreeMap::new(),
        }
    }

    fn random_below(&mut self, bound: usize) -> usize {
        let bits = mix(self.random) >> 32;
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        ((bits * bound as u64) >> 32) as usize
    }
}

impl Reference {
    /// Up to three of the eligible hosts, which are given in the order in which they became known.
    pub(super) fn by_classic(
        &mut self,
        question: &Question<'_>,
        eligible: &[Address],
    ) -> Vec<Address> {
        let mut ranked = match self.config.policy {
            Policy::RoundRobin => {
                // After the last one in the order of all hosts, eligible or not.
                let place = |host: &Address| self.order.iter().position(|known| known == host);
                let last = self.classic.last.as_ref().and_then(place);
                let next = eligible.iter().position(|host| last < place(host));
                let next = next.unwrap_or(0);
                let mut turns = vec![eligible[next]];
                turns.extend(&eligible[next + 1..]);
                turns.extend(&eligible[..next]);
                self.classic.last = Some(turns[0]);
                turns
            }
            Policy::WeightedRoundRobin => {
                let mut total = 0;
                for host in eligible {
                    let weight = self.hosts[host].weight as i64;
                    total += weight;
                    *self.classic.credit.entry(*host).or_default() += weight;
                }
                let mut richest = eligible.to_vec();
                richest.sort_by_key(|host| -self.classic.credit[host]);
                *self.classic.credit.get_mut(&richest[0]).unwrap() -= total;
                richest
            }
            Policy::LeastRequest => {
                let loads = eligible.iter().map(|host| (*host, self.load(host)));
                self.rank(loads.collect(), question.request.seed, 0)
            }
            Policy::Random | Policy::PowerOfTwo => {
                let first = self.classic.random_below(eligible.len());
                let mut pair = vec![eligible[first]];
                if eligible.len() > 1 {
                    // Any of the others.
                    let further = 1 + self.classic.random_below(eligible.len() - 1);
                    pair.push(eligible[(first + further) % eligible.len()]);
                }
                if self.config.policy == Policy::PowerOfTwo {
                    pair.sort_by_key(|host| self.load(host));
                }
                pair
            }
            Policy::Plimsoll => unreachable!("it scores"),
        };
        ranked.truncate(3);
        ranked
    }

    fn load(&self, host: &Address) -> u64 {
        u64::from(self.own(*host).requests + self.hosts[host].peers.requests)
    }
}
