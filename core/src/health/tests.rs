use super::*;
use crate::config::Config;
use crate::fixed::ONE;
use crate::host::{Address, Host};
use alloc::format;
use alloc::vec::Vec;

fn settings() -> config::Health {
    Config::default().health
}

fn at(millis: u64) -> Instant {
    Instant::from_micros(1_000_000_000 + millis * 1000)
}

fn hosts(count: usize) -> Vec<Host> {
    (1..=count)
        .map(|n| {
            Host::new(
                Address::parse(&format!("10.0.0.{n}:80")).unwrap(),
                1,
                [0; 4],
            )
        })
        .collect()
}

fn fail(hosts: &mut [Host], index: usize, now: Instant, times: u32) -> Events {
    let mut events = Events::default();
    for _ in 0..times {
        eject::on_failure(hosts, index, now, false, 7, &settings(), &mut events);
    }
    events
}

#[test]
fn back_off_doubles_with_jitter_up_to_its_limit() {
    let settings = settings();
    for seed in 0..100 {
        let mut breaker = Breaker::default();
        let mut now = at(0);
        for n in 0..12 {
            breaker.open(now, seed, &settings);
            assert!(!breaker.admits(now, &settings));
            let length = breaker.open_until().unwrap().since(now).get();
            let doubled = (1_000_000u64 << n).min(60_000_000);
            assert!(
                (doubled..=doubled * 5 / 4).contains(&length),
                "{n}: {length}"
            );
            now = now + Micros::new(length);
        }
    }
}

#[test]
fn half_open_admits_as_many_probes_as_configured_and_no_more() {
    let settings = config::Health {
        probes: 2,
        ..settings()
    };
    let mut breaker = Breaker::default();
    breaker.open(at(0), 1, &settings);
    let later = at(2000);
    for _ in 0..2 {
        assert!(breaker.admits(later, &settings));
        breaker.begin_probe();
    }
    assert!(!breaker.admits(later, &settings));
    breaker.end_probe();
    assert!(breaker.admits(later, &settings));
    breaker.close(later);
    breaker.begin_probe();
    breaker.begin_probe();
    assert!(breaker.admits(later, &settings), "closed: no limit");
}

#[test]
fn a_host_that_stayed_well_begins_its_back_off_afresh() {
    let settings = settings();
    let mut breaker = Breaker::default();
    let length = |breaker: &mut Breaker, now| {
        breaker.open(now, 1, &settings);
        breaker.open_until().unwrap().since(now)
    };
    let first = length(&mut breaker, at(0));
    breaker.close(at(2000));
    assert!(length(&mut breaker, at(3000)) > first, "flapping");
    breaker.close(at(10_000));
    assert_eq!(length(&mut breaker, at(70_000)), first);
}

#[test]
fn another_workers_opening_is_heard_once() {
    let settings = settings();
    let mut hosts = hosts(4);
    let mut events = Events::default();
    let until = at(1200);
    let mut hear = |hosts: &mut [Host], now| {
        eject::adopt(hosts, 0, now, until, &settings, &mut events);
        hosts[0].health.breaker.is_open()
    };
    assert!(hear(&mut hosts, at(0)));
    assert!(!hosts[0].health.breaker.admits(at(1000), &settings));
    assert!(hosts[0].health.on_probe(at(1100), true));
    assert!(!hear(&mut hosts, at(1150)), "our own probe knows better");
    assert_eq!(events.opened[Cause::Peer as usize], 1);
    // A stamp from a clock that ran ahead, and one that is over.
    for until in [at(10_000_000), at(900)] {
        let mut events = Events::default();
        eject::adopt(&mut hosts, 1, at(1000), until, &settings, &mut events);
        assert!(!hosts[1].health.breaker.is_open());
    }
}

#[test]
fn failures_in_a_row_eject_at_once_and_a_success_ends_the_row() {
    let settings = settings();
    let mut hosts = hosts(4);
    assert_eq!(fail(&mut hosts, 0, at(0), 4).opened, [0; 5]);
    hosts[0].health.on_success(at(1), false, &settings);
    assert_eq!(fail(&mut hosts, 0, at(2), 4).opened, [0; 5]);
    assert_eq!(fail(&mut hosts, 0, at(2), 1).opened, [1, 0, 0, 0, 0]);
    // What was under way says nothing new, well or not.
    let before = hosts[0].health.breaker;
    fail(&mut hosts, 0, at(3), 9);
    assert!(!hosts[0].health.on_success(at(4), false, &settings));
    assert_eq!(hosts[0].health.breaker, before);
}

