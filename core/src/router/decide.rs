//! One decision, from request to booking.

use alloc::vec::Vec;

use super::guard::is_probe;
use super::{PassReason, Reason, Router, Verdict, fallback_key};
use crate::admit::Hold;
use crate::choose::{self, Choice, Facts, Hosts, Question};
use crate::cost::{CostClass, Costs};
use crate::eligible;
use crate::explain::{Decision, Step};
use crate::fixed;
use crate::fleet::Fleet;
use crate::host::Host;
use crate::inflight::Flight;
use crate::policy::each;
use crate::prefix::{self, Homes, Learned};
use crate::record;
use crate::request::{Block, Request};
use crate::score::{self, Context, Inputs};
use crate::time::Instant;

/// The fleet as one request sees it.
struct Candidates<'a> {
    fleet: &'a Fleet,
    eligible: &'a [u64],
    /// What the score reads is gathered by this; `None` when nobody reads it.
    context: Option<Context<'a>>,
    costs: &'a Costs,
    class: CostClass,
    /// Bytes of the prompt that each host is known to hold.
    cached_bytes: &'a [u64],
    home: Option<usize>,
    /// Share (Q16) of the unknown blocks that is credited to the home.
    credit: u64,
    /// Tokens that some host could hold.
    hashed_tokens: u64,
}

impl Candidates<'_> {
    /// Tokens known to be cached on a host, and those credited to it as the home.
    #[inline]
    fn expect(&self, index: usize, prompt_tokens: u64) -> (u64, u64) {
        let bytes = self.cached_bytes.get(index).copied().unwrap_or(0);
        let known = if bytes == 0 {
            0
        } else {
            self.costs.tokens(self.class, bytes).min(prompt_tokens)
        };
        let credited = if self.home == Some(index) {
            fixed::mul_q16(self.hashed_tokens.saturating_sub(known), self.credit)
        } else {
            0
        };
        (known, credited)
    }
}

impl Hosts for Candidates<'_> {
    fn eligible(&self) -> &[u64] {
        self.eligible
    }

    #[inline]
    fn facts(&self, index: usize) -> Option<Facts> {
        self.fleet.get(index).map(|host| Facts {
            key: host.key,
            load: host.ours(),
            weight: host.weight,
            octave: host.speed.octave,
        })
    }

    // In the loop over all hosts: a call for each costs a fifth of a decision among 256 hosts.
    #[inline(always)]
    fn inputs(&self, index: usize) -> Option<Inputs> {
        let context = self.context.as_ref()?;
        let host = self.fleet.get(index)?;
        let (known, credited) = self.expect(index, context.estimate.prompt_tokens);
        Some(score::gather(context, host, known, credited))
    }
}

