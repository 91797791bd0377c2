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
//! Requests that have not ended count by what they show so far: a first token with the tokens that were expected to be ahead of it
//! (`usage` will say how many there were), and one that is overdue twice the predicted time as if it came at this moment. A slow, throttled
//! or stuck host is known for it while it still keeps its requests waiting.
//!
//! # Inputs
//! TTFT of streamed responses, waiting times; sums of the other workers of this proxy, and of other proxies that tell.
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
/// A step of an engine takes as long for a few tokens as for this many (calibration: 130 on an L4 to 300 on an H200, beside a busy
/// batch more). Without it, whoever is busiest looks fastest where prompts are short, and gets busier still.
const STEP_TOKENS: u64 = 512;
/// Tokens added to the estimate, in mean samples.
const OPTIMISM: u64 = 2;
/// Interval at which what was learned fades by a sixteenth of its half-life.
pub const FADE_EVERY: Micros = Micros::from_millis(4000);
/// 2^(-1/16) in Q16: a half-life of 64 s, so that a host that was slow once is tried again although nothing is sent there.
const FADE: u64 = 62_757;
/// A first token is overdue after this many times the predicted time.
const OVERDUE: u64 = 2;
/// Samples of a relative error of one that are assumed of the fleet before there are any.
const PRIOR_SAMPLES: u64 = 16;
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
    /// Squared relative errors of the samples against what was known of the host before each, Q16.
    pub squares: u64,
}

impl Sums {
    /// Adds what another worker has seen.
    pub const fn add(&mut self, other: &Self) {
        self.ttft = self.ttft.saturating_add(other.ttft);
        self.tokens = self.tokens.saturating_add(other.tokens);
        self.samples = self.samples.saturating_add(other.samples);
        self.squares = self.squares.saturating_add(other.squares);
    }

    /// Time passes.
    pub fn fade(&mut self) {
        self.keep(FADE);
    }

    /// Keeps `share` (Q16) of what was seen.
    fn keep(&mut self, share: u64) {
        for sum in [
            &mut self.ttft,
            &mut self.tokens,
            &mut self.samples,
            &mut self.squares,
        ] {
            *sum = fixed::mul_q16(*sum, share);
        }
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
    /// What requests that have not ended say so far.
    pub pending: Sums,
    /// What the other workers have seen.
    pub peers: Sums,
    /// Microseconds of prefill a token, Q16: the `a` of the score.
    pub per_token: u64,
    /// The same without what is pending, to judge by what a request may keep waiting: that must not grow with the wait itself.
    pub settled: u64,
    /// Speed in octaves, 4 being the fleet's mean, for weighted homes.
    pub octave: u32,
    /// Mean time of a request from send to end, microseconds; 0 until one has ended.
    pub e2e: u64,
    /// Samples in a row that took [`SLOW`] times what was expected.
    slow_samples: u8,
}

impl Speed {
    /// Tokens that are prefilled in `time`; none as long as no speed is known.
    pub fn tokens_in(&self, time: Micros) -> u64 {
        match self.per_token {
            0 => 0,
            per_token => fixed::mul_div(time.get(), ONE, per_token),
        }
    }

    /// A first token came `ttft` after the request was sent behind `tokens` uncached tokens, its own included.
    pub fn on_first_token(&mut self, ttft: Micros, tokens: u64) {
        let sample = self.sample(ttft, tokens);
        self.slow_samples = if ttft.get() < self.expected(tokens).saturating_mul(SLOW) {
            0
        } else {
            self.slow_samples.saturating_add(1)
        };
        let keep = if self.slow_samples < SLOWER || self.own.samples < FEW {
            KEEP
        } else {
            KEEP_SLOWER
        };
        self.own.keep(keep);
        self.own.add(&sample);
    }

    /// A request that has not ended got its first token after `ttft`.
    pub fn on_pending(&mut self, ttft: Micros, tokens: u64) {
        let sample = self.sample(ttft, tokens);
        self.pending.add(&sample);
    }

    /// A request still waits for its first token, `elapsed` after it was sent behind `tokens` uncached tokens.
    pub fn on_waiting(&mut self, elapsed: Micros, tokens: u64) {
        if elapsed.get() > self.expected(tokens).saturating_mul(OVERDUE) {
            self.on_pending(elapsed, tokens);
        }
    }

