//! Several workers over one store.

use plimsoll_host::scenario::{Fleet, Request};

use crate::common::{both, fleet, nothing_in_flight, picks, prompt, serve, warm};

#[test]
fn two_workers_do_not_herd_on_one_snapshot() {
    let fleet = both(|runtime| {
        let mut fleet = warm(fleet(runtime, 4).workers(2));
        // In one instant: no tick, no new snapshot between the requests.
        let streams: Vec<_> = (0..32)
            .map(|n| fleet.send(Request::say("m", &prompt(n, 2_000)).worker(1 + n as usize % 2)))
            .collect();
        for stream in streams {
            crate::common::finish(&mut fleet, stream);
        }
        fleet
    });
    let picks = picks(&fleet.records());
    assert_eq!(picks.len(), 4, "{picks:?}");
    assert!(picks.values().all(|n| *n <= 14), "{picks:?}");
    nothing_in_flight(&fleet);
}

#[test]
fn the_first_picks_of_many_workers_spread() {
    let fleet = both(|runtime| {
        let mut fleet = warm(fleet(runtime, 4).workers(8));
        for worker in 1..=8 {
            fleet.send(Request::say("m", &prompt(worker, 500)).worker(worker as usize));
        }
        fleet.run_ms(2_000);
        fleet
    });
    let picks = picks(&fleet.records());
    assert!(picks.values().all(|n| *n <= 5), "{picks:?}");
}

/// Loads one host through worker 1 with prompts that no engine reports yet.
fn load_one_host(fleet: &mut Fleet) -> String {
    for engine in 0..3 {
        fleet.engine(engine).script.ttft_ms = 60_000;
    }
    let document = prompt(7, 60_000);
    let mut host = None;
    for n in 0..4 {
        let text = format!("{document}{}", prompt(n, 30_000));
        let stream = fleet.send(Request::say("m", &text).worker(1));
        host = fleet.record(stream).first().map(str::to_owned);
    }
    host.unwrap()
}

#[test]
fn workers_tell_each_other_of_their_load() {
    let fleet = both(|runtime| {
        let mut fleet = warm(fleet(runtime, 3).workers(2));
        let loaded = load_one_host(&mut fleet);
        fleet.run_ms(100);
        let load = |fleet: &Fleet, host: &str| {
            let proxy = fleet.proxy();
            proxy
                .metrics
                .value(&format!("plimsoll_inflight.host={host}"))
        };
        assert!(load(&fleet, &loaded) > 0);
        let busiest = fleet
            .engines()
            .iter()
            .map(|engine| engine.address.clone())
            .max_by_key(|host| load(&fleet, host))
            .unwrap();
        for n in 0..4 {
            let stream = fleet.send(Request::say("m", &prompt(500 + n, 3_000)).worker(2));
            let first = fleet.record(stream).first().unwrap().to_owned();
            if load(&fleet, &busiest) >= 3 {
                assert_ne!(first, busiest, "worker 2 does not know of worker 1's load");
            }
        }
        fleet
    });
    drop(fleet);
}

#[test]
fn workers_tell_each_other_of_prefixes() {
    let fleet = both(|runtime| {
        let mut fleet = warm(fleet(runtime, 8).workers(2));
        let document = prompt(1, 40_000);
        for n in 0..6_usize {
            let question = format!("{document} {}", prompt(100 + n as u64, 40));
            serve(&mut fleet, Request::say("m", &question).worker(1 + n % 2));
        }
        fleet
    });
    let picks = picks(&fleet.records());
    assert_eq!(picks.len(), 1, "{:#?}", fleet.records());
}

#[test]
fn a_worker_that_dies_leaves_the_others_alone() {
    let fleet = both(|runtime| {
        let mut fleet = warm(fleet(runtime, 3).workers(2));
        fleet.send(Request::say("m", &prompt(1, 1_000)).worker(1));
        fleet.kill(1);
        serve(&mut fleet, Request::say("m", "other").worker(2));
        fleet.run_ms(1_000);
        serve(&mut fleet, Request::say("m", "reloaded").worker(1));
        fleet.run_ms(1_000);
        serve(&mut fleet, Request::say("m", "and warm").worker(1));
        fleet
    });
    let records = fleet.records();
    assert_eq!(records[1].step.as_deref(), Some("step=full"));
    assert_eq!(records[2].status, Some(200));
    assert_eq!(records[3].step.as_deref(), Some("step=full"));
}
