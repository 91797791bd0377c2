//! Plimsoll as a proxy-wasm module: one binary, its role chosen by `root_id`.
//!
//! The module is thin. A proxy's phases come in, calls to `plimsoll-core` and actions go out; everything that decides
//! lives in the core. In the order a newcomer reads it:
//!
//! - [`root`]: configuration and ticks of a filter; [`worker`] is the state behind it, kept by pool in [`registry`].
//! - [`stream`]: one request from its headers to its log; [`head`] reads the headers, `identity` whose they are, [`outcome`] the end.
//! - [`collector`]: the role that polls; [`collecting`] does the work, also for a worker that holds the [`lease`].
//! - [`sharing`]: who may have an answer that another request got.
//! - [`slots`]: what workers tell each other.
//! - [`exchange`]: what other proxies are told.
//! - [`gate`]: the head of a streamed answer, held until its first token so that another host can still be tried.
//! - [`host`]: what all of that needs from the proxy. `hostcalls` and `abi` are the only code bound to the ABI, and
//!   exist in the wasm build alone.

// The standard library's streams, environment and threads are a thirtieth of the module, and nothing here uses them.
#![cfg_attr(target_family = "wasm", no_std)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

extern crate alloc;

#[cfg(target_family = "wasm")]
mod abi;
pub mod collecting;
pub mod collector;
pub mod exchange;
pub mod gate;
pub mod head;
pub mod headers;
#[cfg(feature = "test-hooks")]
mod hooks;
pub mod host;
#[cfg(target_family = "wasm")]
mod hostcalls;
mod identity;
pub mod lease;
pub mod metrics;
pub mod names;
pub mod outcome;
pub mod property;
pub mod registry;
mod reply;
pub mod root;
#[cfg(target_family = "wasm")]
mod runtime;
pub mod sharing;
pub mod slots;
pub mod stream;
pub mod worker;

use plimsoll_core::time::Instant;

/// The present, as the core counts it: microseconds since 1970.
fn clock<H: host::Host>(host: &H) -> Instant {
    Instant::from_micros(host.now_nanos() / 1000)
}
