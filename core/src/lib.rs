//! Plimsoll's core: given a request to a large language model and a fleet of hosts that could serve it, name the host where it is
//! predicted to finish soonest while harming the others least.
//!
//! The core is sans-IO. It has no clock, no randomness, no sockets and no floats in decisions: time and a seed are passed in, bytes
//! go in and out, and every cost is an integer number of microseconds. The proxy-wasm filter, the simulator and the tests drive one
//! facade, [`router::Router`], and so decide alike, bit for bit.
//!
//! # The pipeline, in the order a request travels it
//!
//! 1. [`request`] reads the body as it streams in: model, limits, and hashes of the prompt's blocks.
//! 2. [`cost`] turns bytes into prompt tokens and expects an output length.
//! 3. [`prefix`] knows which host holds which blocks, and where a prefix is at home.
//! 4. [`fleet`] and [`host`] hold what is known of every host: the engines' own counters, and our own outstanding work.
//! 5. [`eligible`] rules hosts out, each with a typed reason; [`health`] is what it asks.
//! 6. [`score`] predicts microseconds for every host that is left; [`policy`] holds the classic policies beside it.
//! 7. [`pick`] ranks the best three, spreading near ties. [`choose`] is steps 6 and 7 as one function of plain facts.
//! 8. [`tenant`] says whose it is, and [`admit`] whether it goes at once, waits, or is told to come back.
//! 9. [`observe`] reads the response: first token, gaps, usage.
//! 10. [`learn`] turns that into speeds, and the next request finds a better informed router.
//!
//! A request that [`reuse`] answers with the answer to an identical one is decided nowhere.
//!
//! A decision is put in words by [`explain`], and in bytes from which it can be made again by [`record`].
//!
//! # The control path
//!
//! [`collect`] decides which host to poll when, [`scrape`] turns metrics pages into facts, [`snapshot`] is the bytes in which they
//! reach every worker, and [`share`] the bytes in which workers, and proxies, tell each other of work that no engine has reported yet.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::unreachable
    )
)]
#![warn(clippy::std_instead_of_core, clippy::alloc_instead_of_core)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod admit;
mod bytes;
pub mod choose;
pub mod collect;
pub mod config;
pub mod cost;
pub mod eligible;
pub mod explain;
mod find;
pub mod fixed;
pub mod fleet;
pub mod hash;
pub mod health;
pub mod host;
pub mod inflight;
mod json;
pub mod learn;
mod number;
pub mod observe;
pub mod pick;
pub mod policy;
pub mod prefix;
pub mod record;
pub mod request;
pub mod reuse;
pub mod rng;
pub mod router;
pub mod score;
pub mod scrape;
pub mod share;
pub mod snapshot;
pub mod tenant;
pub mod time;
