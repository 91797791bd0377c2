//! The score: predicted microseconds that a request costs on a host, itself and the others together.
//!
//! # Formula (research/routing-lab.md section 3; lower is better)
//! `(a * [ q + (q + d) * crowding * N + w * (prefill + stall * N) ] + kv_pressure * e2e * max(0, kv - kv_limit)) * (1 + faults)`
//!
//! - `a`: learned microseconds of prefill a token. `w`: this request's uncached prompt tokens there.
//! - `q`: uncached tokens queued there and left to be computed: ours without a first token, and the other proxies' waiting requests times
//!   the mean `w`. `d`: what must be computed by now of a prefill of ours that is under way.
//! - `N`: requests there: ours exactly, and the others' as the engine last reported.
//! - `kv`: KV-cache utilisation after admitting this request. `e2e`: mean time of a request there.
//! - `faults`: attempts that fail there before one succeeds, by how the last ones ended: what fails at once is not fast.
//! - `N` and `q` of a host that starts slowly count as `N / r` and `q / r` at its share `r`.
//! - Reading: `stall * N * w` is the pause a prefill imposes on running streams; `prefill` above 1 prices the cache that is lost for
//!   later requests; `crowding * N * q` balances prefill queues.
//!
//! # Inputs
//! [`Inputs`]: a few integers of every host, gathered from the fleet, the matched prefix and the home's credit.
//!
//! # Limits
//! Expected decode time is not a term: exact output lengths gain 2 % at most (research/routing-lab.md section 5). A cache hit of the whole
//! prompt still costs [`LEAST_TOKENS`], since engines recompute at least a block.

mod inputs;
#[cfg(test)]
mod tests;

use crate::config::Weights;
use crate::fixed;
pub use inputs::{Context, Inputs, gather};

/// Tokens that are prefilled even on a full hit.
pub const LEAST_TOKENS: u64 = 16;

/// The terms of one host's score.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// Sum of the terms, microseconds.
    pub total: u64,
    /// Waiting for what is queued there.
    pub wait: u64,
    /// Own prefill.
    pub prefill: u64,
    /// Stall imposed on what runs there.
    pub stall: u64,
    /// KV pressure.
    pub kv: u64,
    /// Attempts that will fail, by how the last ones there ended.
    pub fault: u64,
    /// `w`: own tokens to be prefilled.
    pub uncached_tokens: u64,
    /// `q`: tokens queued before them.
    pub queued_tokens: u64,
    /// `N`: requests there.
    pub requests: u32,
}

/// Scores a host for a request of `prompt_tokens`. It looks at nothing but its arguments, so that a recorded decision can be made again.
// In the loop over all hosts: see `Hosts::inputs` of the fleet.
#[inline(always)]
pub fn score(weights: &Weights, prompt_tokens: u64, inputs: &Inputs) -> Terms {
    let uncached_tokens = inputs.uncached_tokens(prompt_tokens);
    let mut n = u64::from(inputs.requests);
    let mut queued_tokens = inputs.queued_tokens;
    if inputs.restraint > 0 {
        n = n.saturating_add(fixed::mul_q16(n, inputs.restraint));
        let more = fixed::mul_q16(queued_tokens, inputs.restraint);
        queued_tokens = queued_tokens.saturating_add(more);
    }
    let per_token = inputs.per_token;
    // Token counts are far below 2^40 and `a` below 2^32, so these products seldom leave 64 bits; they saturate if they do.
    let own = fixed::mul_q16(uncached_tokens, per_token);
    let queue = fixed::mul_q16(queued_tokens, per_token);
    // Nobody waits for what is computed; but streams beside it have stood still for it, and are not to stand still for the next one at once.
    let whole = match inputs.done_tokens {
        0 => queue,
        done => fixed::mul_q16(queued_tokens.saturating_add(done), per_token),
    };
    let crowd = fixed::mul_q16(whole, fixed::mul(weights.crowding, n));
    let wait = queue.saturating_add(crowd);
    let prefill = fixed::mul_q16(own, weights.prefill);
    let stall = fixed::mul_q16(own, fixed::mul(weights.stall, n));
    let over = inputs.kv_excess(weights.kv_limit);
    let kv = if over == 0 {
        0
    } else {
        fixed::mul_q16(fixed::mul_q16(inputs.e2e, over), weights.kv_pressure)
    };
    let time = wait
        .saturating_add(prefill)
        .saturating_add(stall)
        .saturating_add(kv);
    let fault = if inputs.faults == 0 {
        0
    } else {
        fixed::mul_q16(time, inputs.faults)
    };
    let total = time.saturating_add(fault);
    Terms {
        total,
        wait,
        prefill,
        stall,
        kv,
        fault,
        uncached_tokens,
        queued_tokens: inputs.queued_tokens,
        requests: inputs.requests,
    }
}