/// Decides and books. What is decided is also written to `tape`, if there is one.
pub(super) fn decide(
    router: &mut Router,
    now: Instant,
    request: &Request<'_>,
    mut tape: Option<&mut Vec<u8>>,
) -> Verdict {
    if router.fleet.listed() == 0 {
        return Verdict::Pass(PassReason::NoHosts);
    }
    let asked = eligible::Question {
        now,
        model: request.model,
        seed: request.seed,
        full: router.is_full(),
    };
    let eligible = &mut router.scratch.eligible;
    let (count, ruled_out, constraints) =
        eligible::mark(&router.fleet, &router.config, asked, eligible);
    let refused = if count > 0 {
        None
    } else if ruled_out.full > 0 {
        Some(Verdict::Reject(Reason::Full(ruled_out)))
    } else if ruled_out.wrong_model > 0 {
        Some(Verdict::Reject(Reason::NoHostForModel(ruled_out)))
    } else {
        Some(Verdict::Pass(PassReason::NoneEligible))
    };
    if tape.is_none()
        && let Some(verdict) = refused
    {
        return verdict;
    }
    let snapshot_age = router.snapshot_age(now);
    let step = step(router, now);
    let (estimate, class) = router.costs.estimate(request);
    let scores = router.config.scores();
    let key = if scores && step == Step::Hash {
        home_key(router, now, request).unwrap_or_else(|| fallback_key(request.seed))
    } else {
        0
    };
    let gathered = scores && step != Step::Hash;
    let foreign = router.fleet.foreign();
    let (mut credit, mut home) = (0, None);
    if gathered {
        match_prefix(router, request);
        let told = router.hears_proxies();
        credit = router.homes.credit(estimate.prompt_tokens, foreign, told);
        if credit > 0 {
            home = home_key(router, now, request).and_then(|key| home_of(router, key));
        }
    }

    let Router {
        config,
        fleet,
        scratch,
        costs,
        classic,
        shadow,
        homes,
        mean_uncached,
        ..
    } = &mut *router;
    let context = Context {
        estimate,
        mean_uncached: *mean_uncached,
        foreign,
        polled: step == Step::Full,
        stale_after: config.stale_after,
        health: &config.health,
        now,
    };
    let hosts = Candidates {
        fleet,
        eligible: &scratch.eligible,
        context: gathered.then_some(context),
        costs,
        class,
        cached_bytes: &scratch.cached_bytes,
        home,
        credit,
        hashed_tokens: costs
            .tokens(class, hashed_bytes(request))
            .min(estimate.prompt_tokens),
    };
    let question = Question {
        step,
        seed: request.seed,
        prompt_tokens: estimate.prompt_tokens,
        key,
    };
    if let Some(tape) = tape.as_deref_mut() {
        let scene = record::Scene {
            config,
            request,
            question: &question,
            now,
            snapshot_age,
            estimate,
            foreign,
            mean_uncached: *mean_uncached,
            memory: classic,
            shadow_memory: shadow,
            constraints,
            gathered,
        };
        record::begin(tape, &scene, fleet, &hosts);
    }
    let scratch = &mut scratch.scores;
    let rules = config.rules();
    let choice = choose::choose(&rules, &question, classic, scratch, &hosts);
    let shadowed = config.shadow_rules().map(|other| {
        let ranked = choose::choose(&other, &question, shadow, scratch, &hosts).ranked;
        let weights = (rules.weights, other.weights);
        choose::compare(weights, &question, &hosts, &choice, ranked)
    });
    if let Some(tape) = tape {
        record::end(tape, &choice, shadowed.as_ref());
    }
    if let Some(verdict) = refused {
        return verdict;
    }
    let Choice { ranked, terms } = choice;
    let first = ranked.first().unwrap_or_default();
    let (known_tokens, credited_tokens) = if gathered {
        hosts.expect(first, estimate.prompt_tokens)
    } else {
        (0, 0)
    };
    let [best, ..] = terms;
    if gathered {
        *mean_uncached = if *mean_uncached == 0 {
            best.uncached_tokens
        } else {
            fixed::ewma(*mean_uncached, best.uncached_tokens, 5)
        };
    }
    if home.is_some() {
        homes.on_sent(estimate.prompt_tokens, home == Some(first));
    }
    let (uncached_tokens, queued_tokens) = if best.uncached_tokens > 0 {
        (best.uncached_tokens, best.queued_tokens)
    } else {
        // A policy that does not score has not asked, but whoever judges silence must know what the request waits for.
        let queued = router.fleet.get(first).map_or(0, Host::queued);
        (estimate.prompt_tokens.max(score::LEAST_TOKENS), queued)
    };
    let flight = Flight {
        host: u16::try_from(first).unwrap_or(super::NOWHERE),
        stream: request.stream,
        prefilling: true,
        sent: now,
        last_token: now,
        probe: is_probe(&router.fleet, first),
        stalled: false,
        tokens: 0,
        prompt_bytes: request.prompt_bytes,
        prompt_tokens: estimate.prompt_tokens,
        known_tokens,
        credited_tokens,
        uncached_tokens,
        queued_tokens,
        lesson: None,
        teaches: true,
        usage: None,
        kv_tokens: estimate
            .prompt_tokens
            .saturating_add(estimate.output_tokens / 2),
        class,
        hold: Hold::default(),
    };
    let ticket = router.inflight.begin(flight);
    if ticket != super::Ticket::NONE {
        router.book(&flight);
    }
    remember(router, now, request, &flight, estimate.output_tokens);
    Verdict::Forward(Decision {
        ticket,
        ranked,
        step,
        terms,
        eligible: u16::try_from(count).unwrap_or(u16::MAX),
        ruled_out,
        probe: flight.probe,
        prompt_tokens: estimate.prompt_tokens,
        cached_tokens: known_tokens,
        output_tokens: estimate.output_tokens,
        output_error: estimate.output_error,
        snapshot_age,
        seed: request.seed,
        policy: router.config.policy,
        shadow: shadowed,
        config: router.config.fingerprint,
    })
}

/// Bytes of the prompt that some host could hold: what was hashed, and what follows it unread.
fn hashed_bytes(request: &Request<'_>) -> u64 {
    if request.blocks_complete {
        request.blocks.last().map_or(0, |b| u64::from(b.end))
    } else {
        request.prompt_bytes
    }
}

pub(super) fn step(router: &Router, now: Instant) -> Step {
    let fresh = |at| now.since(at) <= router.config.stale_after;
    match router.snapshot {
        Some(snapshot) if fresh(snapshot.stamp) && snapshot.polled.is_some_and(fresh) => Step::Full,
        _ if router
            .fleet
            .hosts()
            .iter()
            .any(|host| host.speed.own.samples > 0 || host.speed.peers.samples > 0) =>
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

#[inline]
fn home_of(router: &Router, key: u64) -> Option<usize> {
    let hosts = each(&router.scratch.eligible).filter_map(|index| {
        router
            .fleet
            .get(index)
            .map(|host| (index, host.key, host.speed.octave))
    });
    Homes::home_of(key, hosts)
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
    if !router.config.scores() {
        return;
    }
    let seconds = now.as_micros() / 1_000_000;
    let host = usize::from(flight.host);
    router.index.count_request(seconds);
    let extent = u32::try_from(request.prompt_bytes).unwrap_or(u32::MAX);
    for key in keys(request) {
        if router.index.insert(key, host, extent, seconds) {
            router.ring.push(Learned {
                key,
                host: flight.host,
                extent,
            });
        }
    }
    if let Some(entry) = router.fleet.get_mut(host) {
        entry.on_taken_in(flight.uncached_tokens.saturating_add(output_tokens));
        if entry.turns() > 0 {
            router.index.turn(host);
        }
    }
}
