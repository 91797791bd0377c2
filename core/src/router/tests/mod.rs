mod admission;
mod exchange;
mod health;

use super::*;
use crate::host::{Load, Polled};
use crate::observe::Usage;
use crate::request::{Block, Kind, Request};
use crate::snapshot;
use alloc::format;
use alloc::string::{String, ToString};

fn at(millis: u64) -> Instant {
    Instant::from_micros(1_000_000_000 + millis * 1000)
}

fn address(host: usize) -> Address {
    Address::parse(&format!("10.0.0.{}:8000", host + 1)).unwrap()
}

fn config(hosts: usize, extra: &str) -> Config {
    let hosts: Vec<String> = (0..hosts)
        .map(|host| format!("\"{}\"", address(host)))
        .collect();
    Config::parse(format!("{{\"hosts\":[{}]{extra}}}", hosts.join(",")).as_bytes()).unwrap()
}

/// A prompt of `blocks` blocks of 1,000 bytes that belongs to `family`.
fn blocks(family: u64, blocks: u64) -> Vec<Block> {
    (1..=blocks)
        .map(|i| Block {
            hash: rng::mix(family * 1000 + i),
            end: (i * 1000) as u32,
        })
        .collect()
}

fn request(blocks: &[Block], seed: u64) -> Request<'_> {
    Request {
        kind: Kind::Chat,
        model: 0,
        salt: 0,
        tenant: 0,
        session: 0,
        prompt_bytes: blocks.last().map_or(400, |block| u64::from(block.end)),
        blocks,
        blocks_complete: true,
        max_tokens: None,
        stream: true,
        seed,
    }
}

fn forward(router: &mut Router, now: Instant, request: &Request<'_>) -> Decision {
    match router.on_request(now, request) {
        Verdict::Forward(decision) => decision,
        other => panic!("{other:?}"),
    }
}

fn token() -> Seen {
    Seen {
        tokens: 1,
        ..Seen::default()
    }
}

fn ok() -> Outcome {
    Outcome {
        status: 200,
        ..Outcome::default()
    }
}

/// Serves a request to its end and teaches the router.
fn serve(router: &mut Router, sent: u64, decision: &Decision, ttft: u64, cached: u32) {
    assert!(
        router
            .on_chunk(at(sent + ttft), decision.ticket, token())
            .is_some()
    );
    let usage = Usage {
        prompt_tokens: decision.prompt_tokens as u32,
        completion_tokens: 10,
        cached_tokens: Some(cached),
    };
    router.on_chunk(
        at(sent + ttft + 20),
        decision.ticket,
        Seen {
            tokens: 1,
            usage: Some(usage),
            done: true,
        },
    );
    router.on_done(at(sent + ttft + 20), decision.ticket, ok());
    router.on_tick(at(sent + ttft + 20));
}

fn snapshot_of(epoch: u64, stamp: Instant, states: &[(State, Option<Polled>)]) -> Vec<u8> {
    let mut out = Vec::new();
    let hosts = states
        .iter()
        .enumerate()
        .map(|(host, (state, polled))| Listed {
            address: address(host),
            weight: 1,
            models: [0; 4],
            state: *state,
            since: Instant::ZERO,
            polled: *polled,
        });
    snapshot::write(&mut out, epoch, stamp, 7, hosts);
    out
}

#[test]
fn the_ladder_from_no_hosts_to_full() {
    let mut router = Router::new(Config::default(), 1);
    let prompt = blocks(1, 4);
    assert_eq!(
        router.on_request(at(0), &request(&prompt, 1)),
        Verdict::Pass(PassReason::NoHosts)
    );
    router.configure(config(4, ""));
    let first = forward(&mut router, at(1), &request(&prompt, 1));
    assert_eq!((first.step, first.ranked.len()), (Step::Hash, 3));
    serve(&mut router, 1, &first, 100, 0);
    assert_eq!(
        forward(&mut router, at(200), &request(&prompt, 1)).step,
        Step::Local
    );
    let polled = Polled {
        at: at(300),
        ..Polled::default()
    };
    router
        .apply_snapshot(
            at(310),
            &snapshot_of(1, at(300), &[(State::Ready, Some(polled)); 4]),
        )
        .unwrap();
    assert_eq!(
        forward(&mut router, at(320), &request(&prompt, 1)).step,
        Step::Full
    );
    assert_eq!(
        forward(&mut router, at(2400), &request(&prompt, 1)).step,
        Step::Local,
        "the snapshot is stale"
    );
}

#[test]
fn a_prompt_returns_to_where_it_was_until_that_host_is_busy() {
    let mut router = Router::new(config(4, ""), 1);
    let warm = blocks(9, 1);
    let learned = forward(&mut router, at(0), &request(&warm, 1));
    serve(&mut router, 0, &learned, 30, 0);
    let prompt = blocks(1, 40);
    let first = forward(&mut router, at(1000), &request(&prompt, 1));
    let home = first.ranked.first();
    serve(&mut router, 1000, &first, 300, 0);
    for seed in 0..20 {
        let again = forward(&mut router, at(2000), &request(&prompt, seed));
        assert_eq!(again.ranked.first(), home);
        assert_eq!(again.cached_tokens, 10_000);
        router.on_done(at(2001), again.ticket, ok());
    }
    // Load piles up on the home until moving, and prefilling anew, is cheaper.
    let mut spilled = None;
    for n in 0..400 {
        let decision = forward(&mut router, at(3000), &request(&prompt, n));
        if decision.ranked.first() != home {
            spilled = Some(n);
            break;
        }
    }
    assert!((3..300).contains(&spilled.unwrap()), "{spilled:?}");
}

