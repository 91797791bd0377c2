//! Who asks, how much of the fleet they may have, and who waits: tiers, tenants, identity and the queue.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::Config;
use super::declare::{Visitor, doc, millis, size};
use crate::fixed::ONE;
use crate::tenant::{Network, key_digest};
use crate::time::Micros;

/// Name of the tenant that stands for everybody without an identity.
pub const ANYBODY: &str = "*";

/// A priority class. Their order in the configuration is their rank, the highest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tier {
    /// Name, as tenants and the header `x-plimsoll-tier` refer to it.
    pub name: String,
    /// Saturation of the fleet (Q16, 1 is full) up to which its requests are let through: what lies above is reserved for higher tiers.
    pub ceiling: u64,
    /// Share (Q16) of the tokens let through that it gets even while higher tiers have requests waiting.
    pub guaranteed: u64,
    /// Longest wait of a request.
    pub max_wait: Micros,
}

/// A customer, with its part of the fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// Name, as the proxy's JWT claim, certificate or trusted header tells it; [`ANYBODY`] for the rest.
    pub name: String,
    /// Its tier.
    pub tier: String,
    /// Its part, relative to other tenants of the tier that have requests waiting.
    pub weight: u64,
    /// `sha256:` and the hexadecimal SHA-256 of each of its API keys.
    pub keys: Vec<String>,
    /// Requests a minute; 0 for no limit.
    pub requests_per_minute: u64,
    /// Prompt and output tokens a minute; 0 for no limit.
    pub tokens_per_minute: u64,
    /// Requests at once, queued ones included; 0 for no limit.
    pub concurrent: u64,
    /// GPU-seconds a day; 0 for no limit.
    pub gpu_seconds_per_day: u64,
}

/// Where the identity of a request comes from. The first source that has one counts: what the proxy vouches for, then the header
/// of a trusted hop, then the API key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Claim of the JWT that Envoy's `jwt_authn` filter has checked; empty for none.
    pub jwt_claim: String,
    /// Where that filter puts the payload (`payload_in_metadata`).
    pub jwt_payload: String,
    /// Take the subject of the client's certificate.
    pub mtls: bool,
    /// Header that names the tenant; empty for none.
    pub header: String,
    /// Networks of the hops whose header is believed.
    pub trusted_hops: Vec<String>,
}

/// When a request waits, and how many may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admission {
    /// Predicted wait for the first token at which a host counts as full.
    pub full_wait: Micros,
    /// KV-cache utilisation (Q16) at which a host counts as full.
    pub full_kv: u64,
    /// Requests of one host at which it counts as full; 0 for no limit.
    pub full_requests: u64,
    /// Requests that one worker lets wait; 0 lets none wait.
    pub queue: usize,
    /// Body bytes that may wait in one worker.
    pub queue_bytes: usize,
    /// A request that has waited this long goes before all others.
    pub starvation: Micros,
    /// Proxies that serve the same tenants: each gives out its part of every tenant's limits.
    pub proxies: u64,
}

impl Default for Tier {
    fn default() -> Self {
        Self {
            name: String::new(),
            ceiling: ONE,
            guaranteed: 0,
            max_wait: Micros::from_millis(5000),
        }
    }
}

impl Default for Tenant {
    fn default() -> Self {
        Self {
            name: String::new(),
            tier: String::new(),
            weight: 1,
            keys: Vec::new(),
            requests_per_minute: 0,
            tokens_per_minute: 0,
            concurrent: 0,
            gpu_seconds_per_day: 0,
        }
    }
}

impl Default for Identity {
    fn default() -> Self {
        Self {
            jwt_claim: String::new(),
            jwt_payload: "jwt_payload".into(),
            mtls: false,
            header: String::new(),
            trusted_hops: Vec::new(),
        }
    }
}

impl Default for Admission {
    fn default() -> Self {
        Self {
            full_wait: Micros::from_millis(500),
            full_kv: ONE * 9 / 10,
            full_requests: 0,
            queue: 1024,
            queue_bytes: 64 << 20,
            starvation: Micros::from_millis(3000),
            proxies: 1,
        }
    }
}

