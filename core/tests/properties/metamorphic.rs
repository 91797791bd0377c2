//! How decisions change with their inputs, whatever the inputs are.

use plimsoll_core::config::{Config, Policy};
use plimsoll_core::host::{Address, State};
use plimsoll_core::observe::Seen;
use plimsoll_core::pick::RANKS;
use plimsoll_core::prefix::block_key;
use plimsoll_core::request::Request;
use plimsoll_core::rng::Rng;
use plimsoll_core::router::{Decision, Outcome, Router, Step, Verdict};
use plimsoll_core::share::{Part, SharedBlock};
use plimsoll_core::time::{Instant, Micros};

use crate::generate::{self, address, one_in, start};

fn router(policy: Policy) -> Router {
    let mut config = Config {
        policy,
        ..Config::default()
    };
    config.limits.hosts = 16;
    config.limits.inflight = 256;
    config.limits.prefix_blocks = 4096;
    Router::new(config, 1)
}

fn forward(router: &mut Router, now: Instant, request: &Request<'_>) -> Option<Decision> {
    match router.on_request(now, request) {
        Verdict::Forward(decision) => Some(decision),
        _ => None,
    }
}

fn addresses(router: &Router, decision: &Decision) -> Vec<Address> {
    let ranked = decision.ranked.iter();
    ranked.map(|index| router.address(index).unwrap()).collect()
}

/// Position of `host` among the ranked; [`RANKS`] when it is not.
fn position(router: &Router, decision: &Decision, host: Address) -> usize {
    let ranked = addresses(router, decision);
    ranked.iter().position(|a| *a == host).unwrap_or(RANKS)
}

/// A router with a past: hosts 0 to 7 known, requests served, speeds and prefixes learned; at the end some requests are in flight.
fn experienced(rng: &mut Rng) -> (Router, Instant) {
    let mut router = router(Policy::Plimsoll);
    let mut now = start();
    let list = generate::list(rng, now, 8);
    let bytes = generate::snapshot(1, now, 1, &list);
    router.apply_snapshot(now, &bytes).unwrap();
    router.on_tick(now);
    for _ in 0..rng.below(40) {
        now = now + Micros::new(u64::from(rng.below(60_000)));
        let prompt = generate::prompt(rng);
        let Some(decision) = forward(&mut router, now, &prompt.request()) else {
            continue;
        };
        let seen = generate::seen(rng);
        router.on_chunk(now + Micros::from_millis(40), decision.ticket, seen);
        if !one_in(rng, 3) {
            let outcome = generate::outcome(rng);
            router.on_done(now + Micros::from_millis(90), decision.ticket, outcome);
        }
    }
    now = now + Micros::from_millis(300);
    if one_in(rng, 2) {
        let list = generate::list(rng, now, 8);
        let bytes = generate::snapshot(2, now, 1, &list);
        router.apply_snapshot(now, &bytes).unwrap();
    }
    router.on_tick(now);
    (router, now)
}

#[test]
fn the_order_of_hosts_does_not_matter() {
    let mut decisions = 0;
    for seed in 0..300 {
        let mut rng = Rng::new(seed);
        let policy = [Policy::Plimsoll, Policy::LeastRequest][rng.below(2) as usize];
        let mut routers = [router(policy), router(policy)];
        let mut now = start();
        for epoch in 1..20 {
            now = now + Micros::from_millis(u64::from(rng.below(2500)));
            let mut list = generate::list(&mut rng, now, 12);
            for router in &mut routers {
                generate::shuffle(&mut rng, &mut list);
                let bytes = generate::snapshot(epoch, now, 1, &list);
                router.apply_snapshot(now, &bytes).unwrap();
                router.on_tick(now);
            }
            for _ in 0..6 {
                now = now + Micros::from_millis(3);
                let prompt = generate::prompt(&mut rng);
                let seen = generate::seen(&mut rng);
                let outcome = generate::outcome(&mut rng);
                let done = one_in(&mut rng, 2);
                let [a, b] = routers.each_mut().map(|router| {
                    let decision = forward(router, now, &prompt.request())?;
                    router.on_chunk(now + Micros::from_millis(50), decision.ticket, seen);
                    if done {
                        router.on_done(now + Micros::from_millis(80), decision.ticket, outcome);
                    }
                    let terms = decision.terms[..decision.ranked.len()].to_vec();
                    Some((addresses(router, &decision), terms))
                });
                assert_eq!(a, b);
                decisions += u32::from(a.is_some());
            }
        }
    }
    assert!(decisions > 10_000, "{decisions}");
}

/// The router after another worker has told it of `parts` and `blocks`.
fn told(router: &Router, now: Instant, parts: &[Part], blocks: &[SharedBlock]) -> Router {
    let mut router = router.clone();
    let next = blocks.len() as u64;
    router.apply_share(now, 5, &generate::share(99, now, next, parts, blocks));
    router.on_tick(now);
    router
}

