use alloc::string::String;
use alloc::vec::Vec;

use super::*;
use crate::choose::{Choice, Facts};
use crate::config::{Config, Policy};
use crate::explain::Step;
use crate::fixed::ONE;
use crate::fleet::Listed;
use crate::host::Address;
use crate::host::{Polled, State};
use crate::observe::Seen;
use crate::request::{Block, Kind};
use crate::router::{Outcome, Router, Verdict};
use crate::score::Terms;
use crate::snapshot;
use crate::time::{Instant, Micros};

/// Rewritten never: records that were written once are read for ever.
const GOLDEN: &[u8] = include_bytes!("../../tests/data/record_v1.bin");

/// A decision with all that a record can hold; the golden record is of it.
fn example() -> Vec<u8> {
    let json =
        br#"{"hosts":["10.0.0.1:80",{"address":"[2001:db8::2]:8000","weight":3},"10.0.0.3:80"],
        "shadow":{"enabled":true,"policy":"weighted_round_robin","weights":{"stall":2}}}"#;
    let mut router = Router::new(Config::parse(json).unwrap(), 7);
    let blocks = [Block { hash: 5, end: 1000 }, Block { hash: 6, end: 2000 }];
    let request = Request {
        kind: Kind::Chat,
        model: 9,
        tenant: 4,
        prompt_bytes: 2500,
        blocks: &blocks,
        blocks_complete: true,
        max_tokens: Some(100),
        stream: true,
        seed: 11,
        ..Request::default()
    };
    let now = Instant::from_micros(1_700_000_000_000_000);
    let mut record = Vec::new();
    let first = router.on_request_recorded(now, &request, &mut record);
    let Verdict::Forward(first) = first else {
        panic!("{first:?}");
    };
    let token = Seen {
        tokens: 1,
        ..Seen::default()
    };
    router.on_chunk(now + Micros::from_millis(30), first.ticket, token);
    let outcome = Outcome {
        status: 200,
        ..Outcome::default()
    };
    router.on_done(now + Micros::from_millis(90), first.ticket, outcome);
    let listed = router.hosts().map(|(index, host)| Listed {
        address: host.address,
        weight: host.weight,
        models: host.models,
        state: [State::Ready, State::Ready, State::Draining][index],
        since: Instant::ZERO,
        polled: Some(Polled {
            at: now,
            running: 5,
            waiting: 2,
            kv_used_q16: 60_000,
            kv_capacity_tokens: 100_000,
            computed_tokens: 0,
        }),
    });
    let listed: Vec<_> = listed.collect();
    let mut bytes = Vec::new();
    snapshot::write(&mut bytes, 1, now, 1, listed.into_iter());
    router.apply_snapshot(now, &bytes).unwrap();
    router.on_tick(now + Micros::from_millis(100));
    router.on_request(now + Micros::from_millis(150), &request);
    let now = now + Micros::from_millis(200);
    router.on_request_recorded(now, &request, &mut record);
    record
}

#[test]
fn a_record_is_read_for_ever() {
    let view = View::new_checked(GOLDEN).unwrap();
    assert_eq!((view.len(), view.policy()), (3, Policy::Plimsoll));
    assert_eq!(view.shadow_policy(), Some(Policy::WeightedRoundRobin));
    assert!(view.gathered());
    let question = view.question();
    assert_eq!((question.step, question.seed), (Step::Full, 11));
    assert_eq!(view.now().as_micros(), 1_700_000_000_200_000);
    assert_eq!(view.snapshot_age(), Some(Micros::from_millis(200)));
    let estimate = view.estimate();
    assert_eq!((estimate.prompt_tokens, estimate.output_tokens), (625, 100));
    assert_eq!(view.tie_band(), ONE / 64);
    let weights = view.weights();
    assert_eq!((weights.prefill, weights.stall), (3 * ONE, ONE / 2));
    assert_eq!((weights.crowding, weights.kv_pressure), (ONE / 5, 5 * ONE));
    assert_eq!(weights.kv_limit, ONE * 4 / 5);
    assert_eq!(view.shadow_weights().stall, 2 * ONE);

    let hosts: Vec<Candidate> = view.hosts().collect();
    let ruled_out: Vec<u8> = hosts.iter().map(|host| host.ruled_out).collect();
    assert_eq!(ruled_out, [0, 0, 3]);
    let host = hosts[1];
    assert_eq!(Some(host.address), Address::parse("[2001:db8::2]:8000"));
    let Facts {
        load,
        weight,
        octave,
        key,
    } = host.facts;
    assert_eq!((load, weight, octave), (1, 3, 5));
    assert_eq!(key, host.address.key());
    let inputs = host.inputs;
    assert_eq!((inputs.known_tokens, inputs.credited_tokens), (500, 0));
    assert_eq!((inputs.queued_tokens, inputs.requests), (375, 8));
    assert_eq!((inputs.per_token, inputs.e2e), (1_092_264, 90_000));
    assert_eq!((inputs.kv_used, inputs.kv_added), (60_000, 1350));
    assert_eq!(inputs.kv_capacity, 100_000);
    let credits: Vec<i64> = hosts.iter().map(|host| host.shadow_credit).collect();
    assert_eq!(credits, [-2, 1, 1]);
    assert!(hosts.iter().all(|host| host.credit == 0));

    let Choice { ranked, terms } = view.choice();
    assert!(ranked.iter().eq([1, 0]));
    let Terms {
        total,
        wait,
        prefill,
        stall,
        kv,
        ..
    } = terms[0];
    assert_eq!(
        (total, wait, prefill, stall, kv),
        (88_888, 16_247, 6249, 8332, 58_060)
    );
    assert_eq!(terms[1].total, 233_124);
    let shadow = view.shadow().unwrap();
    assert!(shadow.ranked.iter().eq([1, 0]));
}