#[cold]
pub(super) fn declare<V: Visitor>(c: &mut Config, v: &mut V) {
    v.objects(
        "tiers",
        doc("Priority classes, the highest first; without any, every request is let through at once"),
        |i, v| {
            let Some(tier) = item(&mut c.tiers, i) else {
                return;
            };
            v.text("name", &mut tier.name, doc("Name of the tier"));
            v.decimal(
                "ceiling",
                &mut tier.ceiling,
                0..=1,
                doc("Saturation of the fleet up to which its requests are let through; the rest is reserved for higher tiers"),
            );
            v.decimal(
                "guaranteed",
                &mut tier.guaranteed,
                0..=1,
                doc("Share of the tokens let through that it gets even while higher tiers wait"),
            );
            millis(
                v,
                "max_wait_ms",
                &mut tier.max_wait,
                0..=600_000,
                doc("Longest wait of a request"),
            );
        },
    );
    v.objects(
        "tenants",
        doc("Who may ask; `*` is everybody without an identity, who is refused where it is absent"),
        |i, v| {
            let Some(t) = item(&mut c.tenants, i) else {
                return;
            };
            v.text("name", &mut t.name, doc("Name of the tenant"));
            v.text("tier", &mut t.tier, doc("Its tier"));
            v.integer(
                "weight",
                &mut t.weight,
                1..=1000,
                doc("Its part, relative to other tenants of the tier with requests waiting"),
            );
            v.texts(
                "keys",
                &mut t.keys,
                doc("`sha256:` and the hexadecimal SHA-256 of each of its API keys"),
            );
            let limits = [
                (
                    "requests_per_minute",
                    &mut t.requests_per_minute,
                    doc("Requests a minute; 0 for no limit"),
                ),
                (
                    "tokens_per_minute",
                    &mut t.tokens_per_minute,
                    doc("Prompt and output tokens a minute; 0 for no limit"),
                ),
                (
                    "concurrent",
                    &mut t.concurrent,
                    doc("Requests at once, waiting ones included; 0 for no limit"),
                ),
            ];
            v.integer(
                "gpu_seconds_per_day",
                &mut t.gpu_seconds_per_day,
                0..=100_000_000,
                doc("GPU-seconds a day, as estimated for the access log; 0 for no limit"),
            );
            for (name, field, text) in limits {
                v.integer(name, field, 0..=1_000_000_000, text);
            }
        },
    );
    v.section("identity", doc("How a request tells its tenant"), |v| {
        let d = &mut c.identity;
        v.text(
            "jwt_claim",
            &mut d.jwt_claim,
            doc("Claim of the JWT checked by Envoy's `jwt_authn` filter that names the tenant"),
        );
        v.text(
            "jwt_payload",
            &mut d.jwt_payload,
            doc("`payload_in_metadata` of that filter"),
        );
        v.flag(
            "mtls",
            &mut d.mtls,
            doc("The subject of the client's certificate names the tenant"),
        );
        v.text("header", &mut d.header, doc("Header that names the tenant"));
        v.texts(
            "trusted_hops",
            &mut d.trusted_hops,
            doc("Networks (`ip/bits`) whose hops may set that header"),
        );
    });
    v.section(
        "admission",
        doc("When requests wait; counts only with `tiers`"),
        |v| {
            let a = &mut c.admission;
            millis(
                v,
                "full_wait_ms",
                &mut a.full_wait,
                1..=600_000,
                doc("Predicted wait for the first token at which a host counts as full"),
            );
            v.decimal(
                "full_kv",
                &mut a.full_kv,
                0..=1,
                doc("KV-cache utilisation at which a host counts as full"),
            );
            v.integer(
                "full_requests",
                &mut a.full_requests,
                0..=1_000_000,
                doc("Requests of one host at which it counts as full; 0 for no limit"),
            );
            size(
                v,
                "queue",
                &mut a.queue,
                0..=65_536,
                doc("Requests that one worker lets wait"),
            );
            size(
                v,
                "queue_bytes",
                &mut a.queue_bytes,
                0..=1 << 30,
                doc("Body bytes that may wait in one worker"),
            );
            millis(
                v,
                "starvation_ms",
                &mut a.starvation,
                1..=600_000,
                doc("A request that has waited this long goes before all others, but leaves alone what is reserved for tiers that are served in time"),
            );
            v.integer(
                "proxies",
                &mut a.proxies,
                1..=1000,
                doc("Proxies that serve the same tenants: each gives out its part of their limits"),
            );
        },
    );
}

/// The item at `i`, which comes to be if it is the next.
fn item<T: Default>(list: &mut Vec<T>, i: usize) -> Option<&mut T> {
    if i == list.len() {
        list.push(T::default());
    }
    list.get_mut(i)
}

/// Notes what is wrong with the item at `i` of `list`.
#[cold]
#[inline(never)]
fn refuse(errors: &mut Vec<String>, list: &str, i: usize, problem: &str) {
    errors.push(format!("{list}[{i}]{problem}"));
}

/// Refuses items without a name, or with another's.
fn check_names<'a>(errors: &mut Vec<String>, list: &str, names: impl Iterator<Item = &'a str>) {
    let mut before: Vec<&str> = Vec::new();
    for (i, name) in names.enumerate() {
        if name.is_empty() || before.contains(&name) {
            refuse(errors, list, i, NAMELESS);
        }
        before.push(name);
    }
}

const NAMELESS: &str = ".name: missing, or listed twice; give a name of its own";

/// What no single field of tiers, tenants and identity can tell.
#[cold]
#[inline(never)]
pub(super) fn check(config: &Config, errors: &mut Vec<String>) {
    let (tiers, tenants) = (&config.tiers, &config.tenants);
    check_names(errors, "tiers", tiers.iter().map(|tier| tier.name.as_str()));
    check_names(
        errors,
        "tenants",
        tenants.iter().map(|tenant| tenant.name.as_str()),
    );
    if tiers.len() > MOST_TIERS {
        refuse(errors, "tiers", MOST_TIERS, ": too many; give 16 at most");
    }
    for (i, tenant) in tenants.iter().enumerate() {
        if !tiers.iter().any(|tier| tier.name == tenant.tier) {
            refuse(
                errors,
                "tenants",
                i,
                ".tier: not accepted; give the name of one of tiers",
            );
        }
        // What is wrong here may be the key itself, which no log must show.
        if tenant.keys.iter().any(|key| key_digest(key).is_none()) {
            refuse(
                errors,
                "tenants",
                i,
                ".keys: a value (not shown: it may be a key) is not accepted; give sha256: and 64 hexadecimal digits",
            );
        }
    }
    for (i, hop) in config.identity.trusted_hops.iter().enumerate() {
        if Network::parse(hop).is_none() {
            refuse(
                errors,
                "identity.trusted_hops",
                i,
                ": not accepted; give a network such as 10.0.0.0/8 or an address",
            );
        }
    }
    if tiers.is_empty() != tenants.is_empty() {
        errors.push("tiers, tenants: one without the other is not accepted; give both, or none; {\"name\":\"*\",\"tier\":...} is everybody".into());
    }
    let guaranteed: u64 = tiers.iter().map(|tier| tier.guaranteed).sum();
    if guaranteed > ONE {
        errors.push("tiers: the guaranteed shares add up to more than 1; give 1 at most".into());
    }
}

/// Tiers that can be told apart.
const MOST_TIERS: usize = 16;
