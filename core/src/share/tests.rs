use super::*;
use crate::time::Micros;

#[test]
fn what_is_written_is_read_and_damage_is_refused() {
    let part = Part {
        host: 5,
        load: Load {
            requests: 1,
            prefilling: 2,
            queued_tokens: 3,
            kv_tokens: 4,
        },
        sums: Sums {
            ttft: 5,
            tokens: 6,
            samples: 7,
            squares: 8,
        },
        ejected_until: Instant::from_micros(8),
    };
    let blocks = [
        SharedBlock {
            key: 8,
            part: 0,
            extent: 2048,
        },
        SharedBlock {
            key: 9,
            part: 0,
            extent: 4096,
        },
    ];
    let mut bytes = Vec::new();
    write(
        &mut bytes,
        1,
        Instant::from_micros(2),
        3,
        [part].into_iter(),
        blocks.into_iter(),
    );
    let share = Share::new_checked(&bytes).unwrap();
    assert_eq!(
        (share.owner(), share.stamp(), share.next()),
        (1, Instant::from_micros(2), 3)
    );
    assert_eq!(share.parts().collect::<Vec<_>>(), [part]);
    assert_eq!(share.blocks().collect::<Vec<_>>(), blocks);
    for length in 0..bytes.len() {
        assert!(Share::new_checked(&bytes[..length]).is_none());
    }
    for at in 0..bytes.len() {
        let mut bad = bytes.clone();
        bad[at] ^= 0x40;
        assert!(Share::new_checked(&bad).is_none(), "{at}");
    }
}

#[test]
fn merged_shares_add_up_and_every_block_is_told_once() {
    use crate::rng::{self, Rng};
    use alloc::collections::BTreeMap;

    let mut rng = Rng::new(5);
    for hosts in [1, 3, 40] {
        let mut merger = Merger::new(9, hosts);
        let mut heard = Vec::new();
        let mut placed = Vec::new();
        let mut taken = 0;
        for round in 0..50u64 {
            let now = Instant::from_micros(round * 100_000);
            let mut sums: BTreeMap<u64, (Load, Sums)> = BTreeMap::new();
            merger.begin();
            for owner in 1..=u64::from(1 + rng.below(4)) {
                let parts: Vec<Part> = (0..hosts as u64)
                    .filter(|host| (rng::mix(round) ^ owner) >> (host % 48) & 3 > 0)
                    .map(|host| Part {
                        host: host.wrapping_mul(0x9e37_79b9_7f4a_7c15),
                        load: Load {
                            requests: rng.below(100),
                            prefilling: rng.below(100),
                            queued_tokens: rng.next() >> 8,
                            kv_tokens: rng.next(),
                        },
                        sums: Sums {
                            ttft: rng.next() >> 1,
                            tokens: u64::from(rng.below(9)),
                            samples: 256,
                            squares: 3,
                        },
                        ejected_until: now,
                    })
                    .collect();
                for part in &parts {
                    let (load, sums) = sums.entry(part.host).or_default();
                    load.add(&part.load);
                    sums.add(&part.sums);
                }
                let new: Vec<SharedBlock> = (0..if parts.is_empty() { 0 } else { rng.below(5) })
                    .map(|n| SharedBlock {
                        key: (owner << 48) | (round << 8) | u64::from(n),
                        part: rng.below(parts.len() as u32),
                        extent: n,
                    })
                    .collect();
                for block in &new {
                    placed.push((block.key, parts[block.part as usize].host));
                }
                let mut bytes = Vec::new();
                // Numbers of a writer that may have been silent for some rounds.
                let next = (round + 1) * 10;
                write(
                    &mut bytes,
                    (owner << 32) | (round / 10),
                    now,
                    next,
                    parts.into_iter(),
                    new.into_iter(),
                );
                let share = Share::new_checked(&bytes).unwrap();
                merger.add(now, &share);
            }
            let mut out = Vec::new();
            merger.write(now, Micros::from_millis(1000), &mut out);
            let merged = Share::new_checked(&out).unwrap();
            let parts: BTreeMap<u64, (Load, Sums)> = merged
                .parts()
                .map(|part| (part.host, (part.load, part.sums)))
                .collect();
            assert_eq!(parts, sums);
            assert_eq!(merged.parts().count(), parts.len());
            let first = merged.next() - merged.blocks().len() as u64;
            for block in merged.blocks().skip((taken - first) as usize) {
                heard.push((block.key, merged.host_at(block.part).unwrap()));
            }
            taken = merged.next();
        }
        assert_eq!(heard, placed);
    }
}

#[test]
fn hosts_beyond_the_limit_are_left_out() {
    let mut merger = Merger::new(9, 2);
    let mut out = Vec::new();
    merger.begin();
    for hosts in [[5, 1], [9, 1]] {
        let parts = hosts.map(|host| Part {
            host,
            load: Load {
                requests: 1,
                ..Load::default()
            },
            sums: Sums::default(),
            ejected_until: Instant::from_micros(7),
        });
        let none = core::iter::empty();
        write(&mut out, 1, Instant::ZERO, 0, parts.into_iter(), none);
        merger.add(Instant::ZERO, &Share::new_checked(&out).unwrap());
    }
    merger.write(Instant::ZERO, Micros::ZERO, &mut out);
    let share = Share::new_checked(&out).unwrap();
    let parts: Vec<(u64, u32)> = share
        .parts()
        .inspect(|part| assert_eq!(part.ejected_until, Instant::ZERO))
        .map(|part| (part.host, part.load.requests))
        .collect();
    assert_eq!(parts, [(1, 2), (5, 1)]);
}
