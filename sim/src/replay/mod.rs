//! Recorded decisions made again.
//!
//! A record ([`plimsoll_core::record`]) holds all that a decision was made from. [`read()`] finds records in whatever holds them, [`again`] makes
//! them again, and [`Tally`] asks what another policy would have done with the same facts.

mod read;
#[cfg(test)]
mod tests;

use std::fmt;

use plimsoll_core::choose::{Choice, Rules};
use plimsoll_core::config::{Policy, Weights};
use plimsoll_core::pick::Ranked;
use plimsoll_core::record::{Replayed, View};
use serde::Serialize;

pub use read::{Found, read};

/// What a decision was, and what it is when it is made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// As recorded.
    pub recorded: Replayed,
    /// As made again.
    pub again: Replayed,
}

/// Makes a decision again. The same, bit for bit, where both are equal: hosts, terms, and what the shadow said.
#[must_use]
pub fn again(view: &View<'_>) -> Pair {
    Pair {
        recorded: Replayed {
            choice: view.choice(),
            shadow: view.shadow(),
        },
        again: view.replay(),
    }
}

/// Writes how the two decisions of a pair differ.
pub struct Difference<'a>(pub &'a View<'a>, pub &'a Pair);

impl fmt::Display for Difference<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(view, pair) = self;
        let (recorded, again) = (&pair.recorded, &pair.again);
        write!(f, "recorded {}", Chosen(view, &recorded.choice))?;
        write!(f, "; again {}", Chosen(view, &again.choice))?;
        if recorded.shadow != again.shadow {
            let (was, is) = (recorded.shadow, again.shadow);
            write!(f, "; shadow recorded {was:?}, again {is:?}")?;
        }
        Ok(())
    }
}

/// Hosts and terms of a choice.
struct Chosen<'a>(&'a View<'a>, &'a Choice);

impl fmt::Display for Chosen<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(view, Choice { ranked, terms }) = self;
        if ranked.is_empty() {
            return f.write_str("none");
        }
        for (rank, (index, terms)) in ranked.iter().zip(terms).enumerate() {
            let comma = if rank == 0 { "" } else { ", " };
            match view.host(index) {
                Some(host) => write!(f, "{comma}{} {terms:?}", host.address)?,
                None => write!(f, "{comma}host {index} that is not there")?,
            }
        }
        Ok(())
    }
}

/// Another way to choose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Other {
    /// The policy.
    pub policy: Policy,
    /// Weights by the names of the configuration, in Q16; the others are as recorded.
    pub weights: Vec<(Weight, u64)>,
}

/// A weight of the score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// `prefill`.
    Prefill,
    /// `stall`.
    Stall,
    /// `crowding`.
    Crowding,
    /// `kv_pressure`.
    KvPressure,
    /// `kv_limit`.
    KvLimit,
}

impl Weight {
    /// Every weight, by the name used in configuration.
    pub const NAMES: [(&'static str, Self); 5] = [
        ("prefill", Self::Prefill),
        ("stall", Self::Stall),
        ("crowding", Self::Crowding),
        ("kv_pressure", Self::KvPressure),
        ("kv_limit", Self::KvLimit),
    ];

    const fn of(self, weights: &mut Weights) -> &mut u64 {
        match self {
            Self::Prefill => &mut weights.prefill,
            Self::Stall => &mut weights.stall,
            Self::Crowding => &mut weights.crowding,
            Self::KvPressure => &mut weights.kv_pressure,
            Self::KvLimit => &mut weights.kv_limit,
        }
    }
}

/// How another policy would have done, over many decisions.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Tally {
    /// The same first choice.
    pub agreed: u64,
    /// Another first choice.
    pub disagreed: u64,
    /// Disagreements without anything to predict from: nothing was known of costs when they were decided.
    pub unpredicted: u64,
    /// Microseconds that the other's first choices would have cost more, by the recorded weights; summed over all.
    pub regret_us: u64,
    /// Microseconds that they would have cost less, by the other's weights; summed over all.
    pub gain_us: u64,
}

impl Tally {
    /// Adds what `other` would have done.
    pub fn add(&mut self, view: &View<'_>, other: &Other) {
        let choice = view.choice();
        if choice.ranked == Ranked::default() {
            return;
        }
        let mut weights = view.weights();
        for (weight, value) in &other.weights {
            *weight.of(&mut weights) = *value;
        }
        let rules = Rules {
            policy: other.policy,
            weights: &weights,
            tie_band: view.tie_band(),
        };
        let shadowed = view.under(&rules);
        if shadowed.ranked.first() == choice.ranked.first() {
            self.agreed += 1;
            return;
        }
        self.disagreed += 1;
        self.unpredicted += u64::from(!view.gathered());
        self.regret_us = self.regret_us.saturating_add(shadowed.regret);
        self.gain_us = self.gain_us.saturating_add(shadowed.gain);
    }
}
