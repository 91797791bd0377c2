//! Names that the module shares with the proxy's configuration, with engines and with operators.

use alloc::{string::String, vec::Vec};

/// Ranked list `ip:port,ip:port,ip:port`, best first, that Envoy's `override_host` policy walks (endpoint-picker protocol).
pub const PICK: &str = "x-gateway-destination-endpoint";
/// How long one try may take before Envoy begins the next one beside it, in milliseconds. Envoy takes it off.
pub const PER_TRY: &str = "x-envoy-upstream-rq-per-try-timeout-ms";
/// Endpoint that the poll cluster (`ORIGINAL_DST`) connects to.
pub const POLL_TARGET: &str = "x-plimsoll-poll-target";
/// A client asks for the decision with `1`.
pub const EXPLAIN: &str = "x-plimsoll-explain";
/// Response header with the compact decision.
pub const DECISION: &str = "x-plimsoll-decision";
/// Response header of an answer that another request got: `hit` or `coalesced`.
pub const REUSED: &str = "x-plimsoll-cache";
/// Property that becomes the filter state `wasm.plimsoll_decision`, for access logs.
pub const DECISION_PROPERTY: &str = "plimsoll_decision";

/// Property that becomes the filter state `wasm.plimsoll_usage`, for access logs.
pub const USAGE_PROPERTY: &str = "plimsoll_usage";
/// Property that becomes the filter state `wasm.plimsoll_record`, for access logs.
pub const RECORD_PROPERTY: &str = "plimsoll_record";

/// Request headers that name a host. A client's copy would choose a host, or reach one it must not, so it never passes.
pub const HOSTILE: [&str; 5] = [
    PICK,
    "x-gateway-destination-endpoint-subset",
    "x-gateway-destination-endpoint-served",
    POLL_TARGET,
    "x-envoy-original-dst-host",
];

/// `root_id` of the collector (Envoy singleton service).
pub const COLLECTOR_ROOT: &str = "plimsoll_collector";
/// `root_id` of what answers other proxies.
pub const EXCHANGE_ROOT: &str = "plimsoll_exchange";
/// What other proxies ask it for.
pub const EXCHANGE_PATH: &str = "/plimsoll/exchange";
/// `root_id` of the gate (Envoy upstream HTTP filter); every other `root_id` is a filter.
pub const GATE_ROOT: &str = "plimsoll_gate";

/// Shared-data keys of one pool. The prefix works as a zone name in nginx.
#[derive(Clone, Debug)]
pub struct Keys {
    /// The snapshot that the collector writes.
    pub snapshot: String,
    /// Who collects when the collector does not.
    pub lease: String,
    /// What the workers of this proxy do, for other proxies.
    pub proxy: String,
    /// What other proxies do, for the workers of this one.
    pub others: String,
    slots: Numbered,
    tenants: Numbered,
}

/// Keys that differ in their last part, each built once and then used by every tick.
#[derive(Clone, Debug)]
struct Numbered {
    prefix: String,
    keys: Vec<String>,
}

impl Numbered {
    fn new(parts: &[&str]) -> Self {
        Self {
            prefix: parts.concat(),
            keys: Vec::new(),
        }
    }

    fn get(&mut self, number: usize) -> &str {
        while self.keys.len() <= number {
            let mut key = self.prefix.clone();
            push_decimal(&mut key, self.keys.len() as u64);
            self.keys.push(key);
        }
        self.keys.get(number).map_or("", String::as_str)
    }
}

impl Keys {
    /// Keys of `pool`.
    #[must_use]
    pub fn new(pool: &str) -> Self {
        let prefix = ["plimsoll/", pool].concat();
        Self {
            snapshot: [&prefix, "/snapshot"].concat(),
            lease: [&prefix, "/lease"].concat(),
            proxy: [&prefix, "/proxy"].concat(),
            others: [&prefix, "/others"].concat(),
            slots: Numbered::new(&[&prefix, "/worker/"]),
            tenants: Numbered::new(&[&prefix, "/tenants/"]),
        }
    }

    /// Key of worker slot `slot`.
    pub fn slot(&mut self, slot: usize) -> &str {
        self.slots.get(slot)
    }

    /// Key of what the worker in `slot` says of its tenants.
    pub fn tenants(&mut self, slot: usize) -> &str {
        self.tenants.get(slot)
    }
}

/// Appends `value` in decimal. `format!` costs code size and time that the request path need not pay.
pub fn push_decimal(text: &mut String, value: u64) {
    if value >= 10 {
        push_decimal(text, value / 10);
    }
    text.push(char::from(b'0' + (value % 10) as u8));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_a_pool() {
        let mut keys = Keys::new("llama");
        assert_eq!(keys.snapshot, "plimsoll/llama/snapshot");
        assert_eq!(keys.lease, "plimsoll/llama/lease");
        assert_eq!(keys.slot(12), "plimsoll/llama/worker/12");
        assert_eq!(keys.slot(0), "plimsoll/llama/worker/0");
        assert_eq!(keys.tenants(1), "plimsoll/llama/tenants/1");
    }

    #[test]
    fn decimals() {
        let mut text = String::new();
        push_decimal(&mut text, 0);
        text.push(' ');
        push_decimal(&mut text, u64::MAX);
        assert_eq!(text, "0 18446744073709551615");
    }
}
