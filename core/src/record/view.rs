use core::fmt;

use super::{
    FIRST_HEADER, FIRST_HOST, GATHERED, MAGIC, SHADOWED, VERSION, WEIGHTS, checksum,
    weights_from_words,
};
use crate::bytes::{fixed, u8_at, u16_at, u32_at, u64_at};
use crate::choose::{Choice, Facts, Question, Shadowed};
use crate::config::{Policy, Weights};
use crate::cost::Estimate;
use crate::explain::Step;
use crate::host::{ADDRESS_BYTES, Address};
use crate::pick::{RANKS, Ranked};
use crate::score::{Inputs, Terms};
use crate::time::{Instant, Micros};

/// Why bytes are not a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordError {
    /// They begin otherwise.
    NotARecord,
    /// A version that this one cannot read.
    Version(u16),
    /// Cut off, or longer than they say.
    Length,
    /// The checksum is not that of the contents.
    Checksum,
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotARecord => f.write_str("not a decision record"),
            Self::Version(version) => {
                write!(
                    f,
                    "decision record of version {version}; this reads {VERSION}"
                )
            }
            Self::Length => f.write_str("decision record of a wrong length"),
            Self::Checksum => f.write_str("decision record with a wrong checksum"),
        }
    }
}

impl core::error::Error for RecordError {}

/// A host as a record keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Where it listens.
    pub address: Address,
    /// Why it was ruled out, as a number; 0 if it was eligible.
    pub ruled_out: u8,
    /// What every policy knows of it.
    pub facts: Facts,
    /// What the score reads; all zero where it was not gathered.
    pub inputs: Inputs,
    /// Its credit in weighted round robin.
    pub credit: i64,
    /// Its credit in the shadow's.
    pub shadow_credit: i64,
}

/// A checked record, read in place.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    header: &'a [u8],
    hosts: &'a [u8],
    stride: usize,
}

