//! What is learned of requests' sizes and hosts' speeds.

use std::collections::BTreeMap;

use plimsoll_core::config::Priors;
use plimsoll_core::learn::Sums;
use plimsoll_core::request::Request;
use plimsoll_core::rng::mix;
use plimsoll_core::time::Instant;

use super::arithmetic::{ONE, over, ratio, times, towards};
use super::{Flight, Host, Reference};

/// One sample in the units of [`Sums::samples`].
const SAMPLE: u64 = 256;

/// A step takes as long for fewer tokens.
const STEP: u64 = 512;

/// Bytes of a token by model, and length and its error by class, in 1/256 token.
#[derive(Debug)]
pub(super) struct Costs {
    priors: Priors,
    bytes_per_token: BTreeMap<u64, u64>,
    output: BTreeMap<u64, (u64, u64)>,
}

impl Costs {
    pub(super) fn new(priors: &Priors) -> Self {
        Self {
            priors: priors.clone(),
            bytes_per_token: BTreeMap::new(),
            output: BTreeMap::new(),
        }
    }

    /// Model and class as the fixed tables tell them apart: 16 and 128 places.
    pub(super) fn class(request: &Request<'_>) -> (u64, u64) {
        let class = mix(request.model ^ request.tenant.rotate_left(29) ^ request.kind as u64);
        (mix(request.model) % 16, class % 128)
    }

    pub(super) fn tokens(&self, class: (u64, u64), bytes: u64) -> u64 {
        let learned = self.bytes_per_token.get(&class.0).copied();
        over(bytes, ONE, learned.unwrap_or(self.priors.bytes_per_token))
    }

    fn output(&self, class: (u64, u64)) -> (u64, u64) {
        let prior = self.priors.output_tokens * 256;
        let learned = self.output.get(&class.1).copied();
        learned.unwrap_or((prior, prior / 2))
    }

    pub(super) fn output_tokens(&self, class: (u64, u64), limit: Option<u32>) -> u64 {
        let mean = self.output(class).0 / 256;
        limit.map_or(mean, |limit| mean.min(u64::from(limit)))
    }

    pub(super) fn on_usage(
        &mut self,
        class: (u64, u64),
        bytes: u64,
        prompt_tokens: u64,
        completion_tokens: u64,
    ) {
        if prompt_tokens >= 32 {
            let seen = ratio(bytes, prompt_tokens).clamp(ONE / 2, 64 * ONE);
            let prior = self.priors.bytes_per_token;
            let mean = self.bytes_per_token.entry(class.0).or_insert(prior);
            *mean = towards(*mean, seen, 4);
        }
        let (mean, error) = self.output(class);
        let seen = completion_tokens * 256;
        let entry = (
            towards(mean, seen, 5),
            towards(error, mean.abs_diff(seen), 5),
        );
        self.output.insert(class.1, entry);
    }
}

pub(super) fn fade(sums: &mut Sums) {
    for value in [
        &mut sums.ttft,
        &mut sums.tokens,
        &mut sums.samples,
        &mut sums.squares,
    ] {
        // A sixteenth of the half-life.
        *value = times(*value, 62_757);
    }
}

fn seen(host: &Host, pending: bool) -> Sums {
    let mut sums = host.own_sums;
    if pending {
        sums.add(&host.pending);
    }
    sums.add(&host.peer_sums);
    sums
}

/// Microseconds a token (Q16), with `optimism` mean samples of tokens that took no time.
fn rate(sums: &Sums, optimism: u64) -> u64 {
    let mean = over(sums.tokens, SAMPLE, sums.samples);
    ratio(sums.ttft, sums.tokens + mean * optimism)
}

/// One sample; its error is against what was known of the host, if anything was.
fn sample(host: &Host, ttft: u64, tokens: u64) -> Sums {
    let tokens = tokens.max(STEP);
    let seen = seen(host, false);
    let error = if seen.samples < SAMPLE {
        0
    } else {
        let expected = times(tokens, rate(&seen, 0));
        ratio(expected.abs_diff(ttft), expected).min(4 * ONE)
    };
    Sums {
        ttft,
        tokens,
        samples: SAMPLE,
        squares: times(error, error),
    }
}

