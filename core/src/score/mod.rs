//! The score: predicted microseconds that a request costs on a host, itself and the others together.
//!
//! # Formula (research/routing-lab.md section 3; lower is better)
//! `a * [ q * (1 + crowding * N) + w * (prefill + stall * N) ] + kv_pressure * e2e * max(0, kv - kv_limit)`
//!
//! - `a`: learned microseconds of prefill a token. `w`: this request's uncached prompt tokens there.
//! - `q`: uncached tokens queued there: ours without a first token, exactly, and the other proxies' waiting requests times the mean `w`.
//! - `N`: requests there: ours exactly, and the others' as the engine last reported.
//! - `kv`: KV-cache utilisation after admitting this request. `e2e`: mean time of a request there.
//! - Reading: `stall * N * w` is the pause a prefill imposes on running streams; `prefill` above 1 prices the cache that is lost for
//!   later requests; `crowding * N * q` balances prefill queues.
//!
//! # Inputs
//! The fleet, the matched prefix of each host, the home's credit.
//!
//! # Limits
//! Expected decode time is not a term: exact output lengths gain 2 % at most (research/routing-lab.md section 5). A cache hit of the whole
//! prompt still costs [`LEAST_TOKENS`], since engines recompute at least a block.

use crate::config::Weights;
use crate::cost::Estimate;
use crate::fixed::{self, ONE};
use crate::host::{Host, Polled};
use crate::time::{Instant, Micros};

/// Tokens that are prefilled even on a full hit.
pub const LEAST_TOKENS: u64 = 16;
/// A token gap longer than this says that others' prefills are queued there.
const SLOW_GAP: Micros = Micros::from_millis(60);
/// How much of a gap is assumed to be queued.
const GAP_FACTOR: u64 = 4;

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
    /// `w`: own tokens to be prefilled.
    pub uncached_tokens: u64,
    /// `q`: tokens queued before them.
    pub queued_tokens: u64,
    /// `N`: requests there.
    pub requests: u32,
}

/// What is the same for every host of one decision.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Weights of the terms.
    pub weights: &'a Weights,
    /// What the request is expected to cost.
    pub estimate: Estimate,
    /// Mean uncached tokens of a request.
    pub mean_uncached: u64,
    /// Share of load (Q16) that other proxies sent; the token clock only tells of theirs.
    pub foreign: u64,
    /// Whether the engines' counters may be believed (ladder step `full`).
    pub polled: bool,
    /// Age from which one engine's counters are no longer believed.
    pub stale_after: Micros,
    /// The moment of decision.
    pub now: Instant,
}

/// Uncached tokens queued on `host`.
fn queued(context: &Context<'_>, host: &Host, polled: Option<&Polled>) -> u64 {
    let ours = host
        .own
        .queued_tokens
        .saturating_add(host.peers.queued_tokens);
    let Some(polled) = polled else {
        return ours;
    };
    let others = u64::from(polled.waiting.saturating_sub(host.at_poll.prefilling));
    let queued = ours.saturating_add(fixed::mul(others, context.mean_uncached));
    let (gap, seen) = host.gap;
    if context.foreign > 0 && gap > SLOW_GAP && context.now.since(seen) < gap.times(GAP_FACTOR) {
        let implied = fixed::mul_div(gap.times(GAP_FACTOR).get(), ONE, host.speed.per_token);
        return queued.max(fixed::mul_q16(implied, context.foreign));
    }
    queued
}

/// KV-cache utilisation (Q16) of `host` above the limit, with this request admitted.
fn kv_excess(context: &Context<'_>, host: &Host, polled: Option<&Polled>) -> u64 {
    let Some(polled) = polled else {
        return 0;
    };
    let (used, limit) = (u64::from(polled.kv_used_q16), context.weights.kv_limit);
    let capacity = polled.kv_capacity_tokens;
    if capacity == 0 {
        return used.saturating_sub(limit);
    }
    let ours = host.own.kv_tokens.saturating_add(host.peers.kv_tokens);
    let sent_since = ours.saturating_sub(host.at_poll.kv_tokens);
    let this = context
        .estimate
        .prompt_tokens
        .saturating_add(context.estimate.output_tokens / 2);
    let added = sent_since.saturating_add(this);
    // Nearly always there is room, and comparing products spares the division of the ratio.
    if used <= limit && fixed::mul(added, ONE) <= fixed::mul(limit - used, capacity) {
        return 0;
    }
    used.saturating_add(fixed::ratio(added, capacity))
        .saturating_sub(limit)
}

/// Scores `host` for a request of which `cached` tokens are expected in its cache.
pub fn score(context: &Context<'_>, host: &Host, cached: u64) -> Terms {
    let weights = context.weights;
    // The engine's counters, where they may be believed.
    let polled = host
        .polled
        .as_ref()
        .filter(|polled| context.polled && context.now.since(polled.at) <= context.stale_after);
    let uncached_tokens = context
        .estimate
        .prompt_tokens
        .saturating_sub(cached)
        .max(LEAST_TOKENS);
    let queued_tokens = queued(context, host, polled);
    let requests = host
        .ours()
        .saturating_add(polled.map_or(0, |_| host.others()));
    let n = u64::from(requests);
    let per_token = host.speed.per_token;
    // Token counts are far below 2^40 and `a` below 2^32, so these products seldom leave 64 bits; they saturate if they do.
    let own = fixed::mul_q16(uncached_tokens, per_token);
    let queue = fixed::mul_q16(queued_tokens, per_token);
    let wait = fixed::mul_q16(queue, ONE.saturating_add(fixed::mul(weights.crowding, n)));
    let prefill = fixed::mul_q16(own, weights.prefill);
    let stall = fixed::mul_q16(own, fixed::mul(weights.stall, n));
    let over = kv_excess(context, host, polled);
    let kv = if over == 0 {
        0
    } else {
        fixed::mul_q16(fixed::mul_q16(host.speed.e2e, over), weights.kv_pressure)
    };
    let total = wait
        .saturating_add(prefill)
        .saturating_add(stall)
        .saturating_add(kv);
    Terms {
        total,
        wait,
        prefill,
        stall,
        kv,
        uncached_tokens,
        queued_tokens,
        requests,
    }
}

#[cfg(test)]
mod tests;
