//! The decision record: one decision with all that it was made from, to be made again bit by bit elsewhere.
//!
//! Little endian, fixed places, read in place. [`View::new_checked`] verifies magic, version, lengths and checksum; after that no accessor
//! can panic. A record holds no text of a request, only hashes and counts. [`replay`](View::replay) hands it to the same
//! [`crate::choose::choose`] that a live decision runs.
//!
//! Version 1 is read for ever. What later versions of the core add goes to the end of the header and of the hosts' parts, whose lengths the
//! record states; where it is missing it reads as zero, and a term whose weight is zero counts nothing.
//!
//! | offset | size | header |
//! |---|---|---|
//! | 0 | 4 | magic `PLSD` |
//! | 4 | 2 | version |
//! | 6 | 2 | bytes of the header |
//! | 8 | 2 | bytes of a host's part |
//! | 10 | 2 | number of hosts |
//! | 12 | 1 | policy |
//! | 13 | 1 | ladder step |
//! | 14 | 1 | 1 if the score's inputs were gathered, 2 if a shadow policy chose too |
//! | 15 | 1 | policy of the shadow |
//! | 16 | 8 | checksum of all but the magic and itself |
//! | 24 | 8 | digest of the request |
//! | 32 | 8 | hash of the configuration |
//! | 40 | 8 | seed |
//! | 48 | 8 | time, microseconds |
//! | 56 | 8 | age of the snapshot, microseconds; all ones without one |
//! | 64 | 8 | prompt tokens, estimated |
//! | 72 | 8 | output tokens, estimated |
//! | 80 | 8 | mean absolute error of those |
//! | 88 | 8 | share of load that other proxies sent, Q16 |
//! | 96 | 8 | mean uncached tokens of a request |
//! | 104 | 8 | key in rendezvous hashing, on step `hash` |
//! | 112 | 8 | width of a tie, Q16 |
//! | 120 | 64 | weights: prefill, stall, crowding, kv_pressure, kv_limit; Q16 |
//! | 184 | 64 | weights of the shadow |
//! | 248 | 8 | state of the policy's random sequence |
//! | 256 | 8 | that of the shadow's |
//! | 264 | 2 | host of the last turn; all ones before the first |
//! | 266 | 2 | that of the shadow |
//! | 268 | 8 | number of hosts chosen, and the best three |
//! | 276 | 8 | those of the shadow |
//! | 284 | 4 | zero |
//! | 288 | 8 | regret: the shadow's choice by the weights in force |
//! | 296 | 8 | gain: the choice by the shadow's weights |
//! | 304 | 192 | terms of the best three: total, wait, prefill, stall, kv, uncached, queued, requests |
//! | 496 | 24 | of each of the three: attempts that will fail |
//!
//! | offset | size | host |
//! |---|---|---|
//! | 0 | 18 | address |
//! | 18 | 1 | 0 if it was eligible, else why not |
//! | 19 | 1 | speed in octaves |
//! | 20 | 4 | weight |
//! | 24 | 4 | our requests there |
//! | 28 | 4 | `N`: requests there |
//! | 32 | 8 | prompt tokens known to be cached there |
//! | 40 | 8 | prompt tokens credited to it as the home |
//! | 48 | 8 | `q`: tokens queued there and left to be computed |
//! | 56 | 8 | `a`: microseconds a token, Q16 |
//! | 64 | 8 | mean time of a request, microseconds |
//! | 72 | 8 | KV-cache utilisation, Q16 |
//! | 80 | 8 | KV tokens to be added |
//! | 88 | 8 | KV capacity, tokens |
//! | 96 | 8 | credit in weighted round robin |
//! | 104 | 8 | that of the shadow |
//! | 112 | 8 | by how much its requests and queued tokens count more than they are, Q16 |
//! | 120 | 8 | attempts that will fail before one succeeds, Q16 |
//! | 128 | 8 | tokens of our prefills there that must be computed by now |

mod base64;
mod replay;
#[cfg(test)]
mod tests;
mod view;
mod write;

pub use base64::{decode, encode};
pub use replay::Replayed;
pub use view::{Candidate, RecordError, View};
pub(crate) use write::{Scene, begin, end};

use crate::bytes::u16_at;
use crate::config::Weights;
use crate::hash::Chain;
use crate::request::Request;

/// What stands before a record in a log line.
pub const LINE: &str = "plimsoll-record ";

const MAGIC: &[u8; 4] = b"PLSD";
const VERSION: u16 = 1;
/// Bytes of a header and of a host's part, as they are written.
const HEADER: usize = 520;
const HOST: usize = 136;
/// As they were first written: what is read has at least these.
const FIRST_HEADER: usize = 496;
const FIRST_HOST: usize = 112;
const GATHERED: u8 = 1;
const SHADOWED: u8 = 2;
/// Weights that a record has room for.
const WEIGHTS: usize = 8;

const fn weights_to_words(weights: &Weights) -> [u64; WEIGHTS] {
    let Weights {
        prefill,
        stall,
        crowding,
        kv_pressure,
        kv_limit,
    } = *weights;
    [prefill, stall, crowding, kv_pressure, kv_limit, 0, 0, 0]
}

const fn weights_from_words(words: [u64; WEIGHTS]) -> Weights {
    let [prefill, stall, crowding, kv_pressure, kv_limit, ..] = words;
    Weights {
        prefill,
        stall,
        crowding,
        kv_pressure,
        kv_limit,
    }
}

fn checksum(bytes: &[u8]) -> u64 {
    let mut chain = Chain::new();
    chain.update(bytes.get(4..16).unwrap_or_default());
    chain.update(bytes.get(24..).unwrap_or_default());
    chain.value()
}

/// Splits records that follow one another, as in a file of them. What is not the beginning of a record ends them.
pub fn split(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    core::iter::from_fn(move || {
        if !bytes.starts_with(MAGIC) {
            return None;
        }
        let [header, stride, hosts] = [6, 8, 10].map(|at| usize::from(u16_at(bytes, at)));
        let (first, rest) = bytes.split_at_checked(header.max(FIRST_HEADER) + stride * hosts)?;
        bytes = rest;
        Some(first)
    })
}

/// A hash of everything that a router is told of a request, its seed apart.
pub fn digest(request: &Request<'_>) -> u64 {
    let mut chain = Chain::new();
    let words = [
        request.kind as u64,
        request.model,
        request.salt,
        request.tenant,
        request.session,
        request.prompt_bytes,
        u64::from(request.blocks_complete),
        request.max_tokens.map_or(u64::MAX, u64::from),
        u64::from(request.stream),
    ];
    let blocks = request
        .blocks
        .iter()
        .flat_map(|block| [block.hash, u64::from(block.end)]);
    for word in words.into_iter().chain(blocks) {
        chain.update(&word.to_le_bytes());
    }
    chain.value()
}
