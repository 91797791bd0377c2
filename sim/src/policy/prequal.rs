//! Prequal: probes of requests in flight and latency, hot and cold.
//!
//! Source: Wydrowski et al., "Load is not what you should balance: Introducing Prequal", NSDI'24. Every request sends 3
//! probes to hosts at random, used by later requests. The pool keeps 16, each for a second. A probe is hot when its
//! requests in flight exceed the 0.84 quantile (2^-0.25) of the pool; the cold one of least latency is chosen, or the
//! hot one with the fewest requests, which then count one more. A request removes one probe, the oldest and the worst
//! in turn. A probe serves max(1, (1 + 1) / ((1 - 16 / hosts) * 3 - 1)) requests. Fewer than two probes: at random.
//!
//! The answer to a probe is exact and at once. Latency is the median time to first token of the 5 requests, among the
//! last 32 of this router there, that came at the most similar number of requests in flight: with answers of unknown
//! length the whole time says little about the host.

use super::{Conditions, Policy, Polled, Truth, pick};
use crate::engine::{HashKeyed, Token};
use crate::fleet::Prepared;
use crate::random::Random;
use crate::report::percentile;

const PROBES: u64 = 3;
const POOL: usize = 16;
const MAX_AGE_MICROS: u64 = 1_000_000;
const HOT_QUANTILE: f64 = 0.840_896;
const SAMPLES: usize = 32;
const NEAREST: usize = 5;

struct Probe {
    host: usize,
    in_flight: u32,
    latency: f64,
    at: u64,
    uses: u32,
}

pub(super) struct Prequal {
    /// Oldest first.
    pool: Vec<Probe>,
    /// Per host, requests in flight at arrival and time to first token, oldest first.
    samples: Vec<Vec<(u32, f64)>>,
    /// Requests in flight when a request of its own came to its host.
    at_arrival: HashKeyed<u32>,
    uses: u32,
    remove_oldest: bool,
    random: Random,
}

impl Prequal {
    pub(super) fn new(conditions: &Conditions<'_>) -> Self {
        let hosts = conditions.fleet.len();
        let drain = (1.0 - POOL as f64 / hosts as f64) * PROBES as f64 - 1.0;
        Self {
            pool: Vec::new(),
            samples: vec![Vec::new(); hosts],
            at_arrival: HashKeyed::default(),
            uses: (2.0 / drain).max(1.0) as u32,
            remove_oldest: true,
            random: Random::new(conditions.seed),
        }
    }

    /// Requests in flight above which a probe is hot.
    fn threshold(&self) -> f64 {
        let mut in_flight: Vec<f64> = self
            .pool
            .iter()
            .map(|probe| f64::from(probe.in_flight))
            .collect();
        in_flight.sort_by(f64::total_cmp);
        percentile(&in_flight, HOT_QUANTILE * 100.0)
    }

    /// Order of preference: cold before hot, cold by latency, hot by requests in flight.
    fn rank(probe: &Probe, threshold: f64) -> (bool, f64) {
        let in_flight = f64::from(probe.in_flight);
        if in_flight > threshold {
            (true, in_flight)
        } else {
            (false, probe.latency)
        }
    }

    /// Position of the best probe, or of the worst.
    fn extreme(&self, worst: bool) -> Option<usize> {
        let threshold = self.threshold();
        let order = |a: &usize, b: &usize| {
            let (a, b) = (&self.pool[*a], &self.pool[*b]);
            let (hot_a, cost_a) = Self::rank(a, threshold);
            let (hot_b, cost_b) = Self::rank(b, threshold);
            hot_a.cmp(&hot_b).then(cost_a.total_cmp(&cost_b))
        };
        let positions = 0..self.pool.len();
        if worst {
            positions.max_by(order)
        } else {
            positions.min_by(order)
        }
    }

    fn latency(&self, host: usize, in_flight: u32) -> f64 {
        let mut nearest: Vec<(u32, f64)> = self.samples[host]
            .iter()
            .map(|&(arrived, latency)| (arrived.abs_diff(in_flight), latency))
            .collect();
        nearest.sort_by_key(|&(distance, _)| distance);
        nearest.truncate(NEAREST);
        let mut latencies: Vec<f64> = nearest.into_iter().map(|(_, latency)| latency).collect();
        latencies.sort_by(f64::total_cmp);
        percentile(&latencies, 50.0)
    }

