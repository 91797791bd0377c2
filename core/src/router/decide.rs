//! One decision, from request to booking.

use super::{ASSUMED_KV_TOKENS, PassReason, Reason, Router, Verdict, fallback_key};
use crate::config::Policy;
use crate::cost::{CostClass, Estimate};
use crate::eligible;
use crate::explain::{Decision, Step};
use crate::fixed::{self, ONE};
use crate::inflight::Flight;
use crate::pick::{self, RANKS, Ranked};
use crate::policy::each;
use crate::prefix::{self, Homes};
use crate::request::{Block, Request};
use crate::score::{self, Context, Terms};
use crate::time::Instant;

/// A host takes new prefixes by hash up to this many times the mean load (Q16): rendezvous hashing with bounded load.
const BOUND: u64 = ONE * 5 / 4;

/// What a decision found, before it is booked.
struct Choice {
    ranked: Ranked,
    terms: [Terms; RANKS],
    known_tokens: u64,
    credited_tokens: u64,
}

impl Choice {
    /// A choice made without a score.
    fn unscored(ranked: Ranked) -> Self {
        Self {
            ranked,
            terms: [Terms::default(); RANKS],
            known_tokens: 0,
            credited_tokens: 0,
        }
    }
}

pub(super) fn decide(router: &mut Router, now: Instant, request: &Request<'_>) -> Verdict {
    if router.fleet.listed() == 0 {
        return Verdict::Pass(PassReason::NoHosts);
    }
    let (count, ruled_out) = eligible::mark(
        &router.fleet,
        request.model,
        now,
        &mut router.scratch.eligible,
    );
    if count == 0 {
        return if ruled_out.wrong_model > 0 {
            Verdict::Reject(Reason::NoHostForModel(ruled_out))
        } else {
            Verdict::Pass(PassReason::NoneEligible)
        };
    }
    let snapshot_age = router.snapshot_age(now);
    let step = step(router, now);
    let (estimate, class) = router.costs.estimate(request);
    let choice = match router.config.policy {
        Policy::Plimsoll if step == Step::Hash => by_hash(router, now, request),
        Policy::Plimsoll => by_score(router, now, request, step, estimate, class),
        classic => {
            let eligible = &router.scratch.eligible;
            let ranked =
                router
                    .classic
                    .choose(classic, &router.fleet, eligible, count, request.seed);
            Choice::unscored(ranked)
        }
    };
    let [best, ..] = choice.terms;
    let uncached_tokens = if best.uncached_tokens > 0 {
        best.uncached_tokens
    } else {
        estimate.prompt_tokens.max(score::LEAST_TOKENS)
    };
    let host = choice.ranked.first().unwrap_or_default();
    let flight = Flight {
        host: u16::try_from(host).unwrap_or(super::NOWHERE),
        stream: request.stream,
        prefilling: true,
        sent: now,
        last_token: now,
        tokens: 0,
        prompt_bytes: request.prompt_bytes,
        prompt_tokens: estimate.prompt_tokens,
        known_tokens: choice.known_tokens,
        credited_tokens: choice.credited_tokens,
        uncached_tokens,
        queued_tokens: best.queued_tokens,
        lesson: None,
        teaches: true,
        usage: None,
        kv_tokens: estimate
            .prompt_tokens
            .saturating_add(estimate.output_tokens / 2),
        class,
    };
    let ticket = router.inflight.begin(flight);
    if ticket != super::Ticket::NONE {
        router.book(&flight);
    }
    remember(router, now, request, &flight, estimate.output_tokens);
    Verdict::Forward(Decision {
        ticket,
        ranked: choice.ranked,
        step,
        terms: choice.terms,
        eligible: u16::try_from(count).unwrap_or(u16::MAX),
        ruled_out,
        prompt_tokens: estimate.prompt_tokens,
        cached_tokens: choice.known_tokens,
        output_tokens: estimate.output_tokens,
        output_error: estimate.output_error,
        snapshot_age,
        seed: request.seed,
        config: router.config.fingerprint,
    })
}

