//! What the collector and the other workers tell the router.

use super::*;

#[test]
fn snapshots_add_and_remove_hosts_and_damage_changes_nothing() {
    let mut router = Router::new(Config::default(), 1);
    let good = snapshot_of(1, at(0), &[(State::Ready, None); 3]);
    assert_eq!(router.apply_snapshot(at(1), &good), Ok(1));
    assert_eq!(router.host_count(), 3);
    assert!(router.apply_snapshot(at(1), &good[..70]).is_err());
    assert_eq!(router.host_count(), 3);
    let held = forward(&mut router, at(2), &request(&[], 1));
    router
        .apply_snapshot(at(3), &snapshot_of(2, at(3), &[]))
        .unwrap();
    assert_eq!(router.host_count(), 0);
    assert_eq!(
        router.on_request(at(4), &request(&[], 1)),
        Verdict::Pass(PassReason::NoHosts)
    );
    router.on_done(at(5), held.ticket, ok());
    assert_eq!(router.in_flight(), 0);
    // From a clock ahead of ours: taken as written now, stale later.
    router
        .apply_snapshot(at(6), &snapshot_of(3, at(900_000), &[(State::Ready, None)]))
        .unwrap();
    assert_eq!(router.snapshot_age(at(8)), Some(Micros::from_millis(2)));
}

#[test]
fn the_engines_report_of_others_moves_traffic_and_of_ours_does_not() {
    let mut router = Router::new(config(2, ""), 1);
    let mut ours = Vec::new();
    for seed in 0..20 {
        ours.push(forward(&mut router, at(seed), &request(&[], seed)));
    }
    let running: Vec<u32> = [0, 1]
        .iter()
        .map(|host| router.fleet.get(*host).unwrap().own.requests)
        .collect();
    let polled = |host: usize, more: u32| Polled {
        at: at(100),
        running: running[host] + more,
        ..Polled::default()
    };
    let same = snapshot_of(
        1,
        at(100),
        &[
            (State::Ready, Some(polled(0, 0))),
            (State::Ready, Some(polled(1, 0))),
        ],
    );
    router.apply_snapshot(at(101), &same).unwrap();
    assert_eq!(
        [0, 1].map(|host| router.fleet.get(host).unwrap().others()),
        [0, 0]
    );
    assert_eq!(router.fleet.foreign(), 0);
    let crowded = |epoch| {
        snapshot_of(
            epoch,
            at(100),
            &[
                (State::Ready, Some(polled(0, 50))),
                (State::Ready, Some(polled(1, 0))),
            ],
        )
    };
    for epoch in 2..20 {
        router.apply_snapshot(at(102), &crowded(epoch)).unwrap();
    }
    assert_eq!(router.fleet.get(0).unwrap().others(), 50);
    assert!(router.fleet.foreign() > 0);
    for seed in 0..10 {
        assert_eq!(
            forward(&mut router, at(103), &request(&[], seed))
                .ranked
                .first(),
            Some(1)
        );
    }
}

#[test]
fn requests_that_have_ended_since_the_poll_are_nobody_elses() {
    let mut router = Router::new(config(1, ""), 1);
    for round in 0..100 {
        let start = round * 100;
        let sent = forward(&mut router, at(start), &request(&[], round));
        router.on_tick(at(start + 25));
        router.on_done(at(start + 45), sent.ticket, ok());
        router.on_tick(at(start + 50));
        // The engine was asked while it had the request, and is heard of when it no longer has.
        let polled = Polled {
            at: at(start + 20),
            running: 1,
            ..Polled::default()
        };
        let told = snapshot_of(round, at(start + 55), &[(State::Ready, Some(polled))]);
        router.apply_snapshot(at(start + 60), &told).unwrap();
        assert_eq!(router.fleet.get(0).unwrap().others(), 0);
        assert_eq!(router.fleet.foreign(), 0);
    }
}

#[test]
fn workers_learn_load_speed_and_prefixes_from_each_other() {
    let (mut a, mut b) = (Router::new(config(4, ""), 1), Router::new(config(4, ""), 2));
    let prompt = blocks(1, 20);
    let first = forward(&mut a, at(0), &request(&prompt, 1));
    let home = first.ranked.first();
    let mut share = Vec::new();
    a.write_share(at(1), &mut share);
    b.apply_share(at(2), 0, &share);
    b.on_tick(at(2));
    assert_eq!(b.fleet.get(home.unwrap()).unwrap().peers.requests, 1);
    serve(&mut a, 0, &first, 150, 0);
    a.write_share(at(200), &mut share);
    for _ in 0..2 {
        b.apply_share(at(201), 0, &share);
        b.on_tick(at(201));
    }
    assert_eq!(b.fleet.get(home.unwrap()).unwrap().peers, Load::default());
    let decision = forward(&mut b, at(202), &request(&prompt, 3));
    assert_eq!(
        (
            decision.step,
            decision.ranked.first(),
            decision.cached_tokens
        ),
        (Step::Local, home, 5000)
    );
    // Its own share, damage, and the dead change nothing.
    a.apply_share(at(203), 0, &share);
    b.apply_share(at(203), 1, &share[..40]);
    assert_eq!((a.peers.len(), b.peers.len()), (0, 1));
    b.on_tick(at(5000));
    assert!(b.peers.is_empty());
}

#[test]
fn two_workers_with_one_stale_view_do_not_herd() {
    let mut picks = [0u32; 8];
    for worker in 0..64 {
        // Half the prompts have a home, half have nothing to be known by.
        let prompt = blocks(worker, worker % 2 * 2);
        let mut router = Router::new(config(8, ""), worker + 1);
        let polled = Polled {
            at: at(0),
            running: 4,
            ..Polled::default()
        };
        router
            .apply_snapshot(
                at(1),
                &snapshot_of(1, at(0), &[(State::Ready, Some(polled)); 8]),
            )
            .unwrap();
        let decision = forward(&mut router, at(2), &request(&prompt, rng::mix(worker)));
        picks[decision.ranked.first().unwrap()] += 1;
    }
    assert!(picks.iter().all(|picks| *picks <= 20), "{picks:?}");
}