#[test]
fn a_host_does_not_win_by_more_load() {
    let (mut compared, mut lost) = (0, 0);
    for seed in 0..3000 {
        let mut rng = Rng::new(seed);
        let (router, now) = experienced(&mut rng);
        let mut parts: Vec<Part> = (0..8)
            .map(|n| generate::part(&mut rng, start(), address(n)))
            .collect();
        let victim = rng.below(8);
        let before = told(&router, now, &parts, &[]);
        let load = &mut parts[victim as usize].load;
        load.requests += 1 + rng.below(12);
        load.prefilling += rng.below(3);
        load.queued_tokens += u64::from(rng.below(5000));
        load.kv_tokens += u64::from(rng.below(20_000));
        let after = told(&router, now, &parts, &[]);
        let prompt = generate::prompt(&mut rng);
        let [a, b] = [before, after].map(|mut router| {
            let decision = forward(&mut router, now, &prompt.request())?;
            Some(position(&router, &decision, address(victim)))
        });
        if let (Some(a), Some(b)) = (a, b) {
            assert!(b >= a, "seed {seed}: from place {a} to {b} by more load");
            compared += 1;
            lost += u32::from(b > a);
        }
    }
    assert!(compared > 2000 && lost > 200, "{compared} {lost}");
}

/// Prompts here end with a block. A home is credited with up to twice the blocks that it is not known to hold, so for a prompt with a
/// tail after its last block the guess is worth more than the knowledge, by that tail.
#[test]
fn a_longer_cached_prefix_does_not_hurt() {
    let (mut compared, mut won) = (0, 0);
    for seed in 0..3000 {
        let mut rng = Rng::new(seed);
        let (mut router, now) = experienced(&mut rng);
        // The index knows of requests at all, so that blocks it has not seen are rare with and without the share.
        forward(&mut router, now, &generate::prompt(&mut rng).request());
        let mut prompt = generate::prompt(&mut rng);
        for (n, block) in (0..).zip(&mut prompt.blocks) {
            // Nobody else has asked for this prompt.
            block.hash = plimsoll_core::rng::mix(seed << 20 | n);
        }
        prompt.request.blocks_complete = true;
        prompt.request.prompt_bytes = prompt.blocks.last().map_or(300, |last| u64::from(last.end));
        let request = prompt.request();
        let victim = rng.below(8);
        let parts = [Part {
            load: Default::default(),
            sums: Default::default(),
            ejected_until: Default::default(),
            ..generate::part(&mut rng, start(), address(victim))
        }];
        let known = rng.below(prompt.blocks.len() as u32 + 1) as usize;
        let more = known + rng.below((prompt.blocks.len() - known) as u32 + 1) as usize;
        let [a, b] = [known, more].map(|known| {
            let blocks: Vec<SharedBlock> = prompt.blocks[..known]
                .iter()
                .map(|block| SharedBlock {
                    key: block_key(block.hash, request.model, request.salt),
                    part: 0,
                    extent: 0,
                })
                .collect();
            let mut router = told(&router, now, &parts, &blocks);
            let decision = forward(&mut router, now, &request)?;
            // By hash, what is cached where does not count.
            (decision.step != Step::Hash).then(|| position(&router, &decision, address(victim)))
        });
        if let (Some(a), Some(b)) = (a, b) {
            assert!(
                b <= a,
                "seed {seed}: from place {a} to {b} by a longer prefix"
            );
            compared += 1;
            won += u32::from(b < a);
        }
    }
    assert!(compared > 2000 && won > 100, "{compared} {won}");
}

#[test]
fn a_draining_host_gets_nothing() {
    for seed in 0..600 {
        let mut rng = Rng::new(seed);
        let mut router = router(Policy::NAMES[rng.below(6) as usize].1);
        let mut now = start();
        let mut list = generate::list(&mut rng, now, 6);
        for listed in &mut list {
            // As bad as it gets: nobody is well, and the constraint is not met elsewhere.
            listed.state = [State::Draining, State::Down, State::Ready][rng.below(3) as usize];
        }
        let bytes = generate::snapshot(1, now, 1, &list);
        router.apply_snapshot(now, &bytes).unwrap();
        router.on_tick(now);
        for _ in 0..20 {
            now = now + Micros::from_millis(u64::from(rng.below(400)));
            let prompt = generate::prompt(&mut rng);
            let Some(decision) = forward(&mut router, now, &prompt.request()) else {
                continue;
            };
            for address in addresses(&router, &decision) {
                let listed = list.iter().find(|listed| listed.address == address);
                assert_ne!(listed.unwrap().state, State::Draining);
            }
            let token = Seen {
                tokens: 1,
                ..Seen::default()
            };
            router.on_chunk(now, decision.ticket, token);
            let failed = one_in(&mut rng, 2);
            let outcome = Outcome {
                failed,
                ..Outcome::default()
            };
            router.on_done(now, decision.ticket, outcome);
        }
    }
}
