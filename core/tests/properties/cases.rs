//! Single cases that random sequences meet too seldom: clocks that are set back, places with a new owner, hosts that have just joined.

use plimsoll_core::collect::Collector;
use plimsoll_core::config::Config;
use plimsoll_core::fleet::Listed;
use plimsoll_core::host::{Address, Host, Load, State};
use plimsoll_core::observe::{Seen, Usage};
use plimsoll_core::request::Block;
use plimsoll_core::rng::{Rng, mix};
use plimsoll_core::router::{Decision, Outcome, Router, Step, Verdict};
use plimsoll_core::snapshot::View;
use plimsoll_core::time::{Instant, Micros};

use crate::generate::{self, Prompt, address, earlier, start};

/// A router that knows the first `hosts` hosts, all ready.
fn router(hosts: u32, capacity: usize, seed: u64) -> Router {
    let mut config = Config::default();
    config.limits.hosts = capacity;
    let mut router = Router::new(config, seed);
    apply(&mut router, start(), 1, 0..hosts);
    router
}

fn apply(router: &mut Router, now: Instant, epoch: u64, hosts: std::ops::Range<u32>) {
    let list: Vec<_> = hosts
        .map(|n| Listed {
            address: address(n),
            weight: 1,
            models: [0; 4],
            state: State::Ready,
            since: Instant::ZERO,
            polled: None,
        })
        .collect();
    let bytes = generate::snapshot(epoch, now, 1, &list);
    router.apply_snapshot(now, &bytes).unwrap();
}

fn prompt_of(blocks: u32, seed: u64) -> Prompt {
    let mut prompt = generate::prompt(&mut Rng::new(seed));
    prompt.blocks = (1..=blocks)
        .map(|i| Block {
            hash: mix(seed * 1000 + u64::from(i)),
            end: i * 1000,
        })
        .collect();
    prompt.request.prompt_bytes = u64::from(blocks) * 1000;
    prompt.request.blocks_complete = true;
    (prompt.request.model, prompt.request.salt) = (0, 0);
    prompt
}

fn forward(router: &mut Router, now: Instant, prompt: &Prompt) -> Decision {
    match router.on_request(now, &prompt.request()) {
        Verdict::Forward(decision) => decision,
        other => panic!("hosts are ready: {other:?}"),
    }
}

/// A first token after 30 ms, and the end: the router learns a speed.
fn answer(router: &mut Router, sent: Instant, decision: &Decision) {
    let token = Seen {
        tokens: 1,
        ..Seen::default()
    };
    let then = sent + Micros::from_millis(30);
    router.on_chunk(then, decision.ticket, token);
    router.on_done(then, decision.ticket, Outcome::default());
}

#[test]
fn the_word_of_a_dead_worker_is_forgotten_whatever_its_clock_said() {
    // Stamps in milliseconds from now: a clock behind, at one, and ahead (it was set back after the worker's death).
    for (stamp, believed) in [
        (-1500, false),
        (-500, true),
        (0, true),
        (500, true),
        (3_600_000, false),
    ] {
        let mut router = router(2, 8, 1);
        let part = generate::busy(address(0));
        let micros = start()
            .as_micros()
            .checked_add_signed(stamp * 1000)
            .unwrap();
        let bytes = generate::share(5, Instant::from_micros(micros), 0, &[part], &[]);
        let peers = |router: &Router| router.hosts().next().unwrap().1.peers;
        router.apply_share(start(), 0, &bytes);
        router.on_tick(start());
        assert_eq!(peers(&router) == part.load, believed, "{stamp}");
        for millis in [1000, 1600, 5000] {
            let now = start() + Micros::from_millis(millis);
            router.apply_share(now, 0, &bytes);
            router.on_tick(now);
        }
        assert_eq!(peers(&router), Load::default(), "{stamp}");
    }
}

#[test]
fn a_host_that_joins_is_not_free_before_the_next_tick() {
    let mut router = router(2, 8, 1);
    router.on_tick(start());
    for n in 0..20 {
        // A lesson, so that the score decides and not the hash.
        let now = start() + Micros::from_millis(n * 100);
        let prompt = prompt_of(4, n);
        let decision = forward(&mut router, now, &prompt);
        answer(&mut router, now, &decision);
    }
    let now = start() + Micros::from_millis(3000);
    apply(&mut router, now, 2, 0..3);
    for (_, host) in router.hosts() {
        assert!(host.speed.per_token > 0, "{}", host.address);
    }
}

