//! The ranked pick: the best host, and the two to try after it.

use crate::fixed;
use crate::rng;

/// Hosts named for one request at most.
pub const RANKS: usize = 3;

/// Host indices, best first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ranked {
    hosts: [u16; RANKS],
    len: u8,
}

impl Ranked {
    /// Adds the next best, as long as there is room.
    pub fn push(&mut self, host: usize) {
        if let (Some(slot), Ok(host)) = (
            self.hosts.get_mut(usize::from(self.len)),
            u16::try_from(host),
        ) {
            *slot = host;
            self.len += 1;
        }
    }

    /// The hosts, best first.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.hosts
            .iter()
            .take(usize::from(self.len))
            .map(|host| usize::from(*host))
    }

    /// The first choice.
    pub fn first(&self) -> Option<usize> {
        self.iter().next()
    }

    /// How many hosts are named.
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether none is named.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// Ranks hosts by score. Those within `band` (Q16) of the best are tied, and a hash of the request and the host breaks the tie, so that
/// routers with the same stale view do not all choose the same host, and none depends on the order of hosts.
///
/// `scores` are index, key and score of every eligible host.
pub fn rank(scores: &[(usize, u64, u64)], seed: u64, band: u64) -> Ranked {
    let Some(best) = scores.iter().map(|(_, _, score)| *score).min() else {
        return Ranked::default();
    };
    let limit = best.saturating_add(fixed::mul_q16(best, band));
    let mut top = Top::default();
    for &(index, key, score) in scores {
        // A tied host sorts before all others, among its like by the hash.
        let order = if score <= limit { 0 } else { score };
        // Most hosts of a large fleet are worse than all ranks held: they need no hash.
        if top.last().is_none_or(|((worst, _), _)| order <= *worst) {
            top.add(((order, rng::mix(seed ^ key)), index));
        }
    }
    top.ranked()
}

/// Ranks hosts by their keys, the smallest first, equal keys by index.
pub fn smallest<K: Ord + Copy>(keyed: impl Iterator<Item = (K, usize)>) -> Ranked {
    let mut top = Top::default();
    for entry in keyed {
        top.add(entry);
    }
    top.ranked()
}

/// The smallest entries so far.
struct Top<K>([Option<(K, usize)>; RANKS]);

impl<K> Default for Top<K> {
    fn default() -> Self {
        Self([const { None }; RANKS])
    }
}

impl<K: Ord + Copy> Top<K> {
    /// The largest of them, once every rank is taken.
    const fn last(&self) -> Option<&(K, usize)> {
        let [.., last] = &self.0;
        last.as_ref()
    }

    #[inline]
    fn add(&mut self, mut entry: (K, usize)) {
        for slot in &mut self.0 {
            match slot {
                None => {
                    *slot = Some(entry);
                    break;
                }
                Some(held) if entry < *held => core::mem::swap(held, &mut entry),
                Some(_) => {}
            }
        }
    }

    fn ranked(self) -> Ranked {
        let mut ranked = Ranked::default();
        for (_, index) in self.0.into_iter().flatten() {
            ranked.push(index);
        }
        ranked
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn ranks_by_score_and_spreads_ties() {
        let scores = [
            (0usize, 10u64, 500u64),
            (1, 11, 100),
            (2, 12, 101),
            (3, 13, 300),
        ];
        let mut firsts = [0; 4];
        for seed in 0..1000 {
            let ranked: Vec<usize> = rank(&scores, seed, fixed::ONE / 32).iter().collect();
            assert_eq!(ranked.len(), 3);
            assert_eq!(ranked[2], 3);
            firsts[ranked[0]] += 1;
            let mut reversed = scores;
            reversed.reverse();
            assert_eq!(
                rank(&reversed, seed, fixed::ONE / 32)
                    .iter()
                    .collect::<Vec<_>>(),
                ranked
            );
        }
        assert!(
            firsts[0] == 0 && firsts[3] == 0 && firsts[1] > 400 && firsts[2] > 400,
            "{firsts:?}"
        );
        assert_eq!(rank(&scores, 1, 0).first(), Some(1));
        assert!(rank(&[], 1, 0).is_empty());
    }
}
