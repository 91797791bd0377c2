//! The metrics without a host label: their numbers and their names.

use crate::host::Metric;

/// Metrics without a host label. The order is that of `DEFINITIONS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Id {
    /// Requests that reached the filter.
    Requests,
    /// Decisions with all signals.
    StepFull,
    /// Decisions on own work and prefixes: the snapshot is too old.
    StepLocal,
    /// Decisions by rendezvous hash: no facts.
    StepHash,
    /// Requests left to the proxy's own policy.
    StepProxy,
    /// Requests answered by another host than the first choice.
    Rebooked,
    /// Requests that the client abandoned.
    Aborted,
    /// Requests that failed at the engine or on the way.
    Failed,
    /// Prompt tokens as reported by the engines.
    PromptTokens,
    /// Prompt tokens that came from a prefix cache, as reported by the engines.
    CachedTokens,
    /// Prompt tokens predicted to come from a prefix cache.
    PredictedCachedTokens,
    /// Tokens generated, as reported by the engines.
    CompletionTokens,
    /// Polls that brought facts.
    PollsOk,
    /// Polls that failed, for any reason.
    PollsError,
    /// Snapshots taken over by this worker.
    SnapshotsApplied,
    /// Snapshots refused as damaged or of another layout.
    SnapshotsRejected,
    /// Times a worker began to collect because the collector did not.
    LeaseTaken,
    /// Configurations accepted.
    ConfigAccepted,
    /// Configurations refused.
    ConfigRejected,
    /// Hosts known.
    Hosts,
    /// Age of the snapshot in milliseconds.
    SnapshotAgeMs,
    /// Time of one decision in nanoseconds.
    DecisionNs,
    /// Time from request headers to the first output token in microseconds.
    TtftUs,
    /// Time from request headers to the end in microseconds.
    E2eUs,
    /// Hosts beyond `limits.hosts`.
    OverflowHosts,
    /// Requests beyond `limits.inflight`: served, but not accounted for.
    OverflowInflight,
    /// Prefix blocks that were forgotten for lack of room.
    OverflowBlocks,
    /// Prefix blocks of other workers that were overwritten before they were read.
    OverflowShare,
    /// Requests for which the shadow policy would have chosen the same host.
    ShadowAgreed,
    /// Requests for which it would have chosen another.
    ShadowDisagreed,
    /// Microseconds that its choices would have cost more, by the weights in force.
    ShadowRegretUs,
    /// Microseconds that its choices would have cost less, by its own weights.
    ShadowGainUs,
    /// Hosts ejected for failures in a row.
    EjectedConsecutive,
    /// Hosts ejected for failing more than the fleet.
    EjectedErrorRate,
    /// Hosts ejected for their silence.
    EjectedStall,
    /// Hosts ejected again because a probe failed.
    EjectedProbe,
    /// Hosts ejected because another worker did.
    EjectedPeer,
    /// Hosts that would have been ejected but for the cap.
    EjectedCapped,
    /// Hosts that a probe has shown to be well again.
    Recoveries,
    /// Streams silent for longer than their host ever is.
    Stalls,
    /// Times that the clock, or the worker, lost seconds.
    ClockJumps,
    /// Hosts that are ejected.
    Ejected,
    /// Small completions that kept hosts warm.
    Warmups,
    /// Worker states made from nothing: a start or a reload of a VM.
    WorkerStarts,
    /// Other proxies that told something new.
    ExchangesOk,
    /// Other proxies that did not answer, or had nothing to tell.
    ExchangesError,
    /// Answers that are no share, or one of another layout.
    ExchangesRefused,
    /// Other proxies that are heard.
    Peers,
    /// Age of the oldest of what they said, in milliseconds.
    PeersAgeMs,
    /// Requests that wait.
    Queued,
    /// Tokens that requests have reserved and not yet settled.
    ReservedTokens,
    /// Time that a request waited in microseconds.
    QueueWaitUs,
    /// Requests answered by an answer that was kept.
    ReuseHit,
    /// Requests answered by the answer to another one under way.
    ReuseCoalesced,
    /// Requests that were sent so that others can share their answers.
    ReuseLed,
    /// Requests that followed another and went themselves.
    ReuseLetGo,
}

/// Where what did not fit into a fixed table is counted, in the order of `Router::overflows`.
pub const OVERFLOWS: [Id; 4] = [
    Id::OverflowHosts,
    Id::OverflowInflight,
    Id::OverflowBlocks,
    Id::OverflowShare,
];

/// Where events of hosts' health are counted, in the order of [`plimsoll_core::health::Events::counts`].
pub const HEALTH: [Id; 9] = [
    Id::EjectedConsecutive,
    Id::EjectedErrorRate,
    Id::EjectedStall,
    Id::EjectedProbe,
    Id::EjectedPeer,
    Id::EjectedCapped,
    Id::Recoveries,
    Id::Stalls,
    Id::ClockJumps,
];