fn step(router: &Router, now: Instant) -> Step {
    let fresh = |stamp| now.since(stamp) <= router.config.stale_after;
    match router.snapshot {
        Some(snapshot) if snapshot.polled && fresh(snapshot.stamp) => Step::Full,
        _ if router.fleet.learned.samples > 0
            || router
                .fleet
                .hosts()
                .iter()
                .any(|host| host.speed.peers.samples > 0) =>
        {
            Step::Local
        }
        _ => Step::Hash,
    }
}

/// The first block of the prompt that few enough requests share to give it a home.
fn home_key(router: &Router, now: Instant, request: &Request<'_>) -> Option<u64> {
    let hosts = router.fleet.listed();
    let seconds = now.as_micros() / 1_000_000;
    keys(request).find(|key| router.index.is_rare(*key, hosts, seconds))
}

/// Keys of the request's blocks.
fn keys<'a>(request: &'a Request<'_>) -> impl Iterator<Item = u64> + 'a {
    request
        .blocks
        .iter()
        .map(|block| prefix::block_key(block.hash, request.model, request.salt))
}

fn home_of(router: &Router, key: u64) -> Option<usize> {
    let hosts = each(&router.scratch.eligible).filter_map(|index| {
        router
            .fleet
            .get(index)
            .map(|host| (index, host.key, host.speed.octave))
    });
    Homes::home_of(key, hosts)
}

fn by_hash(router: &Router, now: Instant, request: &Request<'_>) -> Choice {
    let key = home_key(router, now, request).unwrap_or_else(|| fallback_key(request.seed));
    let hosts = || {
        each(&router.scratch.eligible)
            .filter_map(|index| router.fleet.get(index).map(|host| (index, host)))
    };
    let (mut total, mut count) = (1u64, 0u64);
    for (_, host) in hosts() {
        total += u64::from(host.ours());
        count += 1;
    }
    let bound = fixed::mul_div(total, BOUND, count.saturating_mul(ONE)).saturating_add(1);
    let draws = hosts().map(|(index, host)| {
        let full = u64::from(host.ours()) >= bound;
        let draw = prefix::draw(key, host.key, host.speed.octave);
        (
            index,
            host.key,
            draw.saturating_add(if full { u64::MAX / 2 } else { 0 }),
        )
    });
    let ranked = pick::rank(draws, request.seed, 0);
    Choice::unscored(ranked)
}

