//! Homes: where a prefix belongs, agreed by every router without a word between them.
//!
//! # What it does
//! With several routers each sees a part of the traffic, and a prefix that one router has placed is news to the others: split indexes
//! bring every cache-aware policy down to round robin's hit ratio (research/routing-lab.md section 2). A home is the host that rendezvous
//! hashing gives a prefix; all routers agree on it, so a prefix unknown here may well be cached there.
//!
//! # Formula
//! The first block of the prompt found in fewer than 0.25/hosts of recent requests is the one that has a home (blocks shared by more
//! would flood it). Blocks of the prompt not known at the home are credited to it times `min(2, p + p/h)`: p is the share of such
//! credit that `cached_tokens` has confirmed, h the share of requests that went to their home, both by size of prompt and drawn to the whole where samples are few. The credit is
//! never below 0.1 times the share of load that belongs to other routers. Where other proxies tell which host holds what, it is never above
//! 0.5: a guess must not outweigh what is known, and serves what two of them are asked for at once. (Without that bound prefixes that
//! others had placed were computed again at home: 4 to 7 % more mean TTFT and up to 3 times its p99 for agents and conversations.)
//! Nor is it when 32 requests have been sent and no engine has reported cached tokens. (Of engines that never do, the composite of
//! docs/contest.md is 27 % lower with two proxies and 15 % with 16 than without that bound: it made of the score a hash of the prompt.)
//!
//! # Limits
//! Learned per size class only.

use crate::fixed::{self, ONE};
use crate::learn::OCTAVES;
use crate::rng;

const CLASSES: usize = 24;
/// A share is the plain mean of this many samples, and a fading one afterwards.
const MEMORY: u64 = 32;

/// Samples that a class needs for its own experience to weigh as much as that of all classes.
const PRIOR: u64 = 4;

/// A share learned from samples; it starts at 1 with the weight of one sample.
#[derive(Clone, Copy, Debug)]
struct LearnedShare {
    mean: u64,
    samples: u64,
}

impl LearnedShare {
    const CERTAIN: Self = Self {
        mean: ONE,
        samples: 1,
    };

    /// Whether nothing has been learned yet.
    const fn is_a_guess(&self) -> bool {
        self.samples == Self::CERTAIN.samples
    }

    /// This share, drawn towards `prior` as long as it has few samples.
    const fn drawn_to(&self, prior: &Self) -> u64 {
        let own = self.samples - 1;
        (self.mean * own + prior.mean * PRIOR) / (own + PRIOR)
    }

    fn learn(&mut self, sample: u64) {
        self.samples = (self.samples + 1).min(MEMORY);
        let kept = self.mean.saturating_mul(self.samples - 1);
        self.mean = kept.saturating_add(sample) / self.samples;
    }
}

#[derive(Clone, Copy, Debug)]
struct Class {
    confirmed: LearnedShare,
    went: LearnedShare,
}

/// What has been learned about homes.
#[derive(Clone, Debug)]
pub struct Homes {
    classes: [Class; CLASSES],
    /// Over all classes: what is believed of a class before it has samples of its own.
    all: Class,
}

impl Default for Homes {
    fn default() -> Self {
        let certain = Class {
            confirmed: LearnedShare::CERTAIN,
            went: LearnedShare::CERTAIN,
        };
        Self {
            classes: [certain; CLASSES],
            all: certain,
        }
    }
}

/// Size class of a prompt: the logarithm of its tokens.
fn class_of(prompt_tokens: u64) -> usize {
    (fixed::log2(prompt_tokens) as usize).min(CLASSES - 1)
}

/// The exponential draw of `host` for `key`, shortened by its speed in octaves: the smallest draw wins.
#[inline]
pub fn draw(key: u64, host: u64, octave: u32) -> u64 {
    fixed::neg_log2(rng::mix(key ^ host)) << OCTAVES.saturating_sub(octave)
}

impl Homes {
    /// The home of the block `key` among `hosts`, each an index, a key all routers know, and its speed in octaves: the host with the
    /// smallest exponential draw, sped up by its weight (weighted rendezvous hashing).
    #[inline]
    pub fn home_of(key: u64, hosts: impl Iterator<Item = (usize, u64, u32)>) -> Option<usize> {
        hosts
            .map(|(index, host, octave)| (draw(key, host, octave), host, index))
            .min()
            .map(|(_, _, index)| index)
    }

    /// Share (Q16, up to 2.0) of the unknown blocks credited to the home of a prompt of `prompt_tokens`, when `foreign` (Q16) of the
    /// fleet's load belongs to other routers. `told` says that other proxies tell what they placed where.
    pub fn credit(&self, prompt_tokens: u64, foreign: u64, told: bool) -> u64 {
        if foreign == 0 {
            return 0;
        }
        let Some(class) = self.classes.get(class_of(prompt_tokens)) else {
            return 0;
        };
        let p = class.confirmed.drawn_to(&self.all.confirmed);
        let h = class.went.drawn_to(&self.all.went).max(1);
        let credit = p.saturating_add(fixed::ratio(p, h));
        // The first answers have not come yet when the first requests are sent, and where those go decides what is cached where.
        let silent = self.all.confirmed.is_a_guess() && self.all.went.samples >= MEMORY;
        let most = if told || silent { ONE / 2 } else { 2 * ONE };
        credit.min(most).max(foreign / 10)
    }

    /// A request of `prompt_tokens` was sent, to its home or elsewhere.
    pub fn on_sent(&mut self, prompt_tokens: u64, home: bool) {
        let sample = if home { ONE } else { 0 };
        self.all.went.learn(sample);
        if let Some(class) = self.classes.get_mut(class_of(prompt_tokens)) {
            class.went.learn(sample);
        }
    }

    /// The engine has said how many tokens it had cached: `confirmed` of the `credited` ones that were not known before.
    pub fn on_confirmed(&mut self, prompt_tokens: u64, credited: u64, confirmed: u64) {
        if credited == 0 {
            return;
        }
        let sample = fixed::ratio(confirmed.min(credited), credited);
        self.all.confirmed.learn(sample);
        if let Some(class) = self.classes.get_mut(class_of(prompt_tokens)) {
            class.confirmed.learn(sample);
        }
    }
}