impl<'a> View<'a> {
    /// Checks `bytes`.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn new_checked(bytes: &'a [u8]) -> Result<Self, RecordError> {
        if bytes.len() < FIRST_HEADER || !bytes.starts_with(MAGIC) {
            return Err(RecordError::NotARecord);
        }
        let version = u16_at(bytes, 4);
        if version != VERSION {
            return Err(RecordError::Version(version));
        }
        let (header, stride) = (usize::from(u16_at(bytes, 6)), usize::from(u16_at(bytes, 8)));
        let whole = header.saturating_add(stride.saturating_mul(usize::from(u16_at(bytes, 10))));
        if header < FIRST_HEADER || stride < FIRST_HOST || whole != bytes.len() {
            return Err(RecordError::Length);
        }
        if u64_at(bytes, 16) != checksum(bytes) {
            return Err(RecordError::Checksum);
        }
        let (header, hosts) = bytes.split_at_checked(header).ok_or(RecordError::Length)?;
        Ok(Self {
            header,
            hosts,
            stride,
        })
    }

    fn word(&self, at: usize) -> u64 {
        u64_at(self.header, at)
    }

    /// How many hosts were known.
    pub fn len(&self) -> usize {
        usize::from(u16_at(self.header, 10))
    }

    /// Whether no host was known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The policy that chose.
    pub fn policy(&self) -> Policy {
        Policy::from_number(u8_at(self.header, 12))
    }

    /// The policy that chose in its shadow, if one did.
    pub fn shadow_policy(&self) -> Option<Policy> {
        (u8_at(self.header, 14) & SHADOWED != 0)
            .then(|| Policy::from_number(u8_at(self.header, 15)))
    }

    /// Whether what the score reads was gathered.
    pub fn gathered(&self) -> bool {
        u8_at(self.header, 14) & GATHERED != 0
    }

    /// [`super::digest`] of the request.
    pub fn digest(&self) -> u64 {
        self.word(24)
    }

    /// Hash of the configuration.
    pub fn config(&self) -> u64 {
        self.word(32)
    }

    /// When it was decided.
    pub fn now(&self) -> Instant {
        Instant::from_micros(self.word(48))
    }

    /// Age of the snapshot.
    pub fn snapshot_age(&self) -> Option<Micros> {
        let age = self.word(56);
        (age != u64::MAX).then_some(Micros::new(age))
    }

    /// What the request was expected to cost.
    pub fn estimate(&self) -> Estimate {
        Estimate {
            prompt_tokens: self.word(64),
            output_tokens: self.word(72),
            output_error: self.word(80),
        }
    }

    /// Share (Q16) of load that other proxies sent.
    pub fn foreign(&self) -> u64 {
        self.word(88)
    }

    /// Mean uncached tokens of a request.
    pub fn mean_uncached(&self) -> u64 {
        self.word(96)
    }

    /// What was asked.
    pub fn question(&self) -> Question {
        let step = Step::ALL
            .into_iter()
            .find(|step| *step as u8 == u8_at(self.header, 13));
        Question {
            step: step.unwrap_or(Step::Proxy),
            seed: self.word(40),
            prompt_tokens: self.word(64),
            key: self.word(104),
        }
    }

    /// Width of a tie, Q16.
    pub fn tie_band(&self) -> u64 {
        self.word(112)
    }

    fn weights_at(&self, at: usize) -> Weights {
        let mut words = [0; WEIGHTS];
        for (i, word) in words.iter_mut().enumerate() {
            *word = self.word(at + i * 8);
        }
        weights_from_words(words)
    }

    /// The weights in force.
    pub fn weights(&self) -> Weights {
        self.weights_at(120)
    }

    /// The weights of the shadow.
    pub fn shadow_weights(&self) -> Weights {
        self.weights_at(184)
    }

    /// State of the random sequence and the host of the last turn: of the policy, and of its shadow.
    pub(super) fn memory(&self, shadow: bool) -> (u64, Option<u16>) {
        let (rng, last) = if shadow { (256, 266) } else { (248, 264) };
        let last = u16_at(self.header, last);
        (self.word(rng), (last != u16::MAX).then_some(last))
    }

    fn ranked_at(&self, at: usize) -> Ranked {
        let count = usize::from(u16_at(self.header, at)).min(RANKS);
        let mut ranked = Ranked::default();
        for rank in 0..count {
            ranked.push(usize::from(u16_at(self.header, at + 2 + rank * 2)));
        }
        ranked
    }

    /// What was chosen.
    pub fn choice(&self) -> Choice {
        let mut terms = [Terms::default(); RANKS];
        for (rank, terms) in terms.iter_mut().enumerate() {
            let word = |field: usize| self.word(304 + rank * 64 + field * 8);
            *terms = Terms {
                total: word(0),
                wait: word(1),
                prefill: word(2),
                stall: word(3),
                kv: word(4),
                fault: self.word(496 + rank * 8),
                uncached_tokens: word(5),
                queued_tokens: word(6),
                requests: u32::try_from(word(7)).unwrap_or(u32::MAX),
            };
        }
        Choice {
            ranked: self.ranked_at(268),
            terms,
        }
    }

    /// What the shadow chose.
    pub fn shadow(&self) -> Option<Shadowed> {
        self.shadow_policy().map(|_| Shadowed {
            ranked: self.ranked_at(276),
            regret: self.word(288),
            gain: self.word(296),
        })
    }

    /// The host at `index`.
    pub fn host(&self, index: usize) -> Option<Candidate> {
        let start = self.stride.checked_mul(index)?;
        let bytes = self.hosts.get(start..)?.get(..self.stride)?;
        let address = Address::from_bytes(&fixed::<ADDRESS_BYTES>(bytes, 0));
        let word = |at| u64_at(bytes, at);
        Some(Candidate {
            address,
            ruled_out: u8_at(bytes, 18),
            facts: Facts {
                key: address.key(),
                octave: u32::from(u8_at(bytes, 19)),
                weight: u32_at(bytes, 20),
                load: u32_at(bytes, 24),
            },
            inputs: Inputs {
                requests: u32_at(bytes, 28),
                known_tokens: word(32),
                credited_tokens: word(40),
                queued_tokens: word(48),
                per_token: word(56),
                e2e: word(64),
                kv_used: word(72),
                kv_added: word(80),
                kv_capacity: word(88),
                restraint: word(112),
                faults: word(120),
                done_tokens: word(128),
            },
            credit: word(96) as i64,
            shadow_credit: word(104) as i64,
        })
    }

    /// Every host.
    pub fn hosts(&self) -> impl Iterator<Item = Candidate> + '_ {
        (0..self.len()).filter_map(|index| self.host(index))
    }
}
