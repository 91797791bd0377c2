//! Garbage where the module's own data should be, and in its configuration.

use plimsoll_host::scenario::{Builder, Fleet, Request};

use crate::common::{both, fleet, metric, picks, serve, sum, warm};

const KEYS: [&str; 6] = [
    "plimsoll/pool/snapshot",
    "plimsoll/pool/lease",
    "plimsoll/pool/worker/0",
    "plimsoll/pool/worker/1",
    "plimsoll/pool/worker/2",
    "plimsoll/pool/worker/63",
];

fn overwrite(fleet: &Fleet, change: impl Fn(Vec<u8>) -> Vec<u8>) {
    let mut proxy = fleet.proxy_mut();
    for key in KEYS {
        let old = proxy
            .shared
            .get(key.as_bytes())
            .map_or_else(|_| Vec::new(), |(old, _)| old);
        proxy.shared.set(key.as_bytes(), &change(old), 0).unwrap();
    }
}

#[test]
fn garbage_in_shared_data_is_refused_and_written_over() {
    type Change = fn(Vec<u8>) -> Vec<u8>;
    let changes: [(&str, Change); 8] = [
        ("empty", |_| Vec::new()),
        ("zeros", |old| vec![0; old.len()]),
        ("ones", |_| vec![0xff; 4_096]),
        ("text", |_| b"{\"not\":\"ours\"}".to_vec()),
        ("cut", |mut old| {
            old.truncate(old.len() / 2);
            old
        }),
        ("one bit", |mut old| {
            let middle = old.len() / 2;
            if let Some(byte) = old.get_mut(middle) {
                *byte ^= 1;
            }
            old
        }),
        ("longer", |mut old| {
            old.extend([1; 999]);
            old
        }),
        ("huge", |_| vec![7; 8 << 20]),
    ];
    for (name, change) in changes {
        let fleet = both(|runtime| {
            let mut fleet = warm(fleet(runtime, 3).workers(2));
            overwrite(&fleet, change);
            // Every worker meets it before anyone writes it over.
            fleet.run_ms(30);
            serve(&mut fleet, Request::say("m", "in the middle").worker(1));
            serve(&mut fleet, Request::say("m", "in the middle").worker(2));
            fleet.run_ms(3_000);
            serve(&mut fleet, Request::say("m", "after").worker(1));
            fleet
        });
        let records = fleet.records();
        assert!(
            records.iter().all(|record| record.ranked.is_some()),
            "{name}"
        );
        assert_eq!(records[2].step.as_deref(), Some("step=full"), "{name}");
    }
}

/// Configurations that must be refused, and what the log must name.
const BAD: [(&str, &[&str]); 14] = [
    ("", &[]),
    ("not json", &[]),
    ("[1,2]", &[]),
    (r#"{"policy":"magic"}"#, &["policy", "magic", "round_robin"]),
    (r#"{"pool":7}"#, &["pool", "7"]),
    (r#"{"pool":""}"#, &["pool"]),
    (r#"{"hosts":["nowhere"]}"#, &["hosts", "nowhere"]),
    (r#"{"hosts":["10.0.0.1:99999"]}"#, &["hosts", "99999"]),
    (r#"{"hosts":[{"weight":1}]}"#, &["hosts", "address"]),
    (r#"{"poll":{"every_ms":-1}}"#, &["every_ms", "-1"]),
    (r#"{"poll":{"every_ms":"fast"}}"#, &["every_ms", "fast"]),
    (
        r#"{"decide_after_bytes":1.5}"#,
        &["decide_after_bytes", "1.5"],
    ),
    (r#"{"no_such_field":true}"#, &["no_such_field"]),
    (
        r#"{"policy":"magic","explain":"yes","poll":{"every_ms":0}}"#,
        &["policy", "explain", "every_ms"],
    ),
];

#[test]
fn a_bad_configuration_is_refused_with_a_clear_error() {
    for (json, named) in BAD {
        // An empty document is what a proxy gives when nothing is configured.
        if json.is_empty() {
            continue;
        }
        both(|runtime| {
            let mut fleet = warm(fleet(runtime, 2));
            let before = fleet.proxy().log.len();
            assert!(!fleet.reconfigure(json), "{json} was accepted");
            {
                let proxy = fleet.proxy();
                let errors: String = proxy.log[before..]
                    .iter()
                    .filter(|line| line.level >= 4)
                    .map(|line| format!("{}\n", line.text))
                    .collect();
                assert!(!errors.is_empty(), "{json}: no error in the log");
                for word in named {
                    assert!(
                        errors.contains(word),
                        "{json}: {word:?} is missing in {errors:?}"
                    );
                }
            }
            // The old one keeps serving.
            serve(&mut fleet, Request::say("m", "hello"));
            assert_eq!(fleet.records()[0].step.as_deref(), Some("step=full"));
            assert!(metric(&fleet, "plimsoll_config.result=rejected") >= 1);
            fleet
        });
    }
}

#[test]
fn a_proxy_does_not_start_with_a_bad_configuration() {
    for runtime in [
        plimsoll_host::scenario::Runtime::Native,
        plimsoll_host::scenario::Runtime::Wasm,
    ] {
        let started = fleet(runtime, 1)
            .configuration(r#"{"policy":"magic"}"#)
            .start();
        assert!(started.is_err());
    }
}

#[test]
fn an_empty_configuration_is_the_default() {
    for json in ["", "{}", " {} "] {
        let fleet = both(|runtime| {
            let mut fleet = fleet(runtime, 2).configuration(json).start().unwrap();
            fleet.run_ms(3_000);
            serve(&mut fleet, Request::say("m", "hello"));
            fleet
        });
        assert_eq!(
            fleet.records()[0].step.as_deref(),
            Some("step=full"),
            "{json:?}"
        );
    }
}

#[test]
fn a_new_configuration_takes_over_without_losing_requests() {
    let fleet = both(|runtime| {
        let mut fleet = warm(fleet(runtime, 3).workers(2));
        let open: Vec<_> = (0..6)
            .map(|n| fleet.send(Request::say("m", &format!("request {n}"))))
            .collect();
        let json = Builder::listing(fleet.engines(), r#""explain":true,"policy":"round_robin""#);
        assert!(fleet.reconfigure(&json));
        fleet.run_ms(3_000);
        for stream in open {
            assert!(fleet.is_over(stream));
        }
        for n in 0..6 {
            let request = Request::say("m", &format!("later {n}"));
            serve(&mut fleet, request.header("x-plimsoll-explain", "1"));
        }
        fleet
    });
    for stream in &fleet.opened()[6..] {
        let answer = fleet.stream(*stream).response.sent_headers.unwrap();
        assert!(answer.get("x-plimsoll-decision").is_some());
    }
    assert!(
        picks(&fleet.records()[6..]).values().all(|n| *n == 2),
        "round robin"
    );
    assert!(
        fleet
            .records()
            .iter()
            .all(|record| record.status == Some(200))
    );
    crate::common::nothing_in_flight(&fleet);
    assert!(sum(&fleet, "plimsoll_config.result=accepted") > 0);
}