fn by_score(
    router: &mut Router,
    now: Instant,
    request: &Request<'_>,
    step: Step,
    estimate: Estimate,
    class: CostClass,
) -> Choice {
    match_prefix(router, request);
    let foreign = router.fleet.foreign();
    let credit = router.homes.credit(estimate.prompt_tokens, foreign);
    let home = if credit == 0 {
        None
    } else {
        home_key(router, now, request).and_then(|key| home_of(router, key))
    };

    let Router {
        config,
        fleet,
        scratch,
        costs,
        mean_uncached,
        ..
    } = &mut *router;
    let context = Context {
        estimate,
        mean_uncached: *mean_uncached,
        foreign,
        polled: step == Step::Full,
        stale_after: config.stale_after,
        now,
    };
    let hashed_bytes = if request.blocks_complete {
        request.blocks.last().map_or(0, |b| u64::from(b.end))
    } else {
        request.prompt_bytes
    };
    let hashed_tokens = costs
        .tokens(class, hashed_bytes)
        .min(estimate.prompt_tokens);
    let cached_bytes = &scratch.cached_bytes;
    // Tokens known to be cached on a host, and those credited to it as the home.
    let expect = |index: usize| {
        let bytes = cached_bytes.get(index).copied().unwrap_or(0);
        let known = if bytes == 0 {
            0
        } else {
            costs.tokens(class, bytes).min(estimate.prompt_tokens)
        };
        let credited = if home == Some(index) {
            fixed::mul_q16(hashed_tokens.saturating_sub(known), credit)
        } else {
            0
        };
        (known, credited)
    };
    let terms_of = |index: usize| {
        let host = fleet.get(index)?;
        let (known, credited) = expect(index);
        let inputs = score::gather(&context, host, known, credited);
        let terms = score::score(&config.weights, estimate.prompt_tokens, &inputs);
        Some((host.key, terms))
    };
    scratch.scores.clear();
    for index in each(&scratch.eligible) {
        if let Some((key, terms)) = terms_of(index) {
            scratch.scores.push((index, key, terms.total));
        }
    }
    let ranked = pick::rank(
        scratch.scores.iter().copied(),
        request.seed,
        config.tie_band,
    );
    let mut terms = [Terms::default(); RANKS];
    for (slot, index) in terms.iter_mut().zip(ranked.iter()) {
        *slot = terms_of(index).map(|(_, terms)| terms).unwrap_or_default();
    }
    let (known_tokens, credited_tokens) = ranked.first().map(expect).unwrap_or_default();
    let [best, ..] = terms;
    *mean_uncached = if *mean_uncached == 0 {
        best.uncached_tokens
    } else {
        fixed::ewma(*mean_uncached, best.uncached_tokens, 5)
    };
    if home.is_some() {
        router
            .homes
            .on_sent(estimate.prompt_tokens, home == ranked.first());
    }
    Choice {
        ranked,
        terms,
        known_tokens,
        credited_tokens,
    }
}

/// Fills `scratch.cached_bytes` with the bytes of the prompt that each eligible host is known to hold.
fn match_prefix(router: &mut Router, request: &Request<'_>) {
    let Router { index, scratch, .. } = router;
    scratch.cached_bytes.fill(0);
    scratch.matching.copy_from_slice(&scratch.eligible);
    let visible = request.blocks.len();
    // Where the whole of what was hashed is held, what follows it was most likely held with it, as far as prompts went on before.
    let beyond = match request.blocks.last() {
        Some(last) if !request.blocks_complete => {
            u64::from(index.extent(prefix::block_key(last.hash, request.model, request.salt)))
                .min(request.prompt_bytes)
        }
        _ => 0,
    };
    let cached_bytes = &mut scratch.cached_bytes;
    index.matches(keys(request), &mut scratch.matching, |host, depth| {
        let end = request
            .blocks
            .get(depth.wrapping_sub(1))
            .map_or(0, |block: &Block| u64::from(block.end));
        if let Some(bytes) = cached_bytes.get_mut(host) {
            *bytes = if depth == visible {
                end.max(beyond)
            } else {
                end
            };
        }
    });
}

/// The host will hold this prompt: notes its blocks, tells the other workers, and lets the host's cache turn over.
fn remember(
    router: &mut Router,
    now: Instant,
    request: &Request<'_>,
    flight: &Flight,
    output_tokens: u64,
) {
    if router.config.policy != Policy::Plimsoll {
        return;
    }
    let seconds = now.as_micros() / 1_000_000;
    let host = usize::from(flight.host);
    router.index.count_request(seconds);
    for key in keys(request) {
        if router
            .index
            .insert(key, host, request.prompt_bytes, seconds)
        {
            router.ring.push(key, flight.host);
        }
    }
    if let Some(entry) = router.fleet.get_mut(host) {
        let capacity = entry.polled.map_or(0, |polled| polled.kv_capacity_tokens);
        let capacity = if capacity == 0 {
            ASSUMED_KV_TOKENS
        } else {
            capacity
        };
        entry.turnover = entry
            .turnover
            .saturating_add(flight.uncached_tokens)
            .saturating_add(output_tokens);
        if entry.turnover > capacity / 2 {
            entry.turnover = 0;
            router.index.turn(host);
        }
    }
}
