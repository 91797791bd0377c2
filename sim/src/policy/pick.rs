//! Choosing among candidates.

use super::Truth;
use crate::random::Random;

/// The candidate of least cost, ties at random; `None` without candidates.
pub(super) fn least(
    random: &mut Random,
    candidates: impl IntoIterator<Item = usize>,
    cost: impl Fn(usize) -> f64,
) -> Option<usize> {
    let mut best: Option<(usize, f64)> = None;
    let mut ties = 0;
    for candidate in candidates {
        let cost = cost(candidate);
        match best {
            Some((_, least)) if cost > least => {}
            Some((_, least)) if cost == least => {
                ties += 1;
                if random.below(ties) == 0 {
                    best = Some((candidate, cost));
                }
            }
            _ => {
                best = Some((candidate, cost));
                ties = 1;
            }
        }
    }
    best.map(|(candidate, _)| candidate)
}

/// Two different hosts at random; the same one twice where there is only one.
pub(super) fn two(random: &mut Random, hosts: usize) -> [usize; 2] {
    let first = random.below(hosts as u64) as usize;
    let others = hosts.saturating_sub(1).max(1);
    let second = (first + 1 + random.below(others as u64) as usize) % hosts.max(1);
    [first, second]
}

/// A host at random among those that are there; the first one if none is.
pub(super) fn listed(random: &mut Random, truth: &Truth<'_>) -> usize {
    let listed = truth.listed.iter().enumerate();
    let listed = listed.filter_map(|(host, &listed)| listed.then_some(host));
    least(random, listed, |_| 0.0).unwrap_or(0)
}
