//! How fast each host prefills, learned from the first tokens of real responses.
//!
//! # Formula
//! For each host, a = sum of TTFT over sum of uncached tokens that were ahead (its own included), both fading by 0.98 a sample. Few
//! samples say little, so a is shrunk towards the fleet's by empirical Bayes: the share of its own estimate is
//! tau^2 / (tau^2 + s^2 / n), where tau^2 is how much hosts differ and s^2 how much samples of one host do. Two samples' worth of
//! optimism (tokens without time) keep a host that had bad luck from being avoided for ever.
//! From the third sample in a row that took twice as long as expected, half of the past fades with each, until samples are as expected
//! again: a host that throttles is known by its next few answers. One that has become faster is believed more slowly, since it costs
//! more to send work to a slow host than to spare a fast one.
//!
//! # Inputs
//! TTFT of streamed responses; sums of the other workers of this proxy.
//!
//! # Limits
//! A response that is not streamed shows no first token and teaches nothing here.

use crate::fixed::{self, ONE};
use crate::host::Host;
use crate::time::Micros;

/// 0.98 in Q16.
const KEEP: u64 = 64_225;
/// What is kept instead while a host is slower than it was.
const KEEP_SLOWER: u64 = ONE / 2;
/// A sample is slow when it took this many times what was expected.
const SLOW: u64 = 2;
/// Slow samples in a row from which on the host is another one than it was.
const SLOWER: u8 = 3;
/// Samples of the past that such answers leave, in 1/256: fewer would be noise.
const FEW: u64 = 6 * SAMPLE;
/// One sample, so that fading counts keep a fraction.
const SAMPLE: u64 = 256;
/// Tokens added to the estimate, in mean samples.
const OPTIMISM: u64 = 2;
/// Interval at which what was learned fades by a sixteenth of its half-life.
pub const FADE_EVERY: Micros = Micros::from_millis(4000);
/// 2^(-1/16) in Q16: a half-life of 64 s, so that a host that was slow once is tried again although nothing is sent there.
const FADE: u64 = 62_757;
/// Octaves told apart.
pub const OCTAVES: u32 = 8;
/// A relative error counts up to this (Q16), so that one stall does not drown all else.
const WORST: u64 = 4 * ONE;

/// Fading sums of one host as one worker has seen them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Time to first token, microseconds.
    pub ttft: u64,
    /// Uncached tokens that were ahead.
    pub tokens: u64,
    /// Samples, in 1/256.
    pub samples: u64,
}

impl Sums {
    /// Adds what another worker has seen.
    pub const fn add(&mut self, other: &Self) {
        self.ttft = self.ttft.saturating_add(other.ttft);
        self.tokens = self.tokens.saturating_add(other.tokens);
        self.samples = self.samples.saturating_add(other.samples);
    }

    /// Time passes.
    pub fn fade(&mut self) {
        self.ttft = fixed::mul_q16(self.ttft, FADE);
        self.tokens = fixed::mul_q16(self.tokens, FADE);
        self.samples = fixed::mul_q16(self.samples, FADE);
    }

    fn rate(&self, optimism: u64) -> u64 {
        let mean = fixed::mul_div(self.tokens, SAMPLE, self.samples);
        fixed::ratio(
            self.ttft,
            self.tokens.saturating_add(mean.saturating_mul(optimism)),
        )
    }
}

/// The speed of one host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Speed {
    /// What this worker has seen.
    pub own: Sums,
    /// What the other workers have seen.
    pub peers: Sums,
    /// Microseconds of prefill a token, Q16: the `a` of the score.
    pub per_token: u64,
    /// Speed in octaves, 4 being the fleet's mean, for weighted homes.
    pub octave: u32,
    /// Mean time of a request from send to end, microseconds; 0 until one has ended.
    pub e2e: u64,
    /// Samples in a row that took [`SLOW`] times what was expected.
    slow_samples: u8,
}

impl Speed {
    /// A first token came `ttft` after the request was sent behind `tokens` uncached tokens, its own included.
    /// Returns the squared relative error of what had been expected, Q16.
    pub fn on_first_token(&mut self, ttft: Micros, tokens: u64) -> u64 {
        let tokens = tokens.max(1);
        let expected = fixed::mul_q16(tokens, self.per_token);
        let error = fixed::ratio(expected.abs_diff(ttft.get()), expected).min(WORST);
        self.slow_samples = if ttft.get() < expected.saturating_mul(SLOW) {
            0
        } else {
            self.slow_samples.saturating_add(1)
        };
        let keep = if self.slow_samples < SLOWER || self.own.samples < FEW {
            KEEP
        } else {
            KEEP_SLOWER
        };
        self.own.ttft = fixed::mul_q16(self.own.ttft, keep).saturating_add(ttft.get());
        self.own.tokens = fixed::mul_q16(self.own.tokens, keep).saturating_add(tokens);
        self.own.samples = fixed::mul_q16(self.own.samples, keep).saturating_add(SAMPLE);
        fixed::mul_q16(error, error)
    }

