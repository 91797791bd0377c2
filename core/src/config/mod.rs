//! Configuration: one JSON document, checked as a whole.
//!
//! Every field is declared once, in `declare.rs`: its name, its place, its default, what is accepted, and what it is for. That one
//! declaration reads the document ([`Config::parse`]), writes the JSON schema and writes the table in the docs, so the three cannot
//! drift apart. A bad document yields every error at once, each naming field, value and what is accepted; the caller keeps the
//! configuration it has.

mod admission;
mod declare;
mod describe;
mod errors;
mod health;
mod host;
mod parse;
mod policy;
mod reuse;
#[cfg(test)]
mod tests;

use alloc::string::String;
use alloc::vec::Vec;

pub use admission::{ANYBODY, Admission, Identity, Tenant, Tier};
pub use errors::ConfigErrors;
pub use health::{Checks, Health, Warmup};
pub use host::ConfiguredHost;
pub use policy::Policy;
pub use reuse::Reuse;

use crate::choose::Rules;
use crate::fixed;
use crate::hash;
use crate::host::Address;
use crate::time::Micros;

/// Where hosts come from when `hosts` is empty: the proxy's own admin interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovery {
    /// The cluster whose hosts are balanced.
    pub cluster: String,
    /// The cluster through which the admin interface is reached.
    pub admin_cluster: String,
    /// How often the host list is read.
    pub every: Micros,
}

/// How the engines' metrics are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Poll {
    /// The cluster that connects to exactly the address named in the poll header.
    pub cluster: String,
    /// Path of the metrics page.
    pub path: String,
    /// Mean interval between polls of one host; each is jittered by a quarter.
    pub every: Micros,
    /// After this long without an answer a poll has failed.
    pub timeout: Micros,
    /// This many failures in a row take the host out.
    pub unhealthy_after: u32,
    /// This many successes in a row bring it back.
    pub healthy_after: u32,
}

/// How proxies tell each other what they do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// Where other proxies answer; without any there is no exchange.
    pub peers: Vec<Address>,
    /// The cluster that connects to exactly the address named in the poll header; one of its own where proxies speak TLS to each other.
    pub cluster: String,
    /// Mean interval at which each is asked, jittered by a quarter.
    pub every: Micros,
    /// What counts as a tie where there is an exchange: all proxies choose by the same news, so the best host of one moment would be the
    /// best for all of them until the next.
    pub tie_band: u64,
}

impl Exchange {
    /// Most proxies that one asks.
    pub const MOST_PEERS: usize = 64;
}

/// Weights of the predicted-time score, all Q16. The optimum is flat: a factor of two on any of them moves the composite by 2-3 %
/// (research/routing-lab.md section 3), so there is seldom a reason to touch them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weights {
    /// On this request's own uncached tokens: its prefill, and the cache it displaces for later requests.
    pub prefill: u64,
    /// On own uncached tokens, per request already there: the stall a prefill imposes on every running stream.
    pub stall: u64,
    /// On queued tokens, per request already there: balances prefill queues.
    pub crowding: u64,
    /// On mean request time, per share of the KV cache above `kv_limit`.
    pub kv_pressure: u64,
    /// KV utilisation (Q16) from which pressure counts.
    pub kv_limit: u64,
}

impl Default for Weights {
    fn default() -> Self {
        Self {
            prefill: 3 * fixed::ONE,
            stall: fixed::ONE * 7 / 20,
            crowding: fixed::ONE / 10,
            kv_pressure: 5 * fixed::ONE,
            kv_limit: fixed::ONE * 4 / 5,
        }
    }
}

/// A second policy that chooses in the shadow of the one in force: it is asked, counted, and never obeyed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shadow {
    /// Whether it is asked.
    pub enabled: bool,
    /// The policy.
    pub policy: Policy,
    /// Its weights.
    pub weights: Weights,
}

/// Which decisions are recorded, and where to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// One decision in so many, drawn by a hash of the request; 0 records none.
    pub every: u64,
    /// To the proxy's log.
    pub log: bool,
    /// To filter state `wasm.plimsoll_record`.
    pub filter_state: bool,
}

/// What is believed before the first response has been seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Priors {
    /// Prefill time of one token on a host of mean weight, nanoseconds.
    pub prefill_ns_per_token: u64,
    /// Bytes of JSON string content that make one token, Q16.
    pub bytes_per_token: u64,
    /// Tokens of an answer.
    pub output_tokens: u64,
    /// Time of one request from send to end.
    pub e2e: Micros,
}

/// Sizes of the fixed tables. Nothing grows beyond them; what does not fit is counted and routed all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Hosts of the pool; further ones are ignored and counted.
    pub hosts: usize,
    /// Requests in flight that one worker accounts for.
    pub inflight: usize,
    /// Prefix blocks that one worker remembers.
    pub prefix_blocks: usize,
    /// Requests in flight at one host, of this proxy and of those it hears; 0 for no limit.
    pub host_inflight: u32,
    /// Requests in flight in the pool, of this proxy and of those it hears; 0 for no limit.
    pub pool_inflight: u32,
}

impl Limits {
    /// Most memory that the prefix index may take: a module that runs out of it traps, and takes its worker's filter with it.
    pub const MOST_INDEX_BYTES: u64 = 256 << 20;

    /// Memory of the prefix index: 20 bytes a block, and two bits a host.
    pub const fn index_bytes(&self) -> u64 {
        let blocks = (self.prefix_blocks as u64).next_power_of_two();
        let words = (self.hosts as u64).div_ceil(64);
        blocks.saturating_mul(20 + 16 * words)
    }
}

