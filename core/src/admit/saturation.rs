//! How full the fleet is, as one number that rises evenly.

use crate::config::Admission;
use crate::fixed::{self, ONE};
use crate::score::Inputs;

/// Saturation of one host (Q16, 1 is full and the most): the nearest of its limits, by predicted wait, KV cache and requests.
pub(super) fn of_host(inputs: &Inputs, full: &Admission) -> u64 {
    // A prefill keeps its place until its first token: what it has left is a guess, and a full host would be filled again on it.
    let queued = inputs.queued_tokens.saturating_add(inputs.done_tokens);
    let wait = fixed::mul_q16(queued, inputs.per_token);
    let kv = inputs.kv_used.saturating_add(if inputs.kv_capacity == 0 {
        0
    } else {
        fixed::ratio(inputs.kv_added, inputs.kv_capacity)
    });
    let requests = if full.full_requests == 0 {
        0
    } else {
        fixed::ratio(u64::from(inputs.requests), full.full_requests)
    };
    fixed::ratio(wait, full.full_wait.get())
        .max(fixed::mul_div(kv, ONE, full.full_kv))
        .max(requests)
        .min(ONE)
}

/// Saturation of a fleet: the mean over its hosts and the `closed` ones that have as many requests as they may, so that a ceiling below 1
/// keeps part of the hosts free for those above it.
pub(crate) fn of_fleet(hosts: impl Iterator<Item = Inputs>, closed: u64, full: &Admission) -> u64 {
    let (mut sum, mut count) = (closed.saturating_mul(ONE), closed);
    for inputs in hosts {
        sum += of_host(&inputs, full);
        count += 1;
    }
    sum / count.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_counts_and_none_beyond_full() {
        let full = Admission {
            full_requests: 10,
            ..Admission::default()
        };
        let idle = Inputs {
            per_token: ONE,
            kv_capacity: 1000,
            ..Inputs::default()
        };
        assert_eq!(of_host(&idle, &full), 0);
        let waiting = Inputs {
            queued_tokens: 250_000,
            ..idle
        };
        assert_eq!(of_host(&waiting, &full), ONE / 2);
        let crowded = Inputs {
            requests: 5,
            ..idle
        };
        assert_eq!(of_host(&crowded, &full), ONE / 2);
        let holding = Inputs {
            kv_used: ONE * 9 / 40,
            kv_added: 225,
            ..idle
        };
        assert!(of_host(&holding, &full).abs_diff(ONE / 2) < 8);
        let flooded = Inputs {
            requests: 500,
            ..idle
        };
        assert_eq!(of_host(&flooded, &full), ONE);
        let fleet = [idle, flooded, idle, waiting].into_iter();
        assert_eq!(of_fleet(fleet, 0, &full), ONE * 3 / 8);
        assert_eq!(of_fleet(core::iter::empty(), 0, &full), 0);
        assert_eq!(of_fleet([idle].into_iter(), 1, &full), ONE / 2);
    }
}