#[test]
fn the_owner_of_a_place_does_not_inherit_what_was_said_of_the_last_one() {
    let now = start();
    let (mut a, mut b) = (router(1, 1, 1), router(1, 8, 2));
    let prompt = prompt_of(20, 5);
    let decision = forward(&mut a, now, &prompt);
    a.on_done(now, decision.ticket, Outcome::default());
    let part = generate::busy(address(0));
    a.apply_share(now, 1, &generate::share(9, now, 0, &[part], &[]));
    // Host 1 takes the only place that host 0 had.
    apply(&mut a, now, 2, 1..2);
    apply(&mut b, now, 2, 1..2);
    let decision = forward(&mut a, now, &prompt_of(1, 6));
    a.on_tick(now);
    assert_eq!(a.hosts().next().unwrap().1.peers, Load::default());
    answer(&mut a, now, &decision);
    let mut share = Vec::new();
    let now = now + Micros::from_millis(40);
    a.write_share(now, &mut share);
    b.apply_share(now, 0, &share);
    b.on_tick(now);
    let decision = forward(&mut b, now, &prompt);
    assert_eq!(decision.step, Step::Local);
    assert_eq!(
        decision.cached_tokens, 0,
        "host 1 has never seen this prompt"
    );
}

#[test]
fn a_clock_that_is_set_back_neither_bans_for_long_nor_stops_forgetting() {
    let hour = 3_600_000_000;
    let mut router = router(2, 8, 1);
    let failed = Outcome {
        failed: true,
        ..Outcome::default()
    };
    for _ in 0..20 {
        let decision = forward(&mut router, start(), &prompt_of(1, 1));
        router.on_done(start(), decision.ticket, failed);
    }
    let settings = Config::default().health;
    let banned = |router: &Router, now| {
        let waits = |host: &Host| host.health.breaker.waits(now, &settings);
        router.hosts().filter(|(_, host)| waits(host)).count()
    };
    assert_eq!(banned(&router, start()), 1);
    let back = earlier(start(), hour);
    assert_eq!(banned(&router, back + Micros::from_millis(1000)), 0);

    router.on_tick(start());
    assert_eq!(router.snapshot_age(back), Some(Micros::ZERO));
    router.on_tick(back);
    let later = back + Micros::from_millis(3000);
    assert_eq!(router.snapshot_age(later), Some(Micros::from_millis(3000)));
    // Speeds fade again within seconds.
    let prompt = prompt_of(1, 2);
    let decision = forward(&mut router, back, &prompt);
    answer(&mut router, back, &decision);
    let samples =
        |router: &Router| -> u64 { router.hosts().map(|(_, host)| host.speed.own.samples).sum() };
    let before = samples(&router);
    router.on_tick(back + Micros::from_millis(5000));
    assert!(samples(&router) < before);
}

#[test]
fn a_collector_whose_clock_is_set_back_goes_on_asking() {
    let ask = |collector: &mut Collector, now| {
        let mut asked = 0;
        collector.due(now, |_, _| {
            asked += 1;
            true
        });
        asked
    };
    let config = br#"{"hosts":["10.0.0.1:8000","10.0.0.2:8000"]}"#;
    for config in [Config::parse(config).unwrap(), Config::default()] {
        let mut collector = Collector::new(config, 1);
        let all = ask(&mut collector, start());
        assert!(all > 0);
        let page = b"vllm:num_requests_running 3\n";
        collector.on_polled(start(), address_of("10.0.0.1:8000"), Ok(page));
        assert_eq!(ask(&mut collector, start()), 0, "an answer is awaited");
        let back = earlier(start(), 3_600_000_000);
        assert_eq!(ask(&mut collector, back), all);
        let mut snapshot = Vec::new();
        if collector.publish(back, &mut snapshot) {
            let view = View::new_checked(&snapshot).unwrap();
            let mut polled = view.records().filter_map(|record| record.polled);
            assert!(polled.all(|polled| polled.at <= back));
        }
    }
}

fn address_of(text: &str) -> Address {
    Address::parse(text).unwrap()
}

#[test]
fn usage_teaches_once_however_often_it_is_reported() {
    let said = |completion_tokens| Seen {
        tokens: 1,
        usage: Some(Usage {
            prompt_tokens: 250,
            completion_tokens,
            cached_tokens: None,
        }),
        done: false,
    };
    let expected = [vec![100], (1..=100).collect()].map(|reports: Vec<u32>| {
        let mut router = router(2, 8, 1);
        for n in 0..50 {
            let now = start() + Micros::from_millis(n * 1000);
            let decision = forward(&mut router, now, &prompt_of(1, 1));
            for completion_tokens in &reports {
                router.on_chunk(now, decision.ticket, said(*completion_tokens));
            }
            router.on_done(now, decision.ticket, Outcome::default());
        }
        let now = start() + Micros::from_millis(60_000);
        let aborted = forward(&mut router, now, &prompt_of(1, 1));
        router.on_chunk(now, aborted.ticket, said(1));
        let outcome = Outcome {
            aborted: true,
            ..Outcome::default()
        };
        router.on_done(now, aborted.ticket, outcome);
        let decision = forward(&mut router, now, &prompt_of(1, 1));
        assert_eq!(decision.output_tokens, aborted.output_tokens);
        decision.output_tokens
    });
    assert_eq!(expected[0], expected[1]);
}
