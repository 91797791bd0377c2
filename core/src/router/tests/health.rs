//! What becomes of hosts that fail, fall silent, join or leave, through the facade.

use super::*;
use alloc::collections::BTreeMap;

/// How a request is served: after how many ms its first token comes and after how many it ends, and whether it ends well.
type Service = (u64, u64, bool);

const WELL: Service = (20, 400, true);

/// Sends a request every `gap` ms for `seconds`; `service(host, now)` says how each is served. Returns where the requests of every second
/// went.
fn run(
    router: &mut Router,
    seconds: u64,
    gap: u64,
    mut service: impl FnMut(usize, u64) -> Service,
) -> Vec<BTreeMap<usize, u32>> {
    // What will happen when, by the time it is asked for.
    let mut agenda: BTreeMap<(u64, u64), (Ticket, Option<Outcome>)> = BTreeMap::new();
    let mut picks = vec![BTreeMap::new(); seconds as usize];
    let step = |router: &mut Router, now: u64, ticket, end: Option<Outcome>| match end {
        Some(outcome) => drop(router.on_done(at(now), ticket, outcome)),
        None => drop(router.on_chunk(at(now), ticket, token())),
    };
    for now in 0..seconds * 1000 {
        while let Some(entry) = agenda.first_entry().filter(|entry| entry.key().0 <= now) {
            let (ticket, end) = entry.remove();
            step(router, now, ticket, end);
        }
        if now % 25 == 0 {
            router.on_tick(at(now));
        }
        if now % gap == 0 {
            let decision = forward(router, at(now), &request(&[], rng::mix(now)));
            let host = decision.ranked.first().unwrap();
            *picks[(now / 1000) as usize].entry(host).or_default() += 1;
            let (first, end, well) = service(host, now);
            let outcome = Outcome {
                status: if well { 200 } else { 500 },
                failed: !well,
                aborted: false,
            };
            if well {
                agenda.insert((now + first, 2 * now), (decision.ticket, None));
            }
            agenda.insert((now + end, 2 * now + 1), (decision.ticket, Some(outcome)));
        }
    }
    for ((now, _), (ticket, end)) in agenda {
        step(router, now, ticket, end);
    }
    assert_eq!(router.in_flight(), 0);
    picks
}

fn share_of(picks: &[BTreeMap<usize, u32>], host: usize) -> f64 {
    let all: u32 = picks.iter().flat_map(BTreeMap::values).sum();
    let one: u32 = picks.iter().filter_map(|second| second.get(&host)).sum();
    f64::from(one) / f64::from(all)
}

