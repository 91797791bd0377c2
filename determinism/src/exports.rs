//! What a host of the wasm module calls: room for the trace, a run, what it came to.

#![allow(
    unsafe_code,
    reason = "the attribute that exports a function by its name counts as unsafe"
)]

use std::cell::{Cell, RefCell};

use plimsoll_core::config::Policy;

use crate::trace::Trace;
use crate::{Outcome, run};

thread_local! {
    static TRACE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static OUTCOME: Cell<Outcome> = const {
        Cell::new(Outcome {
            digest: 0,
            decisions: 0,
            identical: 0,
            cached: 0,
        })
    };
}

/// Address of `bytes` bytes for the trace.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn reserve(bytes: u32) -> usize {
    TRACE.with_borrow_mut(|trace| {
        trace.clear();
        trace.resize(bytes as usize, 0);
        trace.as_mut_ptr() as usize
    })
}

/// Runs `requests` requests of the trace by policy number `policy`, and returns the digest.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn digest(policy: u32, requests: u64) -> u64 {
    let policy = Policy::from_number(u8::try_from(policy).unwrap_or(0));
    let outcome = TRACE.with_borrow(|trace| run(&Trace::new(trace), policy, requests));
    OUTCOME.set(outcome);
    outcome.digest
}

/// Decisions of the last run.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn decisions() -> u64 {
    OUTCOME.get().decisions
}

/// Decisions of the last run that were the same when made again.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn identical() -> u64 {
    OUTCOME.get().identical
}

/// First choices of the last run with a part of the prompt known to be cached.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn cached() -> u64 {
    OUTCOME.get().cached
}
