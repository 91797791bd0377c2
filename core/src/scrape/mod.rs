//! Engine metrics pages (Prometheus text) to facts.

/// What an engine says of itself. 0 means unknown in the fields that say so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EngineFacts {
    /// Requests in the running batch.
    pub running: u32,
    /// Requests queued in the engine.
    pub waiting: u32,
    /// KV-cache utilisation in Q16: 65,536 is full.
    pub kv_used_q16: u32,
    /// KV-cache size in tokens; 0 unknown.
    pub kv_capacity_tokens: u64,
    /// Tokens of one KV-cache block; 0 unknown.
    pub block_tokens: u32,
    /// Prompt tokens looked up in the prefix cache since the engine started.
    pub prefix_queries: u64,
    /// Prompt tokens found there.
    pub prefix_hits: u64,
    /// Hash ([`crate::hash::key`]) of the served model's name; 0 unknown.
    pub model: u64,
}
