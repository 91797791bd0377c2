//! Scripted statuses: any hostcall can be told to answer any number.

use std::collections::BTreeMap;

use super::hostcall::{Hostcall, Phase};
use super::status::Answer;

/// Which of the matching calls a [`Fault`] hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nth {
    /// All of them.
    Every,
    /// Only the one with this number; the first is 1.
    Only(u64),
}

/// A scripted answer.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// The hostcall it hits.
    pub call: Hostcall,
    /// Only in this phase; in all of them when absent.
    pub phase: Option<Phase>,
    /// Which of the matching calls.
    pub nth: Nth,
    /// The answer. 0 claims success and does and returns nothing.
    pub status: u32,
}

/// The script, and how often each call was made.
#[derive(Debug, Default)]
pub struct Faults {
    rules: Vec<(Fault, u64)>,
    made: BTreeMap<(Hostcall, Phase), u64>,
    hits: u64,
}

impl Faults {
    /// Adds a rule; earlier rules win.
    pub fn add(&mut self, fault: Fault) {
        self.rules.push((fault, 0));
    }

    /// Forgets all rules.
    pub fn clear(&mut self) {
        self.rules.clear();
    }

    /// Calls that a rule answered.
    pub const fn hits(&self) -> u64 {
        self.hits
    }

    /// How often the module made a call in a phase.
    pub fn made(&self, call: Hostcall, phase: Phase) -> u64 {
        self.made.get(&(call, phase)).copied().unwrap_or(0)
    }

    /// Every (call, phase) that the module made.
    pub fn seen(&self) -> impl Iterator<Item = (Hostcall, Phase)> + '_ {
        self.made.keys().copied()
    }

    /// Counts the call; `Err` is the scripted answer.
    pub(super) fn intercept(&mut self, call: Hostcall, phase: Phase) -> Answer<()> {
        *self.made.entry((call, phase)).or_default() += 1;
        for (fault, matched) in &mut self.rules {
            if fault.call != call || fault.phase.is_some_and(|wanted| wanted != phase) {
                continue;
            }
            *matched += 1;
            if fault.nth == Nth::Every || fault.nth == Nth::Only(*matched) {
                self.hits += 1;
                return Err(fault.status);
            }
        }
        Ok(())
    }
}
