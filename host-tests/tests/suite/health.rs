//! Hosts that fail, hang, stall, join and leave: what the real module makes of them.

use std::collections::BTreeMap;

use plimsoll_host::scenario::{Engine, Fleet, MAIN, Record, Request, Runtime, Script};

use crate::common::{both, fleet, metric, nothing_in_flight, picks, prompt, sum, warm};

const FIRST: &str = "10.0.0.1:8000";

/// Sends a request every `gap_ms` for `ms`, without waiting for answers; gives their records.
fn load(fleet: &mut Fleet, ms: u64, gap_ms: u64) -> Vec<Record> {
    let before = fleet.opened().len();
    for n in 0..ms / gap_ms {
        let seed = (before as u64) << 20 | n;
        fleet.send(Request::say("m", &prompt(seed, 200)));
        fleet.run_ms(gap_ms);
    }
    fleet.records()[before..].to_vec()
}

/// Part of `records` whose first choice was `host`, in thousandths.
fn permille(records: &[Record], host: &str) -> usize {
    let first = records.iter().filter(|record| record.first() == Some(host));
    first.count() * 1000 / records.len()
}

/// Waits until every answer has come, and fails if one has not.
fn settle(fleet: &mut Fleet, ms: u64) {
    fleet.run_ms(ms);
    for stream in fleet.opened().to_vec() {
        assert!(fleet.is_over(stream), "{stream:?} hangs");
    }
    nothing_in_flight(fleet);
}

fn refusing() -> Script {
    Script {
        status: 500,
        ttft_ms: 1,
        stream: false,
        tokens: 0,
        prompt_tokens: None,
        ..Script::default()
    }
}

/// Streams of half a second, so that hosts are busy.
fn busy(fleet: &mut Fleet) {
    for engine in 0..fleet.engines().len() {
        fleet.engine(engine).script.tpot_ms = 120;
    }
}

