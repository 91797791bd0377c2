//! What is learned of homes: how often they are right, and how often requests go there.

use std::collections::BTreeMap;

use super::arithmetic::{ONE, ratio};

/// A plain mean of up to 32 samples, then a fading one; it starts at 1 with the weight of one sample.
#[derive(Clone, Copy, Debug)]
struct Share {
    mean: u64,
    samples: u64,
}

const CERTAIN: Share = Share {
    mean: ONE,
    samples: 1,
};

impl Share {
    fn learn(&mut self, sample: u64) {
        self.samples = (self.samples + 1).min(32);
        self.mean = (self.mean * (self.samples - 1) + sample) / self.samples;
    }

    /// Drawn towards all classes' experience with the weight of four samples.
    fn drawn_to(self, all: Self) -> u64 {
        (self.mean * (self.samples - 1) + all.mean * 4) / (self.samples - 1 + 4)
    }
}

/// By size class of prompt, and over all of them (`None`).
#[derive(Debug, Default)]
pub(super) struct Homes {
    confirmed: BTreeMap<Option<u32>, Share>,
    went: BTreeMap<Option<u32>, Share>,
}

fn class(prompt_tokens: u64) -> Option<u32> {
    Some(prompt_tokens.max(1).ilog2().min(23))
}

fn learn(shares: &mut BTreeMap<Option<u32>, Share>, prompt_tokens: u64, sample: u64) {
    for class in [None, class(prompt_tokens)] {
        shares.entry(class).or_insert(CERTAIN).learn(sample);
    }
}

fn believed(shares: &BTreeMap<Option<u32>, Share>, prompt_tokens: u64) -> u64 {
    let of = |class| shares.get(&class).copied().unwrap_or(CERTAIN);
    of(class(prompt_tokens)).drawn_to(of(None))
}

impl Homes {
    /// Share of the unknown blocks that is credited to the home.
    pub(super) fn credit(&self, prompt_tokens: u64, foreign: u64, told: bool) -> u64 {
        if foreign == 0 {
            return 0;
        }
        let p = believed(&self.confirmed, prompt_tokens);
        let h = believed(&self.went, prompt_tokens);
        let sent = self.went.get(&None).map_or(0, |went| went.samples);
        let silent = sent == 32 && !self.confirmed.contains_key(&None);
        let most = if silent || told { ONE / 2 } else { 2 * ONE };
        (p + ratio(p, h)).min(most).max(foreign / 10)
    }

    pub(super) fn on_sent(&mut self, prompt_tokens: u64, home: bool) {
        learn(&mut self.went, prompt_tokens, u64::from(home) * ONE);
    }

    pub(super) fn on_confirmed(&mut self, prompt_tokens: u64, credited: u64, beyond: u64) {
        if credited > 0 {
            let sample = ratio(beyond.min(credited), credited);
            learn(&mut self.confirmed, prompt_tokens, sample);
        }
    }
}