impl Reference {
    /// The request has ended; `uncached` tokens had been prefilled for its first token.
    pub(super) fn learn(&mut self, flight: &Flight, uncached: u64) {
        let (Some(ttft), Some(address)) = (flight.lesson, flight.host) else {
            return;
        };
        let host = self.hosts.get_mut(&address).unwrap();
        let ahead = flight.queued + uncached.max(16);
        let expected = times(ahead.max(STEP), host.per_token);
        // 0.98 of what was; from the third sample in a row that took twice what was expected, half of it, down to six samples.
        let slow = ttft >= 2 * expected;
        host.slow_samples = if slow {
            host.slow_samples.saturating_add(1)
        } else {
            0
        };
        let new = sample(host, ttft, ahead);
        let sums = &mut host.own_sums;
        let slower = host.slow_samples >= 3 && sums.samples >= 6 * SAMPLE;
        let keep = if slower { ONE / 2 } else { 64_225 };
        for (sum, sample) in [
            (&mut sums.ttft, new.ttft),
            (&mut sums.tokens, new.tokens),
            (&mut sums.samples, new.samples),
            (&mut sums.squares, new.squares),
        ] {
            *sum = times(*sum, keep) + sample;
        }
    }

    /// Requests that have not ended count by what they show so far; those that wait, once they have waited twice as long as predicted.
    pub(super) fn learn_pending(&mut self, now: Instant) {
        for host in self.hosts.values_mut() {
            host.pending = Sums::default();
        }
        for flight in self.flights.values() {
            let Some(address) = flight.host else { continue };
            let host = self.hosts.get_mut(&address).unwrap();
            let ahead = (flight.queued + flight.uncached + flight.credited).max(STEP);
            let waited = now.since(flight.sent).get();
            let overdue = waited > 2 * times(ahead, host.per_token);
            let ttft = match flight.lesson {
                Some(ttft) => ttft,
                None if flight.stream && flight.prefilling && flight.teaches && overdue => waited,
                None => continue,
            };
            let new = sample(host, ttft, ahead);
            host.pending.add(&new);
        }
    }

    /// Speeds by empirical Bayes: a host's own rate, drawn to the fleet's as far as its samples are few and hosts are alike.
    pub(super) fn relearn(&mut self) {
        self.fit(false);
        for host in self.hosts.values_mut() {
            host.settled = host.per_token;
            // 4 octaves below the fleet's speed is 0; the root of two (92,682 in Q16) rounds in the logarithm.
            let relative = over(self.fleet_rate * 16, 92_682, host.per_token) >> 16;
            host.octave = relative.max(1).ilog2().min(8);
        }
        self.fit(true);
    }

    fn fit(&mut self, pending: bool) {
        let weights: u64 = self.hosts.values().map(|host| host.weight).sum();
        let mean_weight = ratio(weights, self.hosts.len() as u64).max(1);
        // A host of mean weight has 1; only ratios of weights count.
        let relative = |weight: u64| over(weight, ONE * ONE, mean_weight).max(1);
        let mut total = Sums::default();
        for host in self.hosts.values() {
            let mut seen = seen(host, pending);
            seen.tokens = over(seen.tokens, ONE, relative(host.weight));
            total.add(&seen);
        }
        let fleet = if total.samples < SAMPLE {
            over(self.config.priors.prefill_ns_per_token, ONE, 1000)
        } else {
            rate(&total, 0).max(1)
        };
        let experienced: Vec<(Sums, u64)> = self
            .hosts
            .values()
            .map(|host| (seen(host, pending), host.weight))
            .filter(|(seen, _)| seen.samples >= 2 * SAMPLE)
            .collect();
        // Sixteen samples that were as wrong as they were long are assumed before there are any.
        let variance = over(
            total.squares + 16 * ONE,
            SAMPLE,
            total.samples + 16 * SAMPLE,
        );
        let between: u64 = experienced
            .iter()
            .map(|(seen, weight)| {
                let off = ratio(times(rate(seen, 0), relative(*weight)), fleet)
                    .min(4 * ONE)
                    .abs_diff(ONE);
                times(off, off)
            })
            .sum();
        let within: u64 = experienced
            .iter()
            .map(|(seen, _)| over(variance, SAMPLE, seen.samples))
            .sum();
        let spread = match experienced.len() as u64 {
            0 | 1 => 0,
            n => between.saturating_sub(within) / n,
        };
        self.fleet_rate = fleet;
        for host in self.hosts.values_mut() {
            let seen = seen(host, pending);
            let prior = ratio(fleet, relative(host.weight)).max(1);
            host.per_token = if seen.samples == 0 {
                prior
            } else {
                let own = rate(&seen, 2).max(1);
                let noise = over(variance, SAMPLE, seen.samples);
                let trust = ratio(spread, spread + noise).min(ONE);
                (times(own, trust) + times(prior, ONE - trust)).max(1)
            };
        }
    }
}