/// The whole configuration of one pool, valid by construction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Name of the pool; part of every shared-data key.
    pub pool: String,
    /// How hosts are chosen.
    pub policy: Policy,
    /// The hosts, when they are not discovered.
    pub hosts: Vec<ConfiguredHost>,
    /// Hosts that get nothing new and finish what they have.
    pub draining: Vec<Address>,
    /// Where hosts are found when `hosts` is empty.
    pub discovery: Discovery,
    /// How engines are polled.
    pub poll: Poll,
    /// Checks beside the polls.
    pub checks: Checks,
    /// Requests that keep hosts warm.
    pub warmup: Warmup,
    /// The exchange with other proxies.
    pub exchange: Exchange,
    /// Interval of a worker's exchange with the others and with the snapshot.
    pub tick: Micros,
    /// Bytes of body after which the host is named, even if the body goes on.
    pub decide_after_bytes: usize,
    /// Bytes of body that may be held while the model is not known and hosts differ in models.
    pub buffer_limit_bytes: usize,
    /// Age from which a snapshot no longer counts as the state of the engines (ladder step `local`).
    pub stale_after: Micros,
    /// Time after which a streamed request that has no token is given to the next host as well; zero: never.
    pub first_token: Micros,
    /// Answer `x-plimsoll-explain: 1` with the decision.
    pub explain: bool,
    /// Write each decision to filter state `wasm.plimsoll_decision` for the access log.
    pub access_log: bool,
    /// Share (Q16) by which scores may differ and still count as a tie, spread by a hash of the request.
    pub tie_band: u64,
    /// Weights of the score.
    pub weights: Weights,
    /// The policy that is only asked.
    pub shadow: Shadow,
    /// Which decisions are recorded.
    pub record: Recording,
    /// When a host is trusted.
    pub health: Health,
    /// Beliefs before observation.
    pub priors: Priors,
    /// Table sizes.
    pub limits: Limits,
    /// Priority classes, the highest first; without any, every request is let through at once.
    pub tiers: Vec<Tier>,
    /// Who may ask.
    pub tenants: Vec<Tenant>,
    /// How a request tells its tenant.
    pub identity: Identity,
    /// When requests wait.
    pub admission: Admission,
    /// Which answers serve more than one request.
    pub reuse: Reuse,
    /// Hash of the document this was read from; part of every decision record.
    pub fingerprint: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            pool: "pool".into(),
            policy: Policy::Plimsoll,
            hosts: Vec::new(),
            draining: Vec::new(),
            discovery: Discovery {
                cluster: "pool".into(),
                admin_cluster: "envoy_admin".into(),
                every: Micros::from_millis(1000),
            },
            poll: Poll {
                cluster: "plimsoll_poll".into(),
                path: "/metrics".into(),
                every: Micros::from_millis(200),
                timeout: Micros::from_millis(1000),
                unhealthy_after: 3,
                healthy_after: 2,
            },
            checks: Checks::default(),
            warmup: Warmup::default(),
            exchange: Exchange {
                peers: Vec::new(),
                cluster: "plimsoll_poll".into(),
                every: Micros::from_millis(100),
                tie_band: fixed::ONE / 5,
            },
            tick: Micros::from_millis(25),
            decide_after_bytes: 64 * 1024,
            buffer_limit_bytes: 1024 * 1024,
            stale_after: Micros::from_millis(2000),
            first_token: Micros::from_millis(10_000),
            explain: false,
            access_log: false,
            tie_band: fixed::ONE / 64,
            weights: Weights::default(),
            shadow: Shadow {
                enabled: false,
                policy: Policy::Plimsoll,
                weights: Weights::default(),
            },
            record: Recording {
                every: 0,
                log: true,
                filter_state: false,
            },
            health: Health::default(),
            priors: Priors {
                prefill_ns_per_token: 30_000,
                bytes_per_token: 4 * fixed::ONE,
                output_tokens: 256,
                e2e: Micros::from_millis(5000),
            },
            limits: Limits {
                hosts: 256,
                inflight: 4096,
                prefix_blocks: 65_536,
                host_inflight: 0,
                pool_inflight: 0,
            },
            tiers: Vec::new(),
            tenants: Vec::new(),
            identity: Identity::default(),
            admission: Admission::default(),
            reuse: Reuse::default(),
            fingerprint: hash::key(b"{}"),
        }
    }
}

impl Config {
    /// Reads a JSON document. An empty document counts as `{}`.
    ///
    /// # Errors
    /// Every problem found, each naming the field, its value and what is accepted.
    pub fn parse(json: &[u8]) -> Result<Self, ConfigErrors> {
        parse::parse(json)
    }

    /// Share (Q16) by which scores may differ and still be a tie.
    const fn ties(&self) -> u64 {
        if self.exchange.peers.is_empty() || self.exchange.tie_band < self.tie_band {
            self.tie_band
        } else {
            self.exchange.tie_band
        }
    }

    /// How a host is chosen.
    pub const fn rules(&self) -> Rules<'_> {
        Rules {
            policy: self.policy,
            weights: &self.weights,
            tie_band: self.ties(),
        }
    }

    /// How the shadow would choose one.
    pub fn shadow_rules(&self) -> Option<Rules<'_>> {
        self.shadow.enabled.then_some(Rules {
            policy: self.shadow.policy,
            weights: &self.shadow.weights,
            tie_band: self.ties(),
        })
    }

    /// Whether anybody asks what a request would cost on each host.
    pub fn scores(&self) -> bool {
        self.policy == Policy::Plimsoll || self.shadow.enabled || self.record.every > 0
    }

    /// The JSON schema of the document, from the same declaration that reads it.
    pub fn schema() -> serde_json::Value {
        describe::schema()
    }

    /// The fields as a Markdown table: name, default, accepted, meaning.
    pub fn table() -> String {
        describe::table()
    }
}
