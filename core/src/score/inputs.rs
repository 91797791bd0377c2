//! What the score reads of a host, as plain integers.
//!
//! A live decision gathers them, a decision record keeps them, and both hand them to the same [`super::score`].

use super::LEAST_TOKENS;
use crate::config::Health;
use crate::cost::Estimate;
use crate::fixed::{self, ONE};
use crate::host::{Host, Polled};
use crate::time::{Instant, Micros};

/// A token gap longer than this says that others' prefills are queued there.
const SLOW_GAP: Micros = Micros::from_millis(60);
/// How much of a gap is assumed to be queued.
const GAP_FACTOR: u64 = 4;

/// All that is known of one host for one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Inputs {
    /// Tokens of the prompt that the host is known to hold in its cache.
    pub known_tokens: u64,
    /// Tokens of the prompt that it is credited with as the prompt's home.
    pub credited_tokens: u64,
    /// `q`: uncached tokens queued there, less those that must be computed by now.
    pub queued_tokens: u64,
    /// The latter, of our own: tokens of a prefill that is under way.
    pub done_tokens: u64,
    /// `N`: requests there.
    pub requests: u32,
    /// `a`: prefill time of a token, microseconds, Q16.
    pub per_token: u64,
    /// Mean time of a request there, microseconds.
    pub e2e: u64,
    /// Share of its KV cache in use, Q16; 0 where its counters are not believed.
    pub kv_used: u64,
    /// KV tokens to be added to that: this request's, and what was sent there since.
    pub kv_added: u64,
    /// Size of its KV cache, tokens; 0 where unknown.
    pub kv_capacity: u64,
    /// By how much its requests and queued tokens count more than they are, Q16: it starts slowly ([`crate::health::Ramp`]).
    pub restraint: u64,
    /// Attempts that will fail before one succeeds, Q16, by how the last ones ended ([`crate::health::Health::faults`]).
    pub faults: u64,
}

impl Inputs {
    /// `w`: tokens of a prompt of `prompt_tokens` that have to be prefilled there.
    #[inline]
    pub fn uncached_tokens(&self, prompt_tokens: u64) -> u64 {
        let cached = self.known_tokens.saturating_add(self.credited_tokens);
        prompt_tokens.saturating_sub(cached).max(LEAST_TOKENS)
    }

    /// KV-cache utilisation (Q16) above `limit`, with this request admitted.
    #[inline]
    pub(super) fn kv_excess(&self, limit: u64) -> u64 {
        let (used, capacity) = (self.kv_used, self.kv_capacity);
        if capacity == 0 {
            return used.saturating_sub(limit);
        }
        // Nearly always there is room, and comparing products spares the division of the ratio.
        if used <= limit && fixed::mul(self.kv_added, ONE) <= fixed::mul(limit - used, capacity) {
            return 0;
        }
        used.saturating_add(fixed::ratio(self.kv_added, capacity))
            .saturating_sub(limit)
    }
}

/// What is the same for every host of one decision.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
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
    /// What joining and failing hosts are held to.
    pub health: &'a Health,
    /// The moment of decision.
    pub now: Instant,
}

/// Uncached tokens queued on `host` and left to be computed.
#[inline]
fn queued(context: &Context<'_>, host: &Host, polled: Option<&Polled>) -> u64 {
    let ours = host.queued();
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

/// KV tokens that will be on `host` beyond what its last poll counted, with this request admitted. What is `queued` will be there when it is
/// computed; an engine takes blocks as it goes.
#[inline]
fn kv_added(context: &Context<'_>, host: &Host, queued: u64) -> u64 {
    let ours = host.own.kv_tokens.saturating_add(host.peers.kv_tokens);
    let sent_since = ours.saturating_sub(host.at_poll.kv_tokens);
    let this = context
        .estimate
        .prompt_tokens
        .saturating_add(context.estimate.output_tokens / 2);
    sent_since.max(queued).saturating_add(this)
}

/// Gathers what is known of `host` for a request of which it is known to hold `known_tokens`, and credited with `credited_tokens`.
// In the loop over all hosts, where half of what it returns is not read.
#[inline(always)]
pub fn gather(
    context: &Context<'_>,
    host: &Host,
    known_tokens: u64,
    credited_tokens: u64,
) -> Inputs {
    // The engine's counters, where they may be believed.
    let polled = host
        .polled
        .as_ref()
        .filter(|polled| context.polled && context.now.since(polled.at) <= context.stale_after);
    let others = polled.map_or(0, |_| host.others());
    let queued = queued(context, host, polled);
    Inputs {
        known_tokens,
        credited_tokens,
        queued_tokens: queued,
        done_tokens: host.done,
        requests: host.ours().saturating_add(others),
        per_token: host.speed.per_token,
        e2e: host.speed.e2e,
        kv_used: polled.map_or(0, |polled| u64::from(polled.kv_used_q16)),
        kv_added: polled.map_or(0, |_| kv_added(context, host, queued)),
        kv_capacity: polled.map_or(0, |polled| polled.kv_capacity_tokens),
        restraint: host.health.ramp.restraint(context.now, context.health),
        faults: host.health.faults(context.now, context.health),
    }
}