    fn probe(&mut self, now: u64, truth: &Truth<'_>) {
        let mut probed: Vec<usize> = Vec::new();
        let others = |probed: &Vec<usize>| {
            let hosts = (0..truth.engines.len())
                .filter(|&host| truth.listed[host] && !probed.contains(&host));
            hosts.collect::<Vec<_>>()
        };
        for _ in 0..PROBES {
            let Some(host) = pick::least(&mut self.random, others(&probed), |_| 0.0) else {
                break;
            };
            probed.push(host);
            let in_flight = in_flight(truth, host);
            self.pool.push(Probe {
                host,
                in_flight,
                latency: self.latency(host, in_flight),
                at: now,
                uses: self.uses,
            });
        }
        let surplus = self.pool.len().saturating_sub(POOL);
        self.pool.drain(..surplus);
    }
}

fn in_flight(truth: &Truth<'_>, host: usize) -> u32 {
    let engine = &truth.engines[host];
    (engine.running() + engine.waiting()) as u32
}

impl Policy for Prequal {
    fn poll(&mut self, _now: u64, _hosts: &[Polled]) {}

    fn choose(&mut self, now: u64, request: &Prepared, truth: &Truth<'_>) -> usize {
        // A probe of a host that has gone is of no use: its connection would be refused.
        self.pool
            .retain(|probe| now - probe.at <= MAX_AGE_MICROS && truth.listed[probe.host]);
        let best = if self.pool.len() < 2 {
            None
        } else {
            self.extreme(false)
        };
        let host = match best {
            None => pick::listed(&mut self.random, truth),
            Some(position) => {
                let probe = &mut self.pool[position];
                probe.in_flight += 1;
                probe.uses -= 1;
                let host = probe.host;
                if probe.uses == 0 {
                    self.pool.remove(position);
                }
                host
            }
        };
        let removed = if self.remove_oldest {
            (!self.pool.is_empty()).then_some(0)
        } else {
            self.extreme(true)
        };
        if let Some(position) = removed {
            self.pool.remove(position);
            self.remove_oldest = !self.remove_oldest;
        }
        self.at_arrival.insert(request.id, in_flight(truth, host));
        self.probe(now, truth);
        host
    }

    fn token(&mut self, now: u64, host: usize, token: &Token, request: &Prepared) {
        if token.ordinal == 1
            && let Some(arrived) = self.at_arrival.remove(&token.id)
        {
            let samples = &mut self.samples[host];
            if samples.len() == SAMPLES {
                samples.remove(0);
            }
            samples.push((arrived, (now - request.at_micros) as f64));
        }
    }

    fn failed(&mut self, _now: u64, _host: usize, request: &Prepared) {
        self.at_arrival.remove(&request.id);
    }
}

#[cfg(test)]
mod tests {
    use crate::engine::Job;
    use crate::policy::script::{Script, prompt};

    /// Requests of 200 that come to host 2.
    fn share(script: &mut Script) -> usize {
        let come = (0..200).filter(|&id| {
            script.now += 20_000;
            let host = script.choose(id, &[1]);
            script.first_token(id, host, if host == 2 { 10_000 } else { 50_000 });
            host == 2
        });
        come.count()
    }

    #[test]
    fn the_cold_host_of_least_latency_is_chosen_and_hot_ones_are_avoided() {
        let mut script = Script::new("prequal", 8);
        script.now = 10_000_000;
        share(&mut script);
        let cold = share(&mut script);
        for id in 0..50 {
            let job = Job {
                id,
                prompt: prompt(&[1]),
                output_tokens: 5,
            };
            script.engines[2].submit(job).unwrap();
        }
        let hot = share(&mut script);
        assert!(cold > 60, "three of eight probes see it: {cold}");
        assert!(hot < cold / 3, "{hot} of {cold}");
    }
}
