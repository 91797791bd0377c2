//! The degradation ladder: full, local, hash, proxy.

use plimsoll_host::scenario::{Fleet, MAIN, Request, Scrape};

use crate::common::{both, finish, fleet, metric, picks, prompt, serve, warm};

fn step(fleet: &Fleet, request: usize) -> Option<String> {
    fleet.records()[request].step.clone()
}

/// Keeps every engine from being scraped, whoever tries.
fn silence(fleet: &mut Fleet, engines: usize) {
    for engine in 0..engines {
        fleet.engine(engine).scrape = Scrape::Silent;
    }
}

#[test]
fn a_stale_snapshot_leaves_own_knowledge() {
    let fleet = both(|runtime| {
        let mut fleet = warm(fleet(runtime, 3));
        serve(&mut fleet, Request::say("m", "while fresh"));
        fleet.kill(MAIN);
        // The lease holder must not find out anything either.
        silence(&mut fleet, 3);
        fleet.run_ms(10_000);
        serve(&mut fleet, Request::say("m", "when stale"));
        fleet
    });
    assert_eq!(step(&fleet, 0).as_deref(), Some("step=full"));
    assert_eq!(step(&fleet, 1).as_deref(), Some("step=local"));
    assert_eq!(metric(&fleet, "plimsoll_decisions.step=local"), 1);
}

#[test]
fn without_facts_a_hash_keeps_prompts_together() {
    let fleet = both(|runtime| {
        let mut fleet = fleet(runtime, 4).without_collector().start().unwrap();
        silence(&mut fleet, 4);
        // Aborted before an answer, so that nothing is learned.
        for n in 0..200 {
            let stream = fleet.send(Request::say("m", &prompt(n / 2, 3_000)));
            fleet.abort(stream);
        }
        fleet
    });
    let records = fleet.records();
    assert!(
        records
            .iter()
            .all(|record| record.step.as_deref() == Some("step=hash"))
    );
    // A prompt has a home from when it is a small part of the traffic.
    for pair in records[100..].chunks(2) {
        assert_eq!(pair[0].first(), pair[1].first());
    }
    assert_eq!(picks(&records).len(), 4, "{:?}", picks(&records));
}

#[test]
fn a_hash_is_bounded_by_load() {
    let fleet = both(|runtime| {
        let mut fleet = fleet(runtime, 4).without_collector().start().unwrap();
        silence(&mut fleet, 4);
        // One prompt that everybody sends at once.
        let streams: Vec<_> = (0..40)
            .map(|_| fleet.send(Request::say("m", &prompt(1, 3_000))))
            .collect();
        for stream in streams {
            finish(&mut fleet, stream);
        }
        fleet
    });
    let picks = picks(&fleet.records());
    assert!(
        picks.len() == 4 && picks.values().all(|n| *n <= 16),
        "{picks:?}"
    );
}

#[test]
fn without_hosts_the_proxy_decides() {
    let fleet = both(|runtime| {
        let builder = fleet(runtime, 2).configuration("{}");
        // Discovery finds nothing to ask.
        let mut fleet = builder
            .script(|proxy| proxy.clusters.clear())
            .start()
            .unwrap();
        fleet.run_ms(2_000);
        serve(&mut fleet, Request::say("m", "hello"));
        fleet
    });
    let record = &fleet.records()[0];
    assert_eq!(record.ranked, None);
    assert_eq!(record.step.as_deref(), Some("step=proxy"));
    assert_eq!(
        record.status,
        Some(200),
        "the cluster's own policy served it"
    );
}

#[test]
fn the_ladder_is_climbed_again() {
    let fleet = both(|runtime| {
        let mut fleet = warm(fleet(runtime, 2));
        serve(&mut fleet, Request::say("m", "full"));
        silence(&mut fleet, 2);
        fleet.run_ms(5_000);
        serve(&mut fleet, Request::say("m", "stale"));
        for engine in 0..2 {
            fleet.engine(engine).scrape = Scrape::Metrics;
        }
        fleet.run_ms(5_000);
        serve(&mut fleet, Request::say("m", "full again"));
        fleet
    });
    assert_eq!(step(&fleet, 2).as_deref(), Some("step=full"));
}

#[test]
fn a_wall_clock_that_is_set_does_no_harm() {
    const HOUR_MS: i64 = 3_600_000;
    for step in [HOUR_MS, -HOUR_MS, 1_500, -1_500] {
        let fleet = both(|runtime| {
            let mut fleet = warm(fleet(runtime, 3).workers(2));
            let open = fleet.send(Request::say("m", "across"));
            fleet.run_ms(60);
            fleet.proxy_mut().wall_offset_ms = step;
            finish(&mut fleet, open);
            fleet.run_ms(5_000);
            serve(&mut fleet, Request::say("m", "after").worker(1));
            serve(&mut fleet, Request::say("m", "after").worker(2));
            fleet
        });
        for record in &fleet.records()[1..] {
            assert_eq!(
                record.step.as_deref(),
                Some("step=full"),
                "clock set by {step} ms"
            );
        }
        crate::common::nothing_in_flight(&fleet);
    }
}