#[test]
fn an_outlier_is_one_against_the_fleet() {
    let settings = settings();
    let mix = |hosts: &mut [Host], index: usize, bad: u32, good: u32| {
        let mut opened = 0;
        for n in 0..bad.max(good) {
            if n < bad {
                let events = fail(hosts, index, at(0), 1);
                opened += events.opened[Cause::ErrorRate as usize];
            }
            if n < good {
                hosts[index].health.on_success(at(0), false, &settings);
            }
        }
        opened
    };
    let mut alone = hosts(4);
    mix(&mut alone, 1, 0, 50);
    assert_eq!(mix(&mut alone, 0, 20, 20), 1, "the rest is well");
    let mut all = hosts(4);
    for host in 1..4 {
        mix(&mut all, host, 20, 20);
    }
    let opened = mix(&mut all, 0, 20, 20);
    assert_eq!(opened, 0, "it fails everywhere: the requests' fault");
    let mut few = hosts(4);
    assert_eq!(mix(&mut few, 0, 4, 4), 0, "too few to tell");
}

#[test]
fn no_more_are_ejected_than_the_cap_allows() {
    let settings = settings();
    for (count, allowed) in [(1, 0), (2, 1), (3, 1), (8, 4)] {
        let mut hosts = hosts(count);
        let mut capped = 0;
        for index in 0..count {
            capped += fail(&mut hosts, index, at(0), 5).capped;
        }
        assert_eq!(eject::ejected(&hosts), allowed, "{count}");
        assert_eq!(capped as usize, count - allowed);
        // Those that stay in are the others' betters all the same.
        let faults = hosts[count - 1].health.faults(at(0), &settings);
        assert_eq!(faults, 5 * ONE);
        hosts.truncate(count / 2);
        eject::keep_cap(&mut hosts, &settings);
        assert!(eject::ejected(&hosts) <= count / 4);
    }
}

#[test]
fn the_window_forgets() {
    let settings = settings();
    let mut window = Window::default();
    window.count(at(0), settings.window, false);
    window.count(at(1), settings.window, true);
    assert_eq!(window.counts(at(2), settings.window), (1, 1));
    assert_eq!(window.counts(at(5001), settings.window), (1, 1));
    assert_eq!(window.counts(at(10_001), settings.window), (0, 0));
    window.count(at(20_000), settings.window, true);
    assert_eq!(window.counts(at(20_000), settings.window), (1, 0));
}

#[test]
fn the_ramp_rises_from_a_tenth_to_one_faster_for_a_host_that_answers() {
    for curve in 1..=3 {
        let settings = config::Health {
            slow_start_curve: curve,
            ..settings()
        };
        let (mut cold, mut warm) = (Ramp::default(), Ramp::default());
        assert_eq!(cold.share(at(0), &settings), ONE, "not rising");
        cold.begin(at(0));
        warm.begin(at(0));
        (0..16).for_each(|_| warm.on_answer());
        let mut last = 0;
        for millis in (0..60_000).step_by(500) {
            let share = cold.share(at(millis), &settings);
            assert!(share >= last.max(ONE / 10) && share < ONE);
            assert!(warm.share(at(millis), &settings) >= share);
            last = share;
        }
        assert_eq!(cold.share(at(60_000), &settings), ONE);
        assert!(warm.share(at(29_000), &settings) < ONE);
        assert_eq!(warm.share(at(30_000), &settings), ONE);
        warm.settle(at(30_000), &settings);
        assert!(!warm.is_rising());
    }
}

#[test]
fn a_rising_host_takes_part_in_its_share_of_requests() {
    let settings = settings();
    let mut ramp = Ramp::default();
    ramp.begin(at(0));
    let now = at(24_000);
    let share = ramp.share(now, &settings);
    let part = |key| {
        let takes = |seed: &u64| ramp.takes_part(now, crate::rng::mix(*seed), key, &settings);
        (0..10_000u64).filter(takes).count() as u64
    };
    for key in 1..5 {
        assert!(part(key).abs_diff((10_000 * share) >> 16) < 300, "{key}");
    }
}
