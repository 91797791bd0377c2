//! Routing policies under comparison: the core's own, and rivals re-implemented from their descriptions.

mod aibrix;
mod cache_aware;
mod core_router;
mod decisions;
mod dynamo;
mod gie;
mod hashing;
mod least_load;
mod least_response_time;
mod lmetric;
mod loads;
mod oracle;
mod peak_ewma;
mod pick;
mod prefix_index;
mod prequal;
mod ray;
mod rival;
#[cfg(test)]
mod script;
mod view;

use std::net::{IpAddr, Ipv4Addr};

use plimsoll_core::config::{Config, Policy as CorePolicy};

use crate::engine::{Engine, Gpu, Token};
use crate::fleet::Prepared;
use cache_aware::{CacheAware, Thresholds};
use core_router::{CoreRouter, Told};
pub use decisions::Decisions;

/// What a poll of one engine tells.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Polled {
    /// When the engine said so, microseconds.
    pub at: u64,
    /// Whether the host is there to be chosen; one that is not has left, died or not joined yet.
    pub listed: bool,
    /// Sequences in the batch.
    pub running: u32,
    /// Sequences in the queue.
    pub waiting: u32,
    /// Share of KV blocks that sequences hold.
    pub kv_used: f64,
    /// KV capacity in tokens.
    pub kv_capacity_tokens: u64,
    /// Prompt tokens computed and tokens generated since the start.
    pub computed_tokens: u64,
    /// Prompt tokens still to be computed, cache hits of the queue not deducted (SGLang tells; vLLM does not).
    pub queued_tokens: u64,
    /// Tokens generated since the start.
    pub output_tokens: u64,
}

/// The exact state of the fleet, for those who may see it.
#[derive(Clone, Copy)]
pub struct Truth<'a> {
    /// The engines.
    pub engines: &'a [Engine],
    /// When each one's step under way ends.
    pub step_ends: &'a [u64],
    /// Which hosts are there to be chosen.
    pub listed: &'a [bool],
}

/// One router. It sees the requests it routes, their responses, and its polls; times are in microseconds.
pub trait Policy {
    /// The engines' counters, by host.
    fn poll(&mut self, now: u64, hosts: &[Polled]);
    /// Names the host of a request, and books it there.
    fn choose(&mut self, now: u64, request: &Prepared, truth: &Truth<'_>) -> usize;
    /// A token of a request of its own has come.
    fn token(&mut self, now: u64, host: usize, token: &Token, request: &Prepared);
    /// The host refused the connection or died with a request of its own.
    fn failed(&mut self, now: u64, host: usize, request: &Prepared);
    /// What this worker tells the others of its proxy, if it tells anything.
    fn say(&mut self, _now: u64) -> Option<Vec<u8>> {
        None
    }
    /// What worker `slot` of the same proxy said, or from [`plimsoll_core::share::WORKERS`] on one of another proxy.
    fn hear(&mut self, _now: u64, _slot: usize, _said: &[u8]) {}
    /// Microseconds between two times that its proxy asks the others what they do, if it does.
    fn exchanged(&self) -> Option<u64> {
        None
    }
}

/// Names of the policies that are not simply one of the core's: Plimsoll whose proxies exchange what they do, Plimsoll told the hosts' speeds,
/// rivals, the oracle.
pub const OTHERS: [&str; 19] = [
    "plimsoll_exchange",
    "plimsoll_rates",
    "lmetric",
    "gie",
    "gie_gate",
    "cache_aware",
    "cache_aware_cli",
    "least_load",
    "dynamo",
    "dynamo_events",
    "aibrix",
    "ray",
    "prequal",
    "peak_ewma",
    "least_response_time",
    "session_hash",
    "ring_hash",
    "prefix_hash",
    "oracle",
];

/// Names of all policies.
#[must_use]
pub fn names() -> Vec<&'static str> {
    CorePolicy::NAMES
        .iter()
        .map(|(name, _)| *name)
        .chain(OTHERS)
        .collect()
}

/// What a policy is told when it is made.
#[derive(Clone, Copy, Debug)]
pub struct Conditions<'a> {
    /// The hosts.
    pub fleet: &'a [Gpu],
    /// Tokens a prefix-cache block.
    pub block_tokens: u32,
    /// Interval of polls, microseconds.
    pub poll_micros: u64,
    /// Seed of this router.
    pub seed: u64,
    /// Configuration of the core's policies; policy, hosts and polls are set from the above.
    pub config: &'a Config,
    /// Where the core's policies record every decision, if they do.
    pub decisions: Option<&'a Decisions>,
}

/// Makes the router called `name`; `None` when there is none of that name.
#[must_use]
pub fn make(name: &str, conditions: &Conditions<'_>) -> Option<Box<dyn Policy>> {
    if let Some(policy) = CorePolicy::from_name(name) {
        // Only weighted round robin lives by configured speeds; Plimsoll has to learn them.
        let told = match policy {
            CorePolicy::WeightedRoundRobin => Told::Weights,
            _ => Told::Nothing,
        };
        return Some(Box::new(CoreRouter::new(policy, told, false, conditions)));
    }
    Some(match name {
        "plimsoll_exchange" => Box::new(CoreRouter::new(
            CorePolicy::Plimsoll,
            Told::Nothing,
            true,
            conditions,
        )),
        "plimsoll_rates" => Box::new(CoreRouter::new(
            CorePolicy::Plimsoll,
            Told::Rates,
            false,
            conditions,
        )),
        "lmetric" => Box::new(lmetric::Lmetric::new(conditions)),
        "gie" => Box::new(gie::Gie::new(conditions, false)),
        "gie_gate" => Box::new(gie::Gie::new(conditions, true)),
        "cache_aware" => Box::new(CacheAware::new(conditions, Thresholds::TYPE)),
        "cache_aware_cli" => Box::new(CacheAware::new(conditions, Thresholds::COMMAND_LINE)),
        "least_load" => Box::new(least_load::LeastLoad::new(conditions)),
        "dynamo" => Box::new(dynamo::Dynamo::new(conditions, false)),
        "dynamo_events" => Box::new(dynamo::Dynamo::new(conditions, true)),
        "aibrix" => Box::new(aibrix::Aibrix::new(conditions)),
        "ray" => Box::new(ray::Ray::new(conditions)),
        "prequal" => Box::new(prequal::Prequal::new(conditions)),
        "peak_ewma" => Box::new(peak_ewma::PeakEwma::new(conditions)),
        "least_response_time" => Box::new(least_response_time::LeastResponseTime::new(conditions)),
        "ring_hash" => Box::new(hashing::Hashing::ring(conditions)),
        "session_hash" => Box::new(hashing::Hashing::session(conditions)),
        "prefix_hash" => Box::new(hashing::Hashing::prefix(conditions)),
        "oracle" => Box::new(oracle::Oracle::new(conditions)),
        _ => return None,
    })
}

/// The made-up address of a host.
fn address(host: usize) -> plimsoll_core::host::Address {
    let [.., high, low] = (host as u32).to_be_bytes();
    plimsoll_core::host::Address::new(IpAddr::V4(Ipv4Addr::new(10, 0, high, low)), 8000)
}

/// The host that [`address`] made up an address for.
fn host_of(address: &plimsoll_core::host::Address) -> usize {
    let [.., high, low, _, _] = address.to_bytes();
    usize::from(u16::from_be_bytes([high, low]))
}
