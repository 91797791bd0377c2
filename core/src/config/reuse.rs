//! Which answers serve more than one request.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::declare::{Visitor, doc, millis, size};
use crate::reuse::OVERHEAD;
use crate::time::Micros;

/// Answers that serve identical requests of the same tenant ([`crate::reuse`]); off by default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reuse {
    /// A request waits for the answer to an identical one that is under way.
    pub coalesce: bool,
    /// An answer is kept for so long; zero keeps none.
    pub ttl: Micros,
    /// Memory of answers, kept or under way, in one worker.
    pub bytes: usize,
    /// The largest answer that is shared.
    pub answer_bytes: usize,
    /// Requests that wait for another's answer in one worker.
    pub followers: usize,
    /// Longest wait of one, after which it goes itself.
    pub max_wait: Micros,
}

impl Reuse {
    /// Whether anything is shared.
    pub fn is_on(&self) -> bool {
        self.coalesce || self.ttl > Micros::ZERO
    }
}

impl Default for Reuse {
    fn default() -> Self {
        Self {
            coalesce: false,
            ttl: Micros::ZERO,
            bytes: 512 << 10,
            answer_bytes: 64 << 10,
            followers: 64,
            max_wait: Micros::from_millis(10_000),
        }
    }
}

#[cold]
pub(super) fn declare<V: Visitor>(r: &mut Reuse, v: &mut V) {
    v.section(
        "reuse",
        doc("Answers that serve identical requests of the same tenant"),
        |v| {
            v.flag(
                "coalesce",
                &mut r.coalesce,
                doc("A request waits for the answer to an identical one that is under way"),
            );
            millis(
                v,
                "ttl_ms",
                &mut r.ttl,
                0..=86_400_000,
                doc("How long an answer is kept for requests to come; 0: none is"),
            );
            size(
                v,
                "bytes",
                &mut r.bytes,
                4096..=67_108_864,
                doc("Memory of answers, kept or under way, in one worker"),
            );
            size(
                v,
                "answer_bytes",
                &mut r.answer_bytes,
                1024..=16_777_216,
                doc("Largest answer that is shared"),
            );
            size(
                v,
                "followers",
                &mut r.followers,
                1..=4096,
                doc("Requests that wait for another's answer in one worker"),
            );
            millis(
                v,
                "max_wait_ms",
                &mut r.max_wait,
                1..=600_000,
                doc("Longest wait of one; then it goes itself"),
            );
        },
    );
}

/// What no single field can tell.
#[cold]
pub(super) fn check(r: &Reuse, errors: &mut Vec<String>) {
    let most = r.bytes.saturating_sub(OVERHEAD);
    if r.answer_bytes > most {
        errors.push(format!(
            "reuse.answer_bytes: {} is not accepted; give at most {most}, which fits reuse.bytes",
            r.answer_bytes
        ));
    }
}
