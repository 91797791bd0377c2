//! The collector: discovery, polls, death, and the lease.

use plimsoll_host::scenario::{Builder, Fleet, MAIN, Request, Runtime, Scrape};

use crate::common::{both, fleet, metric, prompt, serve, warm};

fn scrapes(fleet: &Fleet) -> Vec<u64> {
    fleet
        .engines()
        .iter()
        .map(|engine| engine.scraped)
        .collect()
}

fn discovering(runtime: Runtime, engines: usize) -> Builder {
    fleet(runtime, engines).configuration("{}")
}

#[test]
fn hosts_are_discovered_and_polled() {
    let fleet = both(|runtime| {
        let mut fleet = discovering(runtime, 5).start().unwrap();
        fleet.run_ms(3_000);
        serve(&mut fleet, Request::say("m", "hello"));
        fleet
    });
    assert_eq!(metric(&fleet, "plimsoll_hosts"), 5);
    let record = &fleet.records()[0];
    assert_eq!(record.step.as_deref(), Some("step=full"));
    assert!(
        scrapes(&fleet).iter().all(|n| *n >= 5),
        "{:?}",
        scrapes(&fleet)
    );
}

#[test]
fn ipv6_hosts_are_discovered() {
    let fleet = both(|runtime| {
        let mut fleet = discovering(runtime, 2).start().unwrap();
        fleet.engine(0).address = "[2001:db8::1]:8000".to_owned();
        fleet.engine(1).address = "[::1]:9000".to_owned();
        fleet.run_ms(3_000);
        serve(&mut fleet, Request::say("m", "hello"));
        fleet
    });
    let record = &fleet.records()[0];
    assert_eq!(record.served.as_deref(), record.first());
    assert_eq!(record.step.as_deref(), Some("step=full"));
}

#[test]
fn a_host_that_the_proxy_calls_unhealthy_is_left_out() {
    let fleet = both(|runtime| {
        let mut fleet = discovering(runtime, 3).start().unwrap();
        fleet.engine(1).healthy = false;
        fleet.run_ms(3_000);
        for n in 0..6 {
            serve(&mut fleet, Request::say("m", &prompt(n, 60)));
        }
        fleet
    });
    for record in fleet.records() {
        let ranked = record.ranked.unwrap();
        assert!(!ranked.contains("10.0.0.2:"), "{ranked}");
    }
}

#[test]
fn hosts_come_and_go() {
    let fleet = both(|runtime| {
        let mut fleet = discovering(runtime, 3).start().unwrap();
        fleet.run_ms(2_000);
        fleet.engine(0).address = "10.0.9.9:8000".to_owned();
        fleet.run_ms(3_000);
        for n in 0..30 {
            serve(&mut fleet, Request::say("m", &prompt(n, 60)));
        }
        fleet
    });
    assert_eq!(metric(&fleet, "plimsoll_hosts"), 3);
    let picks = crate::common::picks(&fleet.records());
    assert!(picks.contains_key("10.0.9.9:8000"), "{picks:?}");
    assert!(!picks.contains_key("10.0.0.1:8000"), "{picks:?}");
}

#[test]
fn polls_keep_their_pace() {
    let fleet = both(|runtime| {
        let mut fleet = fleet(runtime, 4).start().unwrap();
        fleet.run_ms(10_000);
        fleet
    });
    // 200 ms a host, jittered by a quarter; one poller only.
    for scraped in scrapes(&fleet) {
        assert!((40..=67).contains(&scraped), "{scraped} scrapes in 10 s");
    }
}

#[test]
fn a_dead_collector_is_replaced_by_one_worker() {
    let fleet = both(|runtime| {
        let mut fleet = warm(fleet(runtime, 3).workers(3));
        fleet.kill(MAIN);
        fleet.run_ms(4_000);
        for engine in 0..3 {
            fleet.engine(engine).scraped = 0;
        }
        fleet.run_ms(10_000);
        serve(&mut fleet, Request::say("m", "hello").worker(2));
        fleet
    });
    assert!(!fleet.lives(MAIN));
    assert_eq!(metric(&fleet, "plimsoll_lease_taken"), 1);
    // As many polls as one collector makes, not three.
    for scraped in scrapes(&fleet) {
        assert!((35..=67).contains(&scraped), "{scraped} scrapes in 10 s");
    }
    assert_eq!(fleet.records()[0].step.as_deref(), Some("step=full"));
}

