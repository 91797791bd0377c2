//! What goes into an engine and what comes out.

use super::Prompt;

/// A request as the engine sees it.
#[derive(Clone, Debug)]
pub struct Job {
    /// Caller's identifier, unique among the jobs in the engine.
    pub id: u64,
    /// The prompt.
    pub prompt: Prompt,
    /// Tokens to generate, at least 1; the model never stops early (`ignore_eos`).
    pub output_tokens: u32,
}

/// What a step did for one sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// The job.
    pub id: u64,
    /// Ordinal of the token from 1: 1 is the first token of the answer.
    pub ordinal: u32,
    /// Whether the sequence ended with this token.
    pub last: bool,
    /// Prompt tokens that the prefix cache gave at first admission.
    pub cached_tokens: u32,
}

/// Why a job cannot be accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong {
    /// Prompt and output together, in tokens.
    pub tokens: u64,
    /// KV capacity in tokens.
    pub capacity: u64,
}

/// Running totals since the engine started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Microseconds spent in steps.
    pub busy_micros: u64,
    /// Steps ended.
    pub steps: u64,
    /// Jobs accepted.
    pub accepted: u64,
    /// Jobs ended by their last token.
    pub finished: u64,
    /// Jobs cancelled.
    pub cancelled: u64,
    /// Sequences put back to the queue for want of KV blocks.
    pub preemptions: u64,
    /// Prompt tokens of first admissions (vLLM's `prefix_cache_queries`).
    pub prompt_tokens: u64,
    /// Those that the prefix cache gave (vLLM's `prefix_cache_hits`).
    pub cached_tokens: u64,
    /// Prompt tokens computed, recomputation included.
    pub computed_tokens: u64,
    /// Tokens generated.
    pub output_tokens: u64,
}
