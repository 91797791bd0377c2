//! The part of the configuration that says when hosts are trusted, and what the collector does to find out.

use alloc::string::String;

use super::declare::{Visitor, count, doc, millis};
use crate::fixed;
use crate::time::Micros;

/// Checks of the collector's own, beside the polls: for a fleet that nobody else checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checks {
    /// Path that answers 200 when the host is well.
    pub path: String,
    /// Mean interval between checks of one host; zero for none, and then polls tell whether a host is well.
    pub every: Micros,
}

impl Default for Checks {
    fn default() -> Self {
        Self {
            path: "/health".into(),
            every: Micros::ZERO,
        }
    }
}

/// Small completions that the collector sends, so that hosts are warm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warmup {
    /// So many before a host that joins or comes back gets its first request; 0 for none.
    pub requests: u32,
    /// A host that has been idle for so long gets one; zero for none.
    pub keep_warm: Micros,
    /// Path they are posted to.
    pub path: String,
    /// What is posted.
    pub body: String,
    /// After this long without an answer one has failed.
    pub timeout: Micros,
}

impl Default for Warmup {
    fn default() -> Self {
        Self {
            requests: 0,
            keep_warm: Micros::ZERO,
            path: "/v1/completions".into(),
            body: r#"{"prompt":"Plimsoll","max_tokens":1}"#.into(),
            timeout: Micros::from_millis(10_000),
        }
    }
}

/// When a host is trusted with requests ([`crate::health`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Failures in a row that open a host's breaker at once.
    pub consecutive_failures: u32,
    /// Share of failures (Q16) in the window from which a host is an outlier, if the rest of the fleet fails much less.
    pub error_rate: u64,
    /// Requests in the window from which a share means something.
    pub min_requests: u32,
    /// Length of the window.
    pub window: Micros,
    /// First open phase of a breaker.
    pub open: Micros,
    /// Longest open phase, jitter apart; after as long without a failure the back-off starts afresh.
    pub max_open: Micros,
    /// Requests at once that one worker sends to a half-open host.
    pub probes: u32,
    /// Share of the fleet (Q16) that breakers may eject.
    pub max_ejected: u64,
    /// Least silence of a host with work in hand that counts as a stall.
    pub stall: Micros,
    /// Length of the slow start of a host that answers; zero for none.
    pub slow_start: Micros,
    /// Exponent of the ramp: 1 is linear.
    pub slow_start_curve: u32,
}

impl Health {
    /// The longest open phase with its jitter.
    pub fn longest_open(&self) -> Micros {
        Micros::new(self.max_open.get().saturating_add(self.max_open.get() / 4))
    }
}

impl Default for Health {
    fn default() -> Self {
        Self {
            consecutive_failures: 5,
            error_rate: fixed::ONE * 3 / 10,
            min_requests: 10,
            window: Micros::from_millis(10_000),
            open: Micros::from_millis(1000),
            max_open: Micros::from_millis(60_000),
            probes: 1,
            max_ejected: fixed::ONE / 2,
            stall: Micros::from_millis(10_000),
            slow_start: Micros::from_millis(30_000),
            slow_start_curve: 1,
        }
    }
}

/// Shows the fields of `k` and `w` to `v`.
pub(super) fn declare_collector<V: Visitor>(k: &mut Checks, w: &mut Warmup, v: &mut V) {
    v.section(
        "checks",
        doc("Checks of the collector's own, beside the polls"),
        |v| {
            v.text(
                "path",
                &mut k.path,
                doc("Path that answers 200 when a host is well"),
            );
            millis(
                v,
                "every_ms",
                &mut k.every,
                0..=600_000,
                doc("Mean interval between checks of one host; 0 for none: polls tell"),
            );
        },
    );
    v.section(
        "warmup",
        doc("Small completions that the collector sends"),
        |v| {
            count(
                v,
                "requests",
                &mut w.requests,
                0..=1000,
                doc("So many before a host that joins or comes back gets traffic; 0 for none"),
            );
            millis(
                v,
                "keep_warm_ms",
                &mut w.keep_warm,
                0..=3_600_000,
                doc("An idle host gets one this often; 0 for never"),
            );
            v.text("path", &mut w.path, doc("Path they are posted to"));
            v.text("body", &mut w.body, doc("What is posted"));
            millis(
                v,
                "timeout_ms",
                &mut w.timeout,
                10..=600_000,
                doc("Time after which one has failed"),
            );
        },
    );
}

/// Shows the fields of `h` to `v`.
pub(super) fn declare<V: Visitor>(h: &mut Health, v: &mut V) {
    v.section("health", doc("When a host is trusted with requests"), |v| {
        count(
            v,
            "consecutive_failures",
            &mut h.consecutive_failures,
            1..=1000,
            doc("Failures in a row that eject a host"),
        );
        v.decimal(
            "error_rate",
            &mut h.error_rate,
            0..=1,
            doc("Share of failures that ejects a host, if it is three times the rest's"),
        );
        count(
            v,
            "min_requests",
            &mut h.min_requests,
            1..=1_000_000,
            doc("Requests in the window before a share counts"),
        );
        millis(
            v,
            "window_ms",
            &mut h.window,
            100..=600_000,
            doc("Length of the window of outcomes"),
        );
        millis(
            v,
            "open_ms",
            &mut h.open,
            10..=600_000,
            doc("First ejection of a host; doubles each time, with jitter"),
        );
        millis(
            v,
            "max_open_ms",
            &mut h.max_open,
            10..=3_600_000,
            doc("Longest ejection; after as long without one the next is a first again"),
        );
        count(
            v,
            "probes",
            &mut h.probes,
            1..=1000,
            doc("Requests at once that a worker tries an ejected host with"),
        );
        v.decimal(
            "max_ejected",
            &mut h.max_ejected,
            0..=1,
            doc("Share of the hosts that may be ejected at once"),
        );
        millis(
            v,
            "stall_ms",
            &mut h.stall,
            100..=3_600_000,
            doc("Silence with work in hand, at the least, that ejects a host"),
        );
        millis(
            v,
            "slow_start_ms",
            &mut h.slow_start,
            0..=3_600_000,
            doc("Ramp of a host that joins or recovers; 0 for none"),
        );
        count(
            v,
            "slow_start_curve",
            &mut h.slow_start_curve,
            1..=4,
            doc("Exponent of the ramp: 1 is linear"),
        );
    });
}
