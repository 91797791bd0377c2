//! One run of requests through the core, the same on every target.
//!
//! [`run`] drives two routers in front of a toy fleet with the requests of a [`trace`], records every decision, makes it again from its record,
//! and sums the records up in one digest. A record holds every integer that a decision was made from, so equal digests mean equal states and
//! equal decisions, bit for bit. `tests/` runs it natively, as wasm for proxies and as wasm for browsers.

mod exports;
mod fleet;
pub mod trace;
mod worker;

use plimsoll_core::config::{Config, Policy};
use plimsoll_core::hash::Chain;
use plimsoll_core::record::View;

use fleet::Fleet;
use trace::Trace;
use worker::Worker;

/// Routers that tell each other what they do, as two workers of a proxy.
const WORKERS: usize = 2;
/// The trace is repeated, and after so many repetitions its prompts are new ones.
const KNOWN_PASSES: u64 = 4;

/// What a run came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Hash of every record.
    pub digest: u64,
    /// Decisions recorded.
    pub decisions: u64,
    /// Of those, made again with the same result.
    pub identical: u64,
    /// First choices with a part of the prompt known to be cached.
    pub cached: u64,
}

/// Lets `requests` requests of `trace` be decided by `policy`, with power of two choices in its shadow.
pub fn run(trace: &Trace<'_>, policy: Policy, requests: u64) -> Outcome {
    let mut config = Config {
        policy,
        ..Config::default()
    };
    config.shadow.enabled = true;
    config.shadow.policy = Policy::PowerOfTwo;
    config.record.every = 1;
    let mut fleet = Fleet::new();
    config.hosts = fleet.configured();
    let mut workers: [Worker; WORKERS] =
        core::array::from_fn(|seed| Worker::new(config.clone(), seed as u64 + 1));
    let mut digest = Chain::new();
    let mut outcome = Outcome::default();
    let mut record = Vec::new();
    for n in 0..requests {
        let Some(row) = trace.row(n, KNOWN_PASSES) else {
            break;
        };
        fleet.until(row.at, &mut workers);
        let at = (n % WORKERS as u64) as usize;
        if let Some(worker) = workers.get_mut(at) {
            worker.request(&row, at, &mut fleet, &mut record);
        }
        digest.update(&record);
        if let Ok(view) = View::new_checked(&record) {
            let again = view.replay();
            let same = again.choice == view.choice() && again.shadow == view.shadow();
            let first = view.choice().ranked.first();
            let first = first.and_then(|index| view.host(index));
            outcome.decisions += 1;
            outcome.identical += u64::from(same);
            outcome.cached += u64::from(first.is_some_and(|host| host.inputs.known_tokens > 0));
        }
    }
    outcome.digest = digest.value();
    outcome
}
