//! Peak EWMA with two choices.
//!
//! Source: Finagle's `PeakEwma.scala`, as in Linkerd and Envoy's contrib `peak_ewma`: cost is the latency times (own
//! requests in flight + 1); the lesser of two hosts at random is chosen. A latency above the average replaces it at
//! once, below it is averaged in with a decay of 10 s; it starts at 30 ms and fades towards 0 while nothing comes.
//! Latency is the time to first token, all that a proxy sees before the body.

use super::loads::Loads;
use super::rival::Rival;
use super::{Conditions, Truth, pick};
use crate::fleet::Prepared;
use crate::random::Random;

const DECAY_MICROS: f64 = 10_000_000.0;
const START_MICROS: f64 = 30_000.0;

#[derive(Clone, Copy)]
struct Latency {
    micros: f64,
    at: u64,
}

impl Latency {
    fn observe(&mut self, now: u64, micros: f64) {
        let kept = (-((now - self.at) as f64) / DECAY_MICROS).exp();
        self.at = now;
        self.micros = if micros > self.micros {
            micros
        } else {
            self.micros * kept + micros * (1.0 - kept)
        };
    }
}

pub(super) struct PeakEwma {
    loads: Loads,
    latencies: Vec<Latency>,
    random: Random,
}

impl PeakEwma {
    pub(super) fn new(conditions: &Conditions<'_>) -> Self {
        let start = Latency {
            micros: START_MICROS,
            at: 0,
        };
        Self {
            loads: Loads::new(conditions.fleet.len()),
            latencies: vec![start; conditions.fleet.len()],
            random: Random::new(conditions.seed),
        }
    }
}

impl Rival for PeakEwma {
    fn loads(&mut self) -> &mut Loads {
        &mut self.loads
    }

    fn pick(&mut self, now: u64, _request: &Prepared, _truth: &Truth<'_>) -> Option<usize> {
        let listed: Vec<usize> = self.loads.listed().collect();
        let two = pick::two(&mut self.random, listed.len());
        let two: Vec<usize> = two
            .iter()
            .filter_map(|&at| listed.get(at).copied())
            .collect();
        for &host in &two {
            self.latencies[host].observe(now, 0.0);
        }
        let cost = |host: usize| self.latencies[host].micros * (self.loads.own(host) + 1.0);
        pick::least(&mut self.random, two, cost)
    }

    fn first_token(&mut self, now: u64, host: usize, ttft: u64) {
        self.latencies[host].observe(now, ttft as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::script::Script;

    #[test]
    fn peaks_count_at_once_and_fade() {
        let mut latency = Latency {
            micros: 30_000.0,
            at: 0,
        };
        latency.observe(1_000_000, 500_000.0);
        assert_eq!(latency.micros, 500_000.0);
        latency.observe(11_000_000, 100_000.0);
        // e^-1 of 500 ms and the rest of 100 ms.
        assert!(
            (latency.micros - 247_152.0).abs() < 1.0,
            "{}",
            latency.micros
        );
    }

    #[test]
    fn a_slow_host_needs_many_requests_elsewhere() {
        let mut script = Script::new("peak_ewma", 2);
        script.now = 1_000_000;
        let slow = script.choose(0, &[1]);
        script.first_token(0, slow, 400_000);
        script.end(0, slow);
        let others: Vec<usize> = (1..5).map(|id| script.choose(id, &[1])).collect();
        assert!(others.iter().all(|&host| host != slow), "{others:?}");
    }
}