#[test]
fn a_host_that_fails_at_once_gets_under_one_percent() {
    // By whom: the breaker, the score alone, and nobody, as plain least request has it.
    let unguarded = r#""health":{"max_ejected":0,"consecutive_failures":1000}"#;
    let plain = [r#""policy":"least_request","#, unguarded].concat();
    let mut shares = Vec::new();
    let eager = r#""health":{"consecutive_failures":3}"#;
    for fields in [eager, unguarded, &*plain] {
        let fleet = both(|runtime| {
            let mut fleet = warm(fleet(runtime, 8).fields(fields));
            busy(&mut fleet);
            fleet.engine(0).script = refusing();
            load(&mut fleet, 6_000, 10);
            settle(&mut fleet, 2_000);
            fleet
        });
        shares.push(permille(&fleet.records()[200..], FIRST));
    }
    println!("thousandths of requests to a host that answers 500 in 1 ms: {shares:?}");
    assert!(shares[0] < 10 && shares[1] < 40, "{shares:?}");
    assert!(shares[2] > 500, "{shares:?}");
}

#[test]
fn an_ejected_host_is_probed_and_comes_back_along_the_ramp() {
    let fields = r#""health":{"consecutive_failures":2,"open_ms":500,"max_open_ms":2000,"window_ms":1000,"slow_start_ms":6000}"#;
    let fleet = both(|runtime| {
        let mut fleet = warm(fleet(runtime, 4).fields(fields));
        busy(&mut fleet);
        fleet.engine(0).script.status = 500;
        load(&mut fleet, 3_000, 20);
        fleet.engine(0).script.status = 200;
        load(&mut fleet, 20_000, 20);
        settle(&mut fleet, 2_000);
        fleet
    });
    let records = fleet.records();
    assert!(metric(&fleet, "plimsoll_ejections.reason=probe") >= 1);
    assert_eq!(metric(&fleet, "plimsoll_recoveries"), 1);
    assert_eq!(metric(&fleet, "plimsoll_ejected"), 0);
    let share = |seconds: std::ops::Range<usize>| {
        let range = seconds.start * 50..seconds.end * 50;
        permille(&records[range], FIRST)
    };
    let (early, late) = (share(5..8), share(18..23));
    assert!(share(1..3) < 30, "ejected: {}", share(1..3));
    assert!(
        early > 10 && early < late,
        "neither starved nor flooded: {early}, then {late}"
    );
    assert!((190..310).contains(&late), "full share: {late}");
}

#[test]
fn a_host_that_joins_starts_slowly_and_all_at_the_start_do_not() {
    let fleet = both(|runtime| {
        let json = r#"{"health":{"slow_start_ms":8000}}"#;
        let mut fleet = fleet(runtime, 4).configuration(json).start().unwrap();
        busy(&mut fleet);
        fleet.engine(3).healthy = false;
        // Longer than a proxy that starts may take for its first checks.
        fleet.run_ms(11_000);
        load(&mut fleet, 2_000, 20);
        fleet.engine(3).healthy = true;
        fleet.run_ms(1_100);
        load(&mut fleet, 20_000, 20);
        settle(&mut fleet, 2_000);
        fleet
    });
    let records = fleet.records();
    let joined = "10.0.0.4:8000";
    let before = permille(&records[..100], FIRST);
    assert!((250..420).contains(&before), "{before}");
    let (early, late) = (
        permille(&records[100..200], joined),
        permille(&records[800..], joined),
    );
    assert!(early > 5 && early < 160, "{early}");
    assert!((190..310).contains(&late), "{late}");
}

/// Starts a fleet, has `change` begin under load, and gives the records of a second later and on.
fn drained(runtime: Runtime, change: impl Fn(&mut Fleet)) -> Fleet {
    let mut fleet = fleet(runtime, 3).configuration("{}").start().unwrap();
    fleet.run_ms(2_000);
    for engine in 0..3 {
        fleet.engine(engine).script.tokens = 40;
        fleet.engine(engine).script.tpot_ms = 100;
    }
    load(&mut fleet, 1_000, 20);
    change(&mut fleet);
    fleet.run_ms(1_200);
    load(&mut fleet, 1_000, 20);
    settle(&mut fleet, 6_000);
    fleet
}

#[test]
fn a_draining_host_gets_nothing_new_and_finishes_its_streams() {
    type Change = fn(&mut Fleet);
    let ways: [(&str, Change); 4] = [
        ("the proxy says DRAINING", |fleet| {
            fleet.engine(0).draining = true
        }),
        ("the filter's configuration lists it", |fleet| {
            assert!(fleet.reconfigure(r#"{"draining":["10.0.0.1:8000"]}"#));
        }),
        ("its weight is nothing", |fleet| {
            let admin = fleet.admin_clusters();
            fleet.set_admin(Some(
                admin.replacen("\"weight\":1", "\"weight\":0", 1).into(),
            ));
        }),
        ("it is no longer listed", |fleet| {
            let admin = fleet.admin_clusters();
            let without = admin.replacen("\"address\":\"10.0.0.1\"", "\"address\":\"\"", 1);
            fleet.set_admin(Some(without.into()));
        }),
    ];
    for (how, change) in ways {
        let fleet = both(|runtime| drained(runtime, change));
        let records = fleet.records();
        let (before, after) = records.split_at(50);
        assert!(permille(before, FIRST) > 150, "{how}");
        assert_eq!(permille(after, FIRST), 0, "{how}");
        let whole = |record: &Record| record.status == Some(200);
        assert!(records.iter().all(whole), "{how}");
        assert_eq!(metric(&fleet, "plimsoll_failed"), 0, "{how}");
    }
}

#[test]
fn silence_ejects_before_the_first_token_and_in_the_middle() {
    let hangs = Script {
        ttft_ms: 500_000,
        ..Script::default()
    };
    let stalls = Script {
        tpot_ms: 500_000,
        ..Script::default()
    };
    for script in [hangs, stalls] {
        let fleet = both(|runtime| {
            let mut fleet = warm(fleet(runtime, 4).fields(r#""health":{"stall_ms":1000}"#));
            load(&mut fleet, 1_000, 20);
            fleet.engine(0).script = script.clone();
            load(&mut fleet, 6_000, 20);
            // The clients of what hangs go away, and it is well again.
            for stream in fleet.opened().to_vec() {
                fleet.abort(stream);
            }
            fleet.engine(0).script = Script::default();
            fleet.run_ms(3_000);
            load(&mut fleet, 6_000, 20);
            settle(&mut fleet, 3_000);
            fleet
        });
        let records = fleet.records();
        assert!(metric(&fleet, "plimsoll_ejections.reason=stall") >= 1);
        assert!(metric(&fleet, "plimsoll_stalls") >= 1);
        let silent = permille(&records[200..350], FIRST);
        assert!(silent < 20, "{silent}");
        assert!(permille(&records[400..], FIRST) > 10, "it is tried again");
    }
}

#[test]
fn clients_that_give_up_sooner_than_silence_is_noticed_still_count() {
    let fleet = both(|runtime| {
        let mut fleet = warm(fleet(runtime, 4).fields(r#""health":{"stall_ms":4000}"#));
        load(&mut fleet, 1_000, 20);
        fleet.engine(0).script.ttft_ms = 500_000;
        for _ in 0..8 {
            load(&mut fleet, 1_500, 20);
            for stream in fleet.opened().to_vec() {
                fleet.abort(stream);
            }
        }
        fleet.run_ms(50);
        nothing_in_flight(&fleet);
        fleet
    });
    let late = permille(&fleet.records()[350..], FIRST);
    assert!(late < 20, "{late}");
}

#[test]
fn no_more_than_half_of_the_fleet_is_ejected() {
    let fleet = both(|runtime| {
        let mut fleet = warm(fleet(runtime, 6));
        for engine in 0..6 {
            fleet.engine(engine).script = refusing();
        }
        load(&mut fleet, 3_000, 10);
        settle(&mut fleet, 1_000);
        fleet
    });
    assert_eq!(metric(&fleet, "plimsoll_ejected"), 3);
    assert!(metric(&fleet, "plimsoll_ejections.reason=capped") > 0);
    let records = fleet.records();
    assert!(records.iter().all(|record| record.ranked.is_some()));
    assert_eq!(metric(&fleet, "plimsoll_failed") as usize, records.len());
}

#[test]
fn a_host_that_joins_is_warmed_up_first_when_asked_for() {
    let fleet = both(|runtime| {
        let json = r#"{"warmup":{"requests":6}}"#;
        let mut fleet = fleet(runtime, 3).configuration(json).start().unwrap();
        fleet.engine(2).healthy = false;
        // Longer than a proxy that starts may take for its first checks.
        fleet.run_ms(11_000);
        assert_eq!(metric(&fleet, "plimsoll_warmups"), 0);
        fleet.engine(2).healthy = true;
        fleet.run_ms(3_000);
        load(&mut fleet, 1_000, 20);
        settle(&mut fleet, 1_000);
        fleet
    });
    assert_eq!(metric(&fleet, "plimsoll_warmups"), 6);
}

#[test]
fn a_limit_of_requests_in_flight_is_answered_and_holds() {
    let fleet = both(|runtime| {
        let mut fleet = warm(fleet(runtime, 2).fields(r#""limits":{"host_inflight":3}"#));
        busy(&mut fleet);
        for n in 0..10 {
            fleet.send(Request::say("m", &prompt(n, 100)));
        }
        settle(&mut fleet, 2_000);
        fleet
    });
    let statuses: Vec<_> = fleet.records().iter().map(|record| record.status).collect();
    assert!(statuses[..6].iter().all(|status| *status == Some(200)));
    assert!(statuses[6..].iter().all(|status| *status == Some(429)));
    assert_eq!(metric(&fleet, "plimsoll_rejected.reason=full"), 4);
}

#[test]
fn a_dead_collector_is_replaced_within_three_poll_periods_and_nothing_changes() {
    let fleet = both(|runtime| {
        let mut fleet = warm(fleet(runtime, 3).workers(2));
        fleet.engine(2).up = false;
        fleet.run_ms(2_000);
        fleet.kill(MAIN);
        let mut waited = 0;
        while metric(&fleet, "plimsoll_lease_taken") == 0 {
            fleet.run_ms(25);
            waited += 25;
            assert!(waited <= 3 * 200 + 100, "{waited} ms");
        }
        load(&mut fleet, 500, 20);
        settle(&mut fleet, 1_000);
        fleet
    });
    assert_eq!(
        permille(&fleet.records(), "10.0.0.3:8000"),
        0,
        "still known to be down"
    );
    assert_eq!(metric(&fleet, "plimsoll_rebooked"), 0);
}

#[test]
fn a_reloaded_worker_is_counted() {
    let fleet = both(|runtime| {
        let mut fleet = warm(fleet(runtime, 2).workers(2));
        let before = metric(&fleet, "plimsoll_worker_starts");
        fleet.kill(1);
        load(&mut fleet, 2_000, 100);
        settle(&mut fleet, 1_000);
        assert_eq!(metric(&fleet, "plimsoll_worker_starts"), before + 1);
        fleet
    });
    assert!(fleet.lives(1));
}

#[test]
fn what_a_dead_worker_had_in_flight_does_not_stay_in_the_gauges() {
    let fleet = both(|runtime| {
        let mut fleet = warm(fleet(runtime, 2).workers(3));
        busy(&mut fleet);
        for n in 0..9 {
            fleet.send(Request::say("m", &prompt(n, 100)).worker(1 + n as usize % 3));
        }
        fleet.run_ms(100);
        assert_eq!(sum(&fleet, "plimsoll_inflight."), 9);
        fleet.kill(1);
        fleet.run_ms(1_000);
        assert_eq!(sum(&fleet, "plimsoll_inflight."), 3, "nobody knows yet");
        fleet.run_ms(6_000);
        nothing_in_flight(&fleet);
        // The others go on counting right.
        fleet.send(Request::say("m", &prompt(99, 100)).worker(2));
        fleet.run_ms(100);
        assert_eq!(sum(&fleet, "plimsoll_inflight."), 1);
        fleet.run_ms(2_000);
        fleet
    });
    nothing_in_flight(&fleet);
}

/// A minute in which everything happens, over and over: afterwards nothing is left, and no VM has grown since the second third.
#[test]
fn a_minute_of_trouble_leaves_nothing_behind() {
    let mut fleet = warm(fleet(Runtime::Wasm, 6).workers(2).configuration("{}"));
    fleet.run_ms(1_000);
    let well = Script::default();
    let mut third = BTreeMap::new();
    for round in 0..60 {
        let engine = round % 6;
        let trouble = match round % 5 {
            0 => refusing(),
            1 => Script {
                breaks: true,
                ..well.clone()
            },
            2 => Script {
                ttft_ms: 3_000,
                ..well.clone()
            },
            3 => Script {
                tpot_ms: 900,
                ..well.clone()
            },
            _ => well.clone(),
        };
        fleet.engine(engine).script = trouble;
        fleet.engine(engine).up = round % 7 != 3;
        fleet.engine((engine + 3) % 6).draining = round % 4 == 1;
        fleet.engine((engine + 2) % 6).healthy = round % 3 != 2;
        load(&mut fleet, 1_000, 10);
        let last = fleet.opened().len() - 1;
        let stream = fleet.opened()[last];
        fleet.abort(stream);
        fleet.engine(engine).script = well.clone();
        fleet.engine(engine).up = true;
        if round == 40 {
            third = fleet.pages().clone();
        }
    }
    for engine in 0..6 {
        let address = fleet.engines()[engine].address.clone();
        *fleet.engine(engine) = Engine {
            active: fleet.engines()[engine].active,
            ..Engine::new(address)
        };
    }
    settle(&mut fleet, 20_000);
    fleet.check();
    println!(
        "pages of each VM after 40 s and after 60 s: {third:?} {:?}",
        fleet.pages()
    );
    assert_eq!(*fleet.pages(), third);
    assert!(picks(&fleet.records()).len() == 6);
}