pub(super) const DEFINITIONS: [(Id, Metric, &str); 56] = [
    (Id::Requests, Metric::Counter, "plimsoll_requests"),
    (
        Id::StepFull,
        Metric::Counter,
        "plimsoll_decisions.step=full",
    ),
    (
        Id::StepLocal,
        Metric::Counter,
        "plimsoll_decisions.step=local",
    ),
    (
        Id::StepHash,
        Metric::Counter,
        "plimsoll_decisions.step=hash",
    ),
    (
        Id::StepProxy,
        Metric::Counter,
        "plimsoll_decisions.step=proxy",
    ),
    (Id::Rebooked, Metric::Counter, "plimsoll_rebooked"),
    (Id::Aborted, Metric::Counter, "plimsoll_aborted"),
    (Id::Failed, Metric::Counter, "plimsoll_failed"),
    (Id::PromptTokens, Metric::Counter, "plimsoll_prompt_tokens"),
    (Id::CachedTokens, Metric::Counter, "plimsoll_cached_tokens"),
    (
        Id::PredictedCachedTokens,
        Metric::Counter,
        "plimsoll_predicted_cached_tokens",
    ),
    (
        Id::CompletionTokens,
        Metric::Counter,
        "plimsoll_completion_tokens",
    ),
    (Id::PollsOk, Metric::Counter, "plimsoll_polls.result=ok"),
    (
        Id::PollsError,
        Metric::Counter,
        "plimsoll_polls.result=error",
    ),
    (
        Id::SnapshotsApplied,
        Metric::Counter,
        "plimsoll_snapshots.result=applied",
    ),
    (
        Id::SnapshotsRejected,
        Metric::Counter,
        "plimsoll_snapshots.result=rejected",
    ),
    (Id::LeaseTaken, Metric::Counter, "plimsoll_lease_taken"),
    (
        Id::ConfigAccepted,
        Metric::Counter,
        "plimsoll_config.result=accepted",
    ),
    (
        Id::ConfigRejected,
        Metric::Counter,
        "plimsoll_config.result=rejected",
    ),
    (Id::Hosts, Metric::Gauge, "plimsoll_hosts"),
    (Id::SnapshotAgeMs, Metric::Gauge, "plimsoll_snapshot_age_ms"),
    (Id::DecisionNs, Metric::Histogram, "plimsoll_decision_ns"),
    (Id::TtftUs, Metric::Histogram, "plimsoll_ttft_us"),
    (Id::E2eUs, Metric::Histogram, "plimsoll_e2e_us"),
    (
        Id::OverflowHosts,
        Metric::Counter,
        "plimsoll_overflows.reason=hosts",
    ),
    (
        Id::OverflowInflight,
        Metric::Counter,
        "plimsoll_overflows.reason=inflight",
    ),
    (
        Id::OverflowBlocks,
        Metric::Counter,
        "plimsoll_overflows.reason=prefix_blocks",
    ),
    (
        Id::OverflowShare,
        Metric::Counter,
        "plimsoll_overflows.reason=share",
    ),
    (Id::ShadowAgreed, Metric::Counter, "plimsoll_shadow_agreed"),
    (
        Id::ShadowDisagreed,
        Metric::Counter,
        "plimsoll_shadow_disagreed",
    ),
    (
        Id::ShadowRegretUs,
        Metric::Counter,
        "plimsoll_shadow_regret_us",
    ),
    (Id::ShadowGainUs, Metric::Counter, "plimsoll_shadow_gain_us"),
    (
        Id::EjectedConsecutive,
        Metric::Counter,
        "plimsoll_ejections.reason=consecutive",
    ),
    (
        Id::EjectedErrorRate,
        Metric::Counter,
        "plimsoll_ejections.reason=error_rate",
    ),
    (
        Id::EjectedStall,
        Metric::Counter,
        "plimsoll_ejections.reason=stall",
    ),
    (
        Id::EjectedProbe,
        Metric::Counter,
        "plimsoll_ejections.reason=probe",
    ),
    (
        Id::EjectedPeer,
        Metric::Counter,
        "plimsoll_ejections.reason=peer",
    ),
    (
        Id::EjectedCapped,
        Metric::Counter,
        "plimsoll_ejections.reason=capped",
    ),
    (Id::Recoveries, Metric::Counter, "plimsoll_recoveries"),
    (Id::Stalls, Metric::Counter, "plimsoll_stalls"),
    (Id::ClockJumps, Metric::Counter, "plimsoll_clock_jumps"),
    (Id::Ejected, Metric::Gauge, "plimsoll_ejected"),
    (Id::Warmups, Metric::Counter, "plimsoll_warmups"),
    (Id::WorkerStarts, Metric::Counter, "plimsoll_worker_starts"),
    (
        Id::ExchangesOk,
        Metric::Counter,
        "plimsoll_exchanges.result=ok",
    ),
    (
        Id::ExchangesError,
        Metric::Counter,
        "plimsoll_exchanges.result=error",
    ),
    (
        Id::ExchangesRefused,
        Metric::Counter,
        "plimsoll_exchanges.result=refused",
    ),
    (Id::Peers, Metric::Gauge, "plimsoll_peers"),
    (Id::PeersAgeMs, Metric::Gauge, "plimsoll_peers_age_ms"),
    (Id::Queued, Metric::Gauge, "plimsoll_queued"),
    (
        Id::ReservedTokens,
        Metric::Gauge,
        "plimsoll_reserved_tokens",
    ),
    (Id::QueueWaitUs, Metric::Histogram, "plimsoll_queue_wait_us"),
    (Id::ReuseHit, Metric::Counter, "plimsoll_reuse.result=hit"),
    (
        Id::ReuseCoalesced,
        Metric::Counter,
        "plimsoll_reuse.result=coalesced",
    ),
    (Id::ReuseLed, Metric::Counter, "plimsoll_reuse.result=led"),
    (
        Id::ReuseLetGo,
        Metric::Counter,
        "plimsoll_reuse.result=let_go",
    ),
];
