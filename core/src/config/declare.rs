//! The one declaration of every field.

use alloc::string::String;
use alloc::vec::Vec;
use core::ops::RangeInclusive;

use super::{Config, ConfiguredHost, Policy, Weights, admission, health, reuse};
use crate::host::Address;
use crate::time::Micros;

/// What is done with each declared field: read it, put it in the schema, put it in the table.
pub(super) trait Visitor: Sized {
    /// A string that must not be empty, unless it is empty by default.
    fn text(&mut self, name: &'static str, field: &mut String, doc: &str);
    /// An integer in `range`.
    fn integer(
        &mut self,
        name: &'static str,
        field: &mut u64,
        range: RangeInclusive<u64>,
        doc: &str,
    );
    /// A decimal number kept in Q16, in whole numbers of `range`.
    fn decimal(
        &mut self,
        name: &'static str,
        field: &mut u64,
        range: RangeInclusive<u64>,
        doc: &str,
    );
    /// `true` or `false`.
    fn flag(&mut self, name: &'static str, field: &mut bool, doc: &str);
    /// One of the policies.
    fn policy(&mut self, name: &'static str, field: &mut Policy, doc: &str);
    /// The list of hosts.
    fn hosts(&mut self, name: &'static str, field: &mut Vec<ConfiguredHost>, doc: &str);
    /// A list of addresses.
    fn addresses(&mut self, name: &'static str, field: &mut Vec<Address>, doc: &str);
    /// A list of strings.
    fn texts(&mut self, name: &'static str, field: &mut Vec<String>, doc: &str);
    /// Fields that follow are those of the object `name`, until it is closed.
    fn open(&mut self, name: &'static str, doc: &str);
    /// How many objects are in the list `name`.
    fn list(&mut self, name: &'static str, doc: &str) -> usize;
    /// Fields that follow are those of the object at `i` of the list `name`, until it is closed.
    fn open_item(&mut self, name: &'static str, i: usize);
    /// The end of what was opened last.
    fn close(&mut self);

    /// A nested object.
    fn section(&mut self, name: &'static str, doc: &str, fields: impl FnOnce(&mut Self)) {
        self.open(name, doc);
        fields(self);
        self.close();
    }

    /// A list of objects; `fields(i, v)` shows the fields of the one at `i`.
    fn objects(&mut self, name: &'static str, doc: &str, mut fields: impl FnMut(usize, &mut Self)) {
        for i in 0..self.list(name, doc) {
            self.open_item(name, i);
            fields(i, self);
            self.close();
        }
    }
}

/// What a field is for. The module that a proxy loads never says it: the texts would be a fortieth of it.
pub(super) const fn doc(text: &'static str) -> &'static str {
    if cfg!(target_os = "wasi") { "" } else { text }
}

pub(super) fn millis<V: Visitor>(
    v: &mut V,
    name: &'static str,
    field: &mut Micros,
    range: RangeInclusive<u64>,
    doc: &str,
) {
    let mut value = field.get() / 1000;
    v.integer(name, &mut value, range, doc);
    *field = Micros::from_millis(value);
}

pub(super) fn count<V: Visitor>(
    v: &mut V,
    name: &'static str,
    field: &mut u32,
    range: RangeInclusive<u64>,
    doc: &str,
) {
    let mut value = u64::from(*field);
    v.integer(name, &mut value, range, doc);
    *field = u32::try_from(value).unwrap_or(u32::MAX);
}

pub(super) fn size<V: Visitor>(
    v: &mut V,
    name: &'static str,
    field: &mut usize,
    range: RangeInclusive<u64>,
    doc: &str,
) {
    let mut value = *field as u64;
    v.integer(name, &mut value, range, doc);
    *field = usize::try_from(value).unwrap_or(usize::MAX);
}

fn weights<V: Visitor>(v: &mut V, w: &mut Weights) {
    v.decimal(
        "prefill",
        &mut w.prefill,
        0..=1000,
        doc("This request's uncached tokens"),
    );
    v.decimal(
        "stall",
        &mut w.stall,
        0..=1000,
        doc("This request's uncached tokens, per request already there"),
    );
    v.decimal(
        "crowding",
        &mut w.crowding,
        0..=1000,
        doc("Queued tokens, per request already there"),
    );
    v.decimal(
        "kv_pressure",
        &mut w.kv_pressure,
        0..=1000,
        doc("Mean request time, per share of KV cache above `kv_limit`"),
    );
    v.decimal(
        "kv_limit",
        &mut w.kv_limit,
        0..=1,
        doc("KV-cache utilisation from which pressure counts"),
    );
}

/// Shows every field of `c` to `v`, in the order of the docs.
pub(super) fn declare<V: Visitor>(c: &mut Config, v: &mut V) {
    v.text(
        "pool",
        &mut c.pool,
        doc("Name of the pool; part of every shared-data key"),
    );
    v.policy("policy", &mut c.policy, doc("How the host is chosen"));
    v.hosts(
        "hosts",
        &mut c.hosts,
        doc("The hosts; when empty they are discovered from the proxy"),
    );
    v.addresses(
        "draining",
        &mut c.draining,
        doc("Hosts that get nothing new and finish what they have"),
    );
    v.section(
        "discovery",
        doc("Where hosts come from when `hosts` is empty"),
        |v| {
            let d = &mut c.discovery;
            v.text(
                "cluster",
                &mut d.cluster,
                doc("Cluster whose hosts are balanced"),
            );
            v.text(
                "admin_cluster",
                &mut d.admin_cluster,
                doc("Cluster that reaches the proxy's admin interface"),
            );
            millis(
                v,
                "every_ms",
                &mut d.every,
                100..=600_000,
                doc("Interval at which the host list is read"),
            );
        },
    );
    v.section("poll", doc("How the engines' metrics are read"), |v| {
        let p = &mut c.poll;
        v.text(
            "cluster",
            &mut p.cluster,
            doc("Cluster that connects to exactly the host named by `x-plimsoll-poll-target`"),
        );
        v.text("path", &mut p.path, doc("Path of the metrics page"));
        millis(
            v,
            "every_ms",
            &mut p.every,
            20..=60_000,
            doc("Mean interval between polls of one host"),
        );
        millis(
            v,
            "timeout_ms",
            &mut p.timeout,
            10..=60_000,
            doc("Time after which a poll has failed"),
        );
        count(
            v,
            "unhealthy_after",
            &mut p.unhealthy_after,
            1..=1000,
            doc("Failed polls or checks in a row that take a host out"),
        );
        count(
            v,
            "healthy_after",
            &mut p.healthy_after,
            1..=1000,
            doc("Good ones in a row that bring it back"),
        );
    });
    health::declare_collector(&mut c.checks, &mut c.warmup, v);
    v.section(
        "exchange",
        doc("What proxies tell each other of their own work"),
        |v| {
            let e = &mut c.exchange;
            v.addresses(
                "peers",
                &mut e.peers,
                doc(
                    "Where the other proxies' exchange listeners are, at most 64; this proxy's own may be among them",
                ),
            );
            v.text(
                "cluster",
                &mut e.cluster,
                doc("Cluster that connects to the address in `x-plimsoll-poll-target`"),
            );
            millis(
                v,
                "every_ms",
                &mut e.every,
                50..=10_000,
                doc("Mean interval at which each is asked"),
            );
            v.decimal(
                "tie_band",
                &mut e.tie_band,
                0..=1,
                doc("`tie_band` where there are peers, if it is larger: all choose by the same news"),
            );
        },
    );
    millis(
        v,
        "tick_ms",
        &mut c.tick,
        5..=1000,
        doc("Interval of a worker's exchange with other workers and the snapshot"),
    );
    size(
        v,
        "decide_after_bytes",
        &mut c.decide_after_bytes,
        1024..=4_194_304,
        doc("Body bytes after which the host is named"),
    );
    size(
        v,
        "buffer_limit_bytes",
        &mut c.buffer_limit_bytes,
        1024..=67_108_864,
        doc("Body bytes held at most while the model is unknown and hosts serve different models"),
    );
    millis(
        v,
        "stale_after_ms",
        &mut c.stale_after,
        100..=600_000,
        doc("Age from which a snapshot is no longer used"),
    );
    millis(
        v,
        "first_token_ms",
        &mut c.first_token,
        0..=600_000,
        doc(
            "A streamed request without a token for this long, and for twice its score's wait and prefill, goes to the next host as well; 0: never",
        ),
    );
    v.flag(
        "explain",
        &mut c.explain,
        doc("Answer `x-plimsoll-explain: 1` with `x-plimsoll-decision`"),
    );
    v.flag(
        "access_log",
        &mut c.access_log,
        doc("Write each decision to filter state `wasm.plimsoll_decision`"),
    );
    v.decimal(
        "tie_band",
        &mut c.tie_band,
        0..=1,
        doc("Share by which scores may differ and still be a tie"),
    );
    v.section("weights", doc("Weights of the predicted-time score"), |v| {
        weights(v, &mut c.weights);
    });
    v.section(
        "shadow",
        doc("A second policy that is asked and counted, never obeyed"),
        |v| {
            let s = &mut c.shadow;
            v.flag("enabled", &mut s.enabled, doc("Ask it"));
            v.policy("policy", &mut s.policy, doc("How it would choose"));
            v.section("weights", doc("Weights of its score"), |v| {
                weights(v, &mut s.weights);
            });
        },
    );
    v.section("record", doc("Decision records, for replay"), |v| {
        let r = &mut c.record;
        v.integer(
            "every",
            &mut r.every,
            0..=1_000_000,
            doc("Record one decision in so many; 0 records none"),
        );
        v.flag(
            "log",
            &mut r.log,
            doc("Write records to the proxy's log, as `plimsoll-record <base64>`"),
        );
        v.flag(
            "filter_state",
            &mut r.filter_state,
            doc("Write records to filter state `wasm.plimsoll_record`, in base64"),
        );
    });
    health::declare(&mut c.health, v);
    v.section("priors", doc("Beliefs before the first response"), |v| {
        let p = &mut c.priors;
        v.integer(
            "prefill_ns_per_token",
            &mut p.prefill_ns_per_token,
            100..=100_000_000,
            doc("Prefill time of one token on a host of mean weight, in nanoseconds"),
        );
        v.decimal(
            "bytes_per_token",
            &mut p.bytes_per_token,
            1..=64,
            doc("Prompt bytes in one token"),
        );
        v.integer(
            "output_tokens",
            &mut p.output_tokens,
            1..=1_000_000,
            doc("Tokens of an answer"),
        );
        millis(
            v,
            "e2e_ms",
            &mut p.e2e,
            1..=3_600_000,
            doc("Time of one request"),
        );
    });
    v.section(
        "limits",
        doc("Sizes of the fixed tables of one worker"),
        |v| {
            let l = &mut c.limits;
            size(v, "hosts", &mut l.hosts, 1..=4096, doc("Hosts of the pool"));
            size(
                v,
                "inflight",
                &mut l.inflight,
                16..=1_000_000,
                doc("Requests in flight accounted for"),
            );
            size(
                v,
                "prefix_blocks",
                &mut l.prefix_blocks,
                64..=4_194_304,
                doc("Prefix blocks remembered"),
            );
            count(
                v,
                "host_inflight",
                &mut l.host_inflight,
                0..=1_000_000,
                doc("Requests in flight at one host, of this proxy and of those it hears; 0 for no limit"),
            );
            count(
                v,
                "pool_inflight",
                &mut l.pool_inflight,
                0..=1_000_000,
                doc("Requests in flight in the pool, of this proxy and of those it hears; 0 for no limit"),
            );
        },
    );
    admission::declare(c, v);
    reuse::declare(&mut c.reuse, v);
}