    /// A request ended `e2e` after it was sent.
    pub fn on_end(&mut self, e2e: Micros) {
        self.e2e = if self.e2e == 0 {
            e2e.get()
        } else {
            fixed::ewma(self.e2e, e2e.get(), 5)
        };
    }

    fn seen(&self) -> Sums {
        let mut sums = self.own;
        sums.add(&self.peers);
        sums
    }
}

/// What is learned over the whole fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fleetwide {
    /// Squared relative error of one sample, Q16, fading.
    pub variance: u64,
    /// First tokens seen by this worker.
    pub samples: u64,
}

impl Default for Fleetwide {
    fn default() -> Self {
        Self {
            variance: ONE,
            samples: 0,
        }
    }
}

impl Fleetwide {
    /// One more sample with the squared error that [`Speed::on_first_token`] gave.
    pub fn on_sample(&mut self, squared_error: u64) {
        self.variance = fixed::ewma(self.variance, squared_error, 6);
        self.samples = self.samples.saturating_add(1);
    }
}

/// Sets `per_token` and `octave` of every host from the sums; `prior` is the prefill time of a token on a host of mean weight, Q16
/// microseconds. Only ratios of weights count.
pub fn relearn(fleet: &Fleetwide, prior: u64, hosts: &mut [Host]) {
    // The fleet's mean is taken over work normalised by weight, so that configured weights are a prior for who is fast.
    let weights: u64 = hosts.iter().map(|host| u64::from(host.weight)).sum();
    let mean_weight = fixed::ratio(weights, hosts.len() as u64).max(1);
    let relative_weight =
        |host: &Host| fixed::mul_div(u64::from(host.weight), ONE * ONE, mean_weight).max(1);
    let mut total = Sums::default();
    for host in hosts.iter() {
        let mut seen = host.speed.seen();
        seen.tokens = fixed::mul_div(seen.tokens, ONE, relative_weight(host));
        total.add(&seen);
    }
    let mean = if total.samples < SAMPLE {
        prior
    } else {
        total.rate(0).max(1)
    };

    let (mut between, mut within, mut counted) = (0u64, 0u64, 0u64);
    for host in hosts.iter() {
        let seen = host.speed.seen();
        if seen.samples >= 2 * SAMPLE {
            let relative =
                fixed::ratio(fixed::mul_q16(seen.rate(0), relative_weight(host)), mean).min(WORST);
            let off = relative.abs_diff(ONE);
            between = between.saturating_add(fixed::mul_q16(off, off));
            within = within.saturating_add(fixed::mul_div(fleet.variance, SAMPLE, seen.samples));
            counted += 1;
        }
    }
    let spread = if counted < 2 {
        0
    } else {
        between.saturating_sub(within) / counted
    };

    for host in hosts {
        let prior = fixed::ratio(mean, relative_weight(host)).max(1);
        host.speed.per_token = estimate(&host.speed, prior, spread, fleet.variance);
        // Counted from four octaves below the fleet's mean, and rounded in the logarithm, so that noise around equal speeds, which
        // every router has its own of, changes nothing: 1.41 times as fast as the mean is the next octave.
        let relative = fixed::mul_div(mean.saturating_mul(16), 92_682, host.speed.per_token.max(1));
        host.speed.octave = fixed::log2(relative >> 16).min(OCTAVES);
    }
}

fn estimate(speed: &Speed, prior: u64, spread: u64, variance: u64) -> u64 {
    let seen = speed.seen();
    if seen.samples == 0 {
        return prior;
    }
    let own = seen.rate(OPTIMISM).max(1);
    let noise = fixed::mul_div(variance, SAMPLE, seen.samples);
    let share = fixed::ratio(spread, spread.saturating_add(noise)).min(ONE);
    fixed::mul_q16(own, share)
        .saturating_add(fixed::mul_q16(prior, ONE - share))
        .max(1)
}

#[cfg(test)]
mod tests;