    /// Microseconds to a first token behind `tokens` uncached tokens.
    fn expected(&self, tokens: u64) -> u64 {
        fixed::mul_q16(tokens.max(STEP_TOKENS), self.per_token)
    }

    fn sample(&self, ttft: Micros, tokens: u64) -> Sums {
        let tokens = tokens.max(STEP_TOKENS);
        // Without those pending, so that the order of requests does not matter.
        let seen = self.seen(false);
        // The first sample of a host has nothing of its kind to differ from: how far it is from the fleet says how hosts differ.
        let error = if seen.samples < SAMPLE {
            0
        } else {
            let expected = fixed::mul_q16(tokens, seen.rate(0));
            fixed::ratio(expected.abs_diff(ttft.get()), expected).min(WORST)
        };
        Sums {
            ttft: ttft.get(),
            tokens,
            samples: SAMPLE,
            squares: fixed::mul_q16(error, error),
        }
    }

    /// A request ended `e2e` after it was sent.
    pub fn on_end(&mut self, e2e: Micros) {
        self.e2e = if self.e2e == 0 {
            e2e.get()
        } else {
            fixed::ewma(self.e2e, e2e.get(), 5)
        };
    }

    /// What this worker has to tell.
    pub fn told(&self) -> Sums {
        let mut sums = self.own;
        sums.add(&self.pending);
        sums
    }

    fn seen(&self, pending: bool) -> Sums {
        let mut sums = if pending { self.told() } else { self.own };
        sums.add(&self.peers);
        sums
    }
}

/// Sets `per_token`, `settled` and `octave` of every host from the sums; `prior` is the prefill time of a token on a host of mean weight,
/// Q16 microseconds. Only ratios of weights count.
pub fn relearn(prior: u64, hosts: &mut [Host]) {
    let mean = fit(prior, hosts, false);
    let mut pending = 0;
    for host in hosts.iter_mut() {
        let speed = &mut host.speed;
        speed.settled = speed.per_token;
        // Counted from four octaves below the fleet's mean, and rounded in the logarithm, so that noise around equal speeds, which
        // every router has its own of, changes nothing: 1.41 times as fast as the mean is the next octave.
        let relative = fixed::mul_div(mean.saturating_mul(16), 92_682, speed.settled.max(1));
        speed.octave = fixed::log2(relative >> 16).min(OCTAVES);
        pending += speed.pending.samples;
    }
    if pending > 0 {
        fit(prior, hosts, true);
    }
}

/// Sets `per_token` of every host, with what is pending or without. Returns the fleet's mean.
fn fit(prior: u64, hosts: &mut [Host], pending: bool) -> u64 {
    // The fleet's mean is taken over work normalised by weight, so that configured weights are a prior for who is fast.
    let weights: u64 = hosts.iter().map(|host| u64::from(host.weight)).sum();
    let mean_weight = fixed::ratio(weights, hosts.len() as u64).max(1);
    let relative_weight =
        |host: &Host| fixed::mul_div(u64::from(host.weight), ONE * ONE, mean_weight).max(1);
    let mut total = Sums::default();
    for host in hosts.iter() {
        let mut seen = host.speed.seen(pending);
        seen.tokens = fixed::mul_div(seen.tokens, ONE, relative_weight(host));
        total.add(&seen);
    }
    let mean = if total.samples < SAMPLE {
        prior
    } else {
        total.rate(0).max(1)
    };

    let known = total.samples.saturating_add(PRIOR_SAMPLES * SAMPLE);
    let variance = fixed::mul_div(
        total.squares.saturating_add(PRIOR_SAMPLES * ONE),
        SAMPLE,
        known,
    );
    let (mut between, mut within, mut counted) = (0u64, 0u64, 0u64);
    for host in hosts.iter() {
        let seen = host.speed.seen(pending);
        if seen.samples >= 2 * SAMPLE {
            let relative =
                fixed::ratio(fixed::mul_q16(seen.rate(0), relative_weight(host)), mean).min(WORST);
            let off = relative.abs_diff(ONE);
            between = between.saturating_add(fixed::mul_q16(off, off));
            within = within.saturating_add(fixed::mul_div(variance, SAMPLE, seen.samples));
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
        host.speed.per_token = estimate(&host.speed.seen(pending), prior, spread, variance);
    }
    mean
}

fn estimate(seen: &Sums, prior: u64, spread: u64, variance: u64) -> u64 {
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