#[test]
fn every_damage_is_refused() {
    let good = example();
    // Miri takes milliseconds for what takes nanoseconds.
    let step = if cfg!(miri) { 211 } else { 1 };
    for length in (0..good.len()).step_by(step) {
        assert!(View::new_checked(&good[..length]).is_err(), "{length}");
    }
    for at in (0..good.len()).step_by(step) {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        assert!(View::new_checked(&bad).is_err(), "{at}");
    }
    assert_eq!(
        View::new_checked(b"PLSN").unwrap_err(),
        RecordError::NotARecord
    );
}

#[test]
fn a_longer_header_and_longer_parts_are_read_by_their_beginning() {
    let good = example();
    let longer = |from: usize, to: usize, more: usize| {
        let mut part = good[from..to].to_vec();
        part.resize(to - from + more, 0xee);
        part
    };
    let mut bytes = longer(0, HEADER, 8);
    for host in 0..3 {
        let start = HEADER + host * HOST;
        bytes.extend(longer(start, start + HOST, 24));
    }
    bytes[6..8].copy_from_slice(&(HEADER as u16 + 8).to_le_bytes());
    bytes[8..10].copy_from_slice(&(HOST as u16 + 24).to_le_bytes());
    let checksum = checksum(&bytes);
    bytes[16..24].copy_from_slice(&checksum.to_le_bytes());
    let (old, new) = (
        View::new_checked(&good).unwrap(),
        View::new_checked(&bytes).unwrap(),
    );
    assert_eq!(old.replay(), new.replay());
    assert!(old.hosts().eq(new.hosts()));
}

#[test]
fn records_in_a_row_are_split() {
    let one = example();
    let mut file = [one.clone(), one.clone()].concat();
    assert_eq!(split(&file).count(), 2);
    file.extend_from_slice(&one[..40]);
    assert!(split(&file).all(|part| part == one));
    assert_eq!(split(&file).count(), 2);
    assert_eq!(split(b"PLSD").count(), 0);
}

#[test]
fn base64_is_that_of_everybody() {
    let pairs = [
        ("", ""),
        ("f", "Zg=="),
        ("fo", "Zm8="),
        ("foo", "Zm9v"),
        ("foob", "Zm9vYg=="),
        ("fooba", "Zm9vYmE="),
        ("foobar", "Zm9vYmFy"),
        ("\u{3ff}\u{3bf}", "z7/Ovw=="),
    ];
    for (plain, text) in pairs {
        let mut encoded = String::new();
        encode(plain.as_bytes(), &mut encoded);
        assert_eq!(encoded, text);
        for text in [text, text.trim_end_matches('=')] {
            let mut decoded = Vec::new();
            assert!(decode(text.as_bytes(), &mut decoded));
            assert_eq!(decoded, plain.as_bytes());
        }
    }
    for bad in ["Z", "Zg=a", "Zm9v!", "Zm9 "] {
        assert!(!decode(bad.as_bytes(), &mut Vec::new()), "{bad}");
    }
}