#[test]
fn salts_and_models_do_not_share_a_prefix() {
    let mut router = Router::new(config(2, ""), 1);
    let prompt = blocks(1, 10);
    let learned = forward(&mut router, at(0), &request(&prompt, 1));
    serve(&mut router, 0, &learned, 30, 0);
    assert!(forward(&mut router, at(100), &request(&prompt, 1)).cached_tokens > 0);
    for other in [
        Request {
            salt: 5,
            ..request(&prompt, 1)
        },
        Request {
            model: 5,
            ..request(&prompt, 1)
        },
    ] {
        assert_eq!(forward(&mut router, at(100), &other).cached_tokens, 0);
    }
}

#[test]
fn every_end_gives_back_what_was_booked() {
    let mut router = Router::new(config(3, ""), 1);
    let mut rng = rng::Rng::new(4);
    let mut open = Vec::new();
    for step in 0..5000u64 {
        let now = at(step);
        match rng.below(6) {
            0..=1 => {
                let prompt = blocks(u64::from(rng.below(20)), u64::from(rng.below(6)));
                let stream = rng.below(2) == 0;
                open.push(
                    forward(
                        &mut router,
                        now,
                        &Request {
                            stream,
                            ..request(&prompt, step)
                        },
                    )
                    .ticket,
                );
            }
            2 if !open.is_empty() => {
                let ticket = open[rng.below(open.len() as u32) as usize];
                router.on_chunk(now, ticket, token());
            }
            3 if !open.is_empty() => {
                let ticket = open[rng.below(open.len() as u32) as usize];
                router.on_served(now, ticket, address(rng.below(4) as usize));
            }
            4 if !open.is_empty() => {
                let ticket = open.swap_remove(rng.below(open.len() as u32) as usize);
                let outcome = Outcome {
                    status: 200,
                    aborted: rng.below(2) == 0,
                    failed: rng.below(2) == 0,
                };
                router.on_done(now, ticket, outcome);
                router.on_done(now, ticket, outcome);
                router.on_chunk(now, ticket, token());
                router.on_served(now, ticket, address(0));
            }
            _ => router.on_tick(now),
        }
        assert_eq!(router.in_flight(), open.len());
    }
    for ticket in open {
        router.on_done(at(9000), ticket, ok());
    }
    for (_, host) in router.hosts() {
        assert_eq!(host.own, Load::default());
    }
}

#[test]
fn what_another_host_serves_is_booked_there_and_the_first_choice_has_failed() {
    let extra = r#","health":{"consecutive_failures":1}"#;
    let mut router = Router::new(config(3, extra), 1);
    let prompt = blocks(1, 4);
    let decision = forward(&mut router, at(0), &request(&prompt, 1));
    let hosts: Vec<usize> = decision.ranked.iter().collect();
    assert!(!router.on_served(at(1), decision.ticket, address(hosts[0])));
    assert!(router.on_served(at(1), decision.ticket, address(hosts[1])));
    assert!(
        !router.on_served(at(1), decision.ticket, address(hosts[1])),
        "once"
    );
    let loads: Vec<u32> = hosts
        .iter()
        .map(|host| router.fleet.get(*host).unwrap().own.requests)
        .collect();
    assert_eq!(loads, [0, 1, 0]);
    let next = forward(&mut router, at(2), &request(&blocks(2, 4), 1));
    assert!(!next.ranked.iter().any(|host| host == hosts[0]));
    assert_eq!(next.ruled_out.ejected, 1);
    // Served by a host nobody told us of: booked nowhere, and still ended once.
    assert!(router.on_served(at(3), next.ticket, address(77)));
    router.on_done(at(4), next.ticket, ok());
    assert_eq!(router.in_flight(), 1);
}

#[test]
fn a_constraint_is_never_given_up() {
    let mut router = Router::new(
        Config::parse(br#"{"hosts":[{"address":"10.0.0.1:8000","models":["a"]},{"address":"10.0.0.2:8000","models":["b"]}]}"#).unwrap(),
        1,
    );
    assert!(router.needs_model());
    let model = crate::request::key(b"a");
    for seed in 0..50 {
        let decision = forward(
            &mut router,
            at(0),
            &Request {
                model,
                ..request(&[], seed)
            },
        );
        assert_eq!(decision.ranked.iter().collect::<Vec<_>>(), [0]);
    }
    let mut out = Vec::new();
    let hosts =
        [(0, "a", State::Draining), (1, "b", State::Ready)].map(|(host, name, state)| Listed {
            address: address(host),
            weight: 1,
            models: [crate::request::key(name.as_bytes()), 0, 0, 0],
            state,
            since: Instant::ZERO,
            polled: None,
        });
    snapshot::write(&mut out, 1, at(1), 7, hosts.into_iter());
    router.apply_snapshot(at(1), &out).unwrap();
    let verdict = router.on_request(
        at(2),
        &Request {
            model,
            ..request(&[], 1)
        },
    );
    assert!(
        matches!(verdict, Verdict::Reject(Reason::NoHostForModel(_))),
        "{verdict:?}"
    );
}

#[test]
fn the_record_names_its_grounds() {
    let mut router = Router::new(config(3, ""), 1);
    let learned = forward(&mut router, at(0), &request(&[], 1));
    serve(&mut router, 0, &learned, 30, 0);
    let decision = forward(&mut router, at(10), &request(&blocks(1, 3), 7));
    let line = Line(&decision, |host| router.address(host)).to_string();
    for part in [
        "step=local eligible=3 ruled_out=none prompt_tokens=750",
        "host0=10.0.0.",
        "uncached=750",
        "margin=",
        "seed=0000000000000007",
    ] {
        assert!(line.contains(part), "{part} in {line}");
    }
}
