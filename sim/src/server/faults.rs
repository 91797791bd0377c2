//! Faults that a test asks an engine to show.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

/// Faults in force on one engine.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Faults {
    /// Connections are refused and the open ones cut, as if the process were gone.
    pub(super) refuse: bool,
    /// Requests whose target begins with this are read and never answered; empty: all of them.
    pub(super) hang: Option<Arc<str>>,
    /// Completions answer 500.
    pub(super) error500: bool,
    /// Steps take this many times longer.
    pub(super) slow: Option<f64>,
    /// 0: the engine makes no steps; else: each stream falls silent after this many tokens.
    pub(super) stall: Option<u32>,
    /// The metrics page carries the line on which a collector built with test hooks traps.
    pub(super) trap: bool,
    /// Each stream's connection is cut after this many tokens; 0: before the response head.
    pub(super) close: Option<u32>,
}

/// Which fault.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Refuse,
    Hang,
    Error500,
    Slow,
    Stall,
    Close,
    Trap,
    /// Ends every fault.
    Clear,
}

/// Body of `POST /faults`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Order {
    pub(super) kind: Kind,
    /// For `slow`: at least 1; 10 when absent.
    factor: Option<f64>,
    /// For `hang`: only requests whose path and query begin with this.
    path: Option<String>,
    /// For `stall` and `close`.
    after_tokens: Option<u32>,
    /// Wall-clock milliseconds until the fault ends by itself; absent: until cleared.
    for_ms: Option<u64>,
    /// `ip:port` of the engine meant, when not the one asked: a refusing engine can only be cleared through a sibling.
    pub(super) host: Option<String>,
    /// Ends this kind of fault instead of starting it.
    #[serde(default)]
    clear: bool,
}

impl Faults {
    /// Whether a request for `target` is left without an answer.
    pub(super) fn hangs(&self, target: &str) -> bool {
        self.hang
            .as_deref()
            .is_some_and(|path| target.starts_with(path))
    }
}

impl Order {
    /// How long the fault lasts.
    pub(super) fn lasts(&self) -> Option<Duration> {
        self.for_ms
            .filter(|_| !self.clear)
            .map(Duration::from_millis)
    }

    /// Starts (or, with `clear`, ends) the fault.
    pub(super) fn apply(&self, faults: &mut Faults) {
        if self.clear {
            end(self.kind, faults);
            return;
        }
        let after = self.after_tokens.unwrap_or(0);
        match self.kind {
            Kind::Refuse => faults.refuse = true,
            Kind::Hang => faults.hang = Some(self.path.as_deref().unwrap_or_default().into()),
            Kind::Error500 => faults.error500 = true,
            Kind::Slow => {
                faults.slow = Some(self.factor.filter(|factor| *factor >= 1.0).unwrap_or(10.0))
            }
            Kind::Stall => faults.stall = Some(after),
            Kind::Close => faults.close = Some(after),
            Kind::Trap => faults.trap = true,
            Kind::Clear => *faults = Faults::default(),
        }
    }
}

/// Ends one kind of fault.
pub(super) fn end(kind: Kind, faults: &mut Faults) {
    match kind {
        Kind::Refuse => faults.refuse = false,
        Kind::Hang => faults.hang = None,
        Kind::Error500 => faults.error500 = false,
        Kind::Slow => faults.slow = None,
        Kind::Stall => faults.stall = None,
        Kind::Close => faults.close = None,
        Kind::Trap => faults.trap = false,
        Kind::Clear => *faults = Faults::default(),
    }
}
