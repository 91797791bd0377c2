//! Labels and histogram buckets of the module's metrics.

use serde_json::{Value, json};

/// Labels that the module writes into a metric's name as `.label=value`.
///
/// `host` is last and takes the rest of the name, since an address has dots in it.
const LABELS: [&str; 3] = ["step", "reason", "result"];

/// Upper bounds in nanoseconds. The budget of a decision is 1,000.
const DECISION_NS: [u64; 12] = [
    500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000,
    10_000_000,
];

/// Upper bounds in microseconds, 1 ms to 10 minutes.
const LATENCY_US: [u64; 16] = [
    1_000,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
    30_000_000,
    60_000_000,
    300_000_000,
    600_000_000,
];

/// `stats_config` of the bootstrap.
pub(crate) fn config() -> Value {
    let mut tags: Vec<Value> = LABELS
        .iter()
        .map(|label| {
            tag(
                label,
                &format!(r"^wasmcustom\.plimsoll_.*?(\.{label}=([^.]+))"),
            )
        })
        .collect();
    tags.push(tag("host", r"^wasmcustom\.plimsoll_.*?(\.host=(.+))$"));
    json!({
        "stats_tags": tags,
        "histogram_bucket_settings": [
            buckets("wasmcustom.plimsoll_decision_ns", &DECISION_NS),
            buckets("wasmcustom.plimsoll_ttft_us", &LATENCY_US),
            buckets("wasmcustom.plimsoll_e2e_us", &LATENCY_US),
        ],
    })
}

fn tag(name: &str, regex: &str) -> Value {
    json!({"tag_name": name, "regex": regex})
}

fn buckets(prefix: &str, bounds: &[u64]) -> Value {
    json!({"match": {"prefix": prefix}, "buckets": bounds})
}
