use super::*;
use crate::fleet::Listed;
use crate::host::{Address, Polled, State};
use crate::rng::Rng;
use crate::time::Instant;
use alloc::vec::Vec;

fn example() -> Vec<u8> {
    let mut out = Vec::new();
    let hosts = [
        Listed {
            address: Address::parse("10.0.0.1:8000").unwrap(),
            weight: 2,
            models: [7, 8, 0, 0],
            state: State::Ready,
            since: Instant::ZERO,
            polled: Some(Polled {
                at: Instant::from_micros(5_000_000),
                running: 17,
                waiting: 3,
                kv_used_q16: 32_768,
                kv_capacity_tokens: 850_000,
                computed_tokens: 4_000_000,
            }),
        },
        Listed {
            address: Address::parse("[fd00::7]:80").unwrap(),
            weight: 1,
            models: [0; 4],
            state: State::Down,
            since: Instant::ZERO,
            polled: None,
        },
    ];
    write(
        &mut out,
        42,
        Instant::from_micros(6_000_000),
        99,
        hosts.into_iter(),
    );
    out
}

/// Snapshots as they were first written, by layout version. They must be readable for ever.
const GOLDEN_1: &[u8] = include_bytes!("../../tests/data/snapshot_v1.bin");
const GOLDEN: &[u8] = include_bytes!("../../tests/data/snapshot_v2.bin");

#[test]
fn what_is_written_is_read() {
    for bytes in [example(), GOLDEN.to_vec(), GOLDEN_1.to_vec()] {
        let view = View::new_checked(&bytes).unwrap();
        assert_eq!(
            (view.epoch(), view.stamp(), view.writer()),
            (42, Instant::from_micros(6_000_000), 99)
        );
        let records: Vec<Record> = view.records().collect();
        assert_eq!(records.len(), 2);
        assert_eq!(records[0].address, Address::parse("10.0.0.1:8000").unwrap());
        assert_eq!(
            (records[0].weight, records[0].state, records[0].models),
            (2, State::Ready, [7, 8, 0, 0])
        );
        assert_eq!(
            records[0]
                .polled
                .map(|p| (p.running, p.waiting, p.kv_capacity_tokens)),
            Some((17, 3, 850_000))
        );
        assert_eq!((records[1].state, records[1].polled), (State::Down, None));
    }
}

#[test]
fn the_layout_has_not_changed() {
    if std::env::var_os("PLIMSOLL_WRITE_GOLDEN").is_some() {
        std::fs::write(
            concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/snapshot_v2.bin"),
            example(),
        )
        .unwrap();
    }
    assert_eq!(
        example(),
        GOLDEN,
        "a new layout needs a new version and its own golden file"
    );
}

#[test]
fn every_damage_is_refused() {
    let good = example();
    // Miri takes milliseconds for what takes nanoseconds.
    let (step, rounds) = if cfg!(miri) { (50, 10) } else { (1, 5000) };
    for length in (0..good.len()).step_by(step) {
        assert!(View::new_checked(&good[..length]).is_err(), "{length}");
    }
    let mut rng = Rng::new(11);
    for _ in 0..rounds {
        let mut bad = good.clone();
        let at = rng.below(bad.len() as u32) as usize;
        bad[at] ^= 1 << rng.below(8);
        // Epoch and stamp are outside the checksum: the writer's own word on freshness.
        assert!(
            View::new_checked(&bad).is_err() || (8..24).contains(&at),
            "byte {at}"
        );
    }
    let mut newer = good;
    newer[4] = 3;
    assert_eq!(
        View::new_checked(&newer).unwrap_err(),
        SnapshotError::Version(3)
    );
    assert_eq!(
        View::new_checked(b"").unwrap_err(),
        SnapshotError::Length {
            expected: 64,
            found: 0
        }
    );
}

#[test]
fn size_is_within_budget() {
    let address = Address::parse("10.0.0.1:8000").unwrap();
    let host = Listed {
        address,
        weight: 1,
        models: [0; 4],
        state: State::Ready,
        since: Instant::ZERO,
        polled: None,
    };
    let mut out = Vec::new();
    write(
        &mut out,
        1,
        Instant::ZERO,
        0,
        core::iter::repeat_n(host, 256),
    );
    assert!(out.len() <= 32 * 1024, "{}", out.len());
}
