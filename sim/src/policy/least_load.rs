//! `least_load` of Shepherd Model Gateway: expected time to drain and a barrier before the KV cache is full.
//!
//! Source: lightseekorg/smg, `model_gateway/src/policies/least_load.rs`, lower is better, ties to the first host:
//!
//! `(queued + in flight) / throughput + 0.15 k / (1 - k)`
//!
//! Queued are the tokens to be computed that the engine reports, in flight the prompt tokens sent since the last poll,
//! throughput the tokens generated a second (2,000 while there are none), k the KV utilisation, at most 0.999. vLLM
//! reports no queued tokens; the rival gets them here, as from SGLang over gRPC. Its own polls come every 10 s; here
//! as often as everyone's.

use super::{Conditions, Policy, Polled, Truth};
use crate::engine::Token;
use crate::fleet::Prepared;

const KV_PRESSURE_SECONDS: f64 = 0.15;
const DEFAULT_THROUGHPUT: f64 = 2000.0;

#[derive(Clone, Default)]
struct Host {
    polled: Polled,
    /// Prompt tokens sent since the poll.
    in_flight: u64,
    throughput: f64,
}

impl Host {
    fn cost(&self) -> f64 {
        let throughput = if self.throughput > 0.0 {
            self.throughput
        } else {
            DEFAULT_THROUGHPUT
        };
        let k = self.polled.kv_used.clamp(0.0, 0.999);
        (self.polled.queued_tokens + self.in_flight) as f64 / throughput
            + KV_PRESSURE_SECONDS * k / (1.0 - k)
    }
}

pub(super) struct LeastLoad {
    hosts: Vec<Host>,
}

impl LeastLoad {
    pub(super) fn new(conditions: &Conditions<'_>) -> Self {
        Self {
            hosts: vec![Host::default(); conditions.fleet.len()],
        }
    }
}

impl Policy for LeastLoad {
    fn poll(&mut self, _now: u64, hosts: &[Polled]) {
        for (host, &polled) in self.hosts.iter_mut().zip(hosts) {
            // An answer that was lost leaves the last one in force.
            if polled.at != host.polled.at || polled.at == 0 {
                let seconds = polled.at.saturating_sub(host.polled.at).max(1) as f64 / 1e6;
                let generated = polled
                    .output_tokens
                    .saturating_sub(host.polled.output_tokens);
                host.in_flight = 0;
                host.throughput = generated as f64 / seconds;
            }
            host.polled = polled;
        }
    }

    fn choose(&mut self, _now: u64, request: &Prepared, _truth: &Truth<'_>) -> usize {
        let costs = self.hosts.iter().map(Host::cost).enumerate();
        let listed = costs.filter(|&(host, _)| self.hosts[host].polled.listed);
        let best = listed
            .min_by(|(_, a), (_, b)| a.total_cmp(b))
            .map_or(0, |(host, _)| host);
        self.hosts[best].in_flight += u64::from(request.prompt.tokens);
        best
    }

    fn token(&mut self, _now: u64, _host: usize, _token: &Token, _request: &Prepared) {}

    fn failed(&mut self, _now: u64, _host: usize, _request: &Prepared) {}
}

#[cfg(test)]
mod tests {
    use crate::policy::script::{Script, polled};

    #[test]
    fn work_over_speed_decides_and_what_was_sent_counts_until_the_poll() {
        let mut script = Script::new("least_load", 2);
        script.now = 1_000_000;
        let (mut slow, mut fast) = (polled(1, 1), polled(1, 1));
        (slow.queued_tokens, slow.output_tokens) = (1000, 100);
        (fast.queued_tokens, fast.output_tokens) = (3000, 1000);
        script.poll(&[slow, fast]);
        // 10 s against 3 s; 7,040 tokens more make it 10.04 s.
        assert_eq!(script.choose(0, &[0; 110]), 1);
        assert_eq!(script.choose(1, &[1]), 0);
    }

    #[test]
    fn a_nearly_full_cache_is_avoided() {
        let mut script = Script::new("least_load", 2);
        let mut full = polled(1, 0);
        full.kv_used = 0.97;
        script.poll(&[full, polled(1, 0)]);
        // 0.15 * 0.97 / 0.03 = 4.85 s, as 9,700 tokens at 2,000 a second.
        assert_eq!(script.choose(0, &[0; 140]), 1);
        assert_eq!(script.choose(1, &[0; 20]), 1);
        assert_eq!(script.choose(2, &[1]), 0);
    }
}