#[test]
fn a_host_that_fails_at_once_gets_next_to_nothing() {
    // The guard in the score alone, when the cap leaves no room to eject; and with the breaker.
    for (extra, limit) in [
        (r#","health":{"max_ejected":0}"#, 0.02),
        ("", 0.005),
        (r#","policy":"least_request""#, 0.005),
    ] {
        let mut router = Router::new(config(8, extra), 1);
        let sinkhole = |host, _| if host == 0 { (1, 1, false) } else { WELL };
        let picks = run(&mut router, 30, 5, sinkhole);
        let share = share_of(&picks[2..], 0);
        assert!(share < limit, "{extra}: {share}");
    }
}

#[test]
fn a_slow_host_is_not_ejected() {
    let mut router = Router::new(config(8, ""), 1);
    let slow = |host, _| if host == 0 { (200, 4000, true) } else { WELL };
    let picks = run(&mut router, 30, 5, slow);
    assert_eq!(router.health_events().opened, [0; 5]);
    assert!(
        share_of(&picks, 0) > 0.001,
        "it serves on, at its own speed"
    );
}

#[test]
fn a_silent_host_is_ejected_and_comes_back_by_a_probe_along_the_ramp() {
    let extra = r#","health":{"stall_ms":1000,"slow_start_ms":10000,"open_ms":500}"#;
    let mut router = Router::new(config(8, extra), 1);
    // Silent from second 3 to 16: what it has then ends when it wakes.
    let service = |host, now| {
        if host == 0 && (3000..16_000).contains(&now) {
            (16_000 - now, 16_400 - now, true)
        } else {
            WELL
        }
    };
    let picks = run(&mut router, 60, 5, service);
    assert!(router.health_events().opened[2] >= 1);
    assert!(share_of(&picks[12..16], 0) < 0.01);
    let whole = share_of(&picks[50..], 0);
    assert!((0.09..0.16).contains(&whole), "{whole}");
    let (early, half) = (share_of(&picks[17..20], 0), share_of(&picks[22..26], 0));
    assert!(early < whole && half < whole, "{early} {half} {whole}");
    assert!(half > 0.01, "it is not starved: {half}");
}

#[test]
fn a_long_queue_is_no_silence_for_a_policy_that_does_not_score() {
    // Behind ten seconds of prefill a short prompt waits for longer than a stall may take, and nothing is wrong.
    let extra = r#","policy":"round_robin","priors":{"prefill_ns_per_token":1000000}"#;
    let mut router = Router::new(config(2, extra), 1);
    for (family, length) in [(1, 40), (2, 40), (3, 1), (4, 1)] {
        forward(
            &mut router,
            at(0),
            &request(&blocks(family, length), family),
        );
    }
    for tick in 0..600 {
        router.on_tick(at(tick * 25));
    }
    assert_eq!((router.ejected(), router.health_events().stalls), (0, 0));
}

#[test]
fn time_that_the_worker_did_not_live_through_is_nobodys_silence() {
    let mut router = Router::new(config(4, ""), 1);
    router.on_tick(at(0));
    for seed in 0..16 {
        forward(&mut router, at(0), &request(&[], seed));
    }
    router.on_tick(at(3_600_000));
    assert_eq!((router.ejected(), router.health_events().jumps), (0, 1));
    router.on_tick(at(3_600_025));
    assert_eq!(router.ejected(), 0);
    for tick in 0..2000 {
        router.on_tick(at(3_600_000 + tick * 25));
    }
    assert_eq!(
        router.ejected(),
        2,
        "half a minute later they are silent indeed"
    );
}

#[test]
fn clients_that_give_up_on_a_silent_host_count_against_it() {
    let mut router = Router::new(config(4, ""), 1);
    let aborted = Outcome {
        aborted: true,
        ..Outcome::default()
    };
    for n in 0..40 {
        let now = n * 100;
        let decision = forward(&mut router, at(now), &request(&[], n));
        // Host 0 is left after three seconds, the others after a moment.
        let silent = decision.ranked.first() == Some(0);
        let wait = if silent { 3000 } else { 50 };
        router.on_done(at(now + wait), decision.ticket, aborted);
    }
    assert_eq!(router.ejected(), 1);
}

#[test]
fn a_host_that_joins_is_neither_starved_nor_flooded() {
    for (policy, gap) in [("plimsoll", 4), ("plimsoll", 100), ("round_robin", 20)] {
        let extra = format!(r#","policy":"{policy}""#);
        let mut router = Router::new(config(7, &extra), 1);
        run(&mut router, 3, gap, |_, _| WELL);
        let list = (0..8).map(|n| Listed {
            address: address(n),
            weight: 1,
            models: [0; 4],
            state: State::Ready,
            since: if n == 7 { at(0) } else { Instant::ZERO },
            polled: None,
        });
        let mut out = Vec::new();
        snapshot::write(&mut out, 1, at(0), 7, list);
        router.apply_snapshot(at(0), &out).unwrap();
        let picks = run(&mut router, 60, gap, |_, _| WELL);
        let shares: Vec<f64> = [0..5, 10..15, 40..60]
            .map(|seconds| share_of(&picks[seconds], 7))
            .into();
        assert!(
            (0.001..0.08).contains(&shares[0]),
            "{policy} {gap} {shares:?}"
        );
        assert!(shares[1] > shares[0] && shares[1] < shares[2], "{shares:?}");
        assert!(
            (0.09..0.16).contains(&shares[2]),
            "{policy} {gap} {shares:?}"
        );
    }
}

#[test]
fn draining_hosts_get_nothing_and_what_runs_there_ends() {
    let mut router = Router::new(config(2, ""), 1);
    let before: Vec<Decision> = (0..20)
        .map(|seed| forward(&mut router, at(0), &request(&[], seed)))
        .collect();
    router.configure(config(2, r#","draining":["10.0.0.1:8000"]"#));
    for seed in 0..50 {
        let decision = forward(&mut router, at(1), &request(&[], seed));
        assert_eq!(decision.ranked.iter().collect::<Vec<_>>(), [1]);
        assert_eq!(decision.ruled_out.draining, 1);
        router.on_done(at(2), decision.ticket, ok());
    }
    for decision in before {
        assert!(router.on_chunk(at(3), decision.ticket, token()).is_some());
        router.on_done(at(4), decision.ticket, ok());
    }
    router.configure(config(2, ""));
    let back = |seed| {
        forward(&mut router, at(5), &request(&[], seed))
            .ranked
            .first()
            == Some(0)
    };
    assert!((0..50).any(back));
}

#[test]
fn bulkheads_hold() {
    let extra = r#","limits":{"host_inflight":2,"pool_inflight":5}"#;
    let mut router = Router::new(config(4, extra), 1);
    let decisions: Vec<Decision> = (0..5)
        .map(|seed| forward(&mut router, at(0), &request(&[], seed)))
        .collect();
    assert!(router.hosts().all(|(_, host)| host.own.requests <= 2));
    let verdict = router.on_request(at(1), &request(&[], 9));
    assert!(
        matches!(verdict, Verdict::Reject(Reason::Full(_))),
        "{verdict:?}"
    );
    router.on_done(at(2), decisions[0].ticket, ok());
    forward(&mut router, at(3), &request(&[], 9));

    let mut router = Router::new(config(2, r#","limits":{"host_inflight":1}"#), 1);
    for seed in 0..2 {
        forward(&mut router, at(0), &request(&[], seed));
    }
    let verdict = router.on_request(at(1), &request(&[], 9));
    let Verdict::Reject(Reason::Full(why)) = verdict else {
        panic!("{verdict:?}")
    };
    assert_eq!(why.full, 2);
}

#[test]
fn workers_tell_each_other_whom_they_have_ejected() {
    let mut routers = [1, 2].map(|seed| Router::new(config(4, ""), seed));
    let failed = Outcome {
        status: 503,
        failed: true,
        ..Outcome::default()
    };
    let [a, b] = &mut routers;
    for seed in 0..200 {
        let decision = forward(a, at(0), &request(&[], seed));
        let outcome = if decision.ranked.first() == Some(2) {
            failed
        } else {
            ok()
        };
        a.on_done(at(1), decision.ticket, outcome);
    }
    let mut share = Vec::new();
    a.write_share(at(10), &mut share);
    b.apply_share(at(11), 0, &share);
    assert_eq!((a.ejected(), b.ejected()), (1, 1));
    assert_eq!(forward(b, at(12), &request(&[], 1)).ruled_out.ejected, 1);
}

#[test]
fn a_retry_counts_only_against_a_host_that_was_silent_meanwhile() {
    let extra = r#","health":{"consecutive_failures":1}"#;
    for (alive, ejected) in [(false, 1), (true, 0)] {
        let mut router = Router::new(config(3, extra), 1);
        let open: Vec<Decision> = (0..9)
            .map(|seed| forward(&mut router, at(0), &request(&[], seed)))
            .collect();
        let (waiting, others) = open.split_first().unwrap();
        let there = |other: &&Decision| other.ranked.first() == waiting.ranked.first();
        let other = others.iter().find(there).unwrap();
        if alive {
            router.on_chunk(at(5), other.ticket, token());
        }
        let next = waiting.ranked.iter().nth(1).unwrap();
        assert!(router.on_served(at(10_000), waiting.ticket, address(next)));
        assert_eq!(router.ejected(), ejected, "overloaded is not dead");
    }
}