#[test]
fn the_lease_moves_on_when_its_holder_dies() {
    let fleet = both(|runtime| {
        let mut fleet = warm(fleet(runtime, 3).workers(3));
        fleet.kill(MAIN);
        fleet.run_ms(4_000);
        let holder = (1..=3).find(|worker| collects(&fleet, *worker));
        fleet.kill(holder.unwrap());
        fleet.run_ms(5_000);
        let survivor = (1..=3).find(|worker| Some(*worker) != holder).unwrap();
        serve(&mut fleet, Request::say("m", "hello").worker(survivor));
        fleet
    });
    assert_eq!(metric(&fleet, "plimsoll_lease_taken"), 2);
    assert_eq!(fleet.records()[0].step.as_deref(), Some("step=full"));
}

/// Whether a worker has calls under way; only the holder of the lease polls.
fn collects(fleet: &Fleet, worker: usize) -> bool {
    fleet.calls_made(worker) > 0
}

#[test]
fn without_a_singleton_the_workers_collect() {
    let fleet = both(|runtime| {
        let mut fleet = fleet(runtime, 3)
            .workers(2)
            .without_collector()
            .start()
            .unwrap();
        fleet.run_ms(5_000);
        serve(&mut fleet, Request::say("m", "hello"));
        fleet
    });
    assert_eq!(fleet.records()[0].step.as_deref(), Some("step=full"));
}

#[test]
fn one_bad_engine_does_not_spoil_the_snapshot() {
    let bad = [
        Scrape::Status(500),
        Scrape::Status(404),
        Scrape::Silent,
        Scrape::Reset,
        Scrape::Bytes(Vec::new()),
        Scrape::Bytes(b"\xff\xfe garbage { 1 \n\n{}{}{ vllm:num_requests_running".to_vec()),
        Scrape::Bytes(b"vllm:num_requests_running{} -7\nvllm:num_requests_waiting NaN\n".to_vec()),
        Scrape::Bytes(b"vllm:num_requests_running 1e400\nvllm:kv_cache_usage_perc +Inf\n".to_vec()),
        Scrape::Bytes(vec![b'a'; 4 << 20]),
    ];
    for scrape in bad {
        let fleet = both(|runtime| {
            let mut fleet = fleet(runtime, 3).start().unwrap();
            fleet.engine(1).scrape = scrape.clone();
            fleet.run_ms(4_000);
            serve(&mut fleet, Request::say("m", "hello"));
            fleet
        });
        assert_eq!(
            fleet.records()[0].step.as_deref(),
            Some("step=full"),
            "{scrape:?}"
        );
        assert_eq!(fleet.records()[0].status, Some(200));
    }
}

#[test]
fn garbage_from_the_admin_interface_keeps_the_last_hosts() {
    let fleet = both(|runtime| {
        let mut fleet = discovering(runtime, 2).start().unwrap();
        fleet.run_ms(3_000);
        fleet.set_admin(Some(b"<html>busy</html>".to_vec()));
        fleet.run_ms(3_000);
        fleet.set_admin(Some(
            b"{\"cluster_statuses\":[{\"name\":\"pool\",\"host_statuses\":[{\"addr".to_vec(),
        ));
        fleet.run_ms(3_000);
        serve(&mut fleet, Request::say("m", "hello"));
        fleet
    });
    assert_eq!(metric(&fleet, "plimsoll_hosts"), 2);
    assert_eq!(fleet.records()[0].step.as_deref(), Some("step=full"));
}

#[test]
fn a_pool_of_256_hosts_is_kept_fresh() {
    let fleet = both(|runtime| {
        let mut fleet = discovering(runtime, 256).start().unwrap();
        fleet.run_ms(3_000);
        serve(&mut fleet, Request::say("m", "hello"));
        fleet
    });
    assert_eq!(metric(&fleet, "plimsoll_hosts"), 256);
    assert_eq!(fleet.records()[0].step.as_deref(), Some("step=full"));
    let snapshot = fleet
        .proxy()
        .shared
        .get(b"plimsoll/pool/snapshot")
        .unwrap()
        .0;
    assert!(snapshot.len() <= 32 << 10, "{} bytes", snapshot.len());
}
