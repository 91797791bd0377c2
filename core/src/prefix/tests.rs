use super::*;
use alloc::vec::Vec;

fn matched(index: &Index, keys: &[u64], hosts: usize) -> Vec<(usize, usize)> {
    let mut candidates = alloc::vec![0u64; hosts.div_ceil(64)];
    for host in 0..hosts {
        candidates[host / 64] |= 1 << (host % 64);
    }
    let mut out = Vec::new();
    index.matches(keys.iter().copied(), &mut candidates, |host, depth| {
        out.push((host, depth))
    });
    out.sort_unstable();
    out
}

#[test]
fn matches_the_longest_held_prefix_of_every_host() {
    let mut index = Index::new(1024, 130);
    for (host, depth) in [(0, 3), (64, 1), (129, 5)] {
        for key in 1..=depth {
            assert!(index.insert(key, host, 0, 10));
        }
    }
    assert_eq!(
        matched(&index, &[1, 2, 3, 4, 5, 6], 130),
        [(0, 3), (64, 1), (129, 5)]
    );
    assert_eq!(
        matched(&index, &[1, 2, 3], 130),
        [(0, 3), (64, 1), (129, 3)]
    );
    assert_eq!(matched(&index, &[2, 3], 130), [(0, 2), (129, 2)]);
    assert_eq!(matched(&index, &[7, 1], 130), []);
    assert!(!index.insert(1, 0, 0, 11), "known already");
}

#[test]
fn agrees_with_a_map_of_sets() {
    use alloc::collections::{BTreeMap, BTreeSet};
    let mut rng = rng::Rng::new(7);
    let mut index = Index::new(4096, 16);
    let mut model: BTreeMap<u64, BTreeSet<usize>> = BTreeMap::new();
    for round in 0..if cfg!(miri) { 40 } else { 3000 } {
        let prompt: Vec<u64> = (1..=u64::from(rng.below(8) + 1))
            .map(|i| block_key(i * 100 + u64::from(rng.below(3)), 1, 2))
            .collect();
        let mut expected = Vec::new();
        for host in 0..16 {
            let depth = prompt
                .iter()
                .take_while(|key| model.get(key).is_some_and(|set| set.contains(&host)))
                .count();
            if depth > 0 {
                expected.push((host, depth));
            }
        }
        assert_eq!(matched(&index, &prompt, 16), expected, "round {round}");
        let host = rng.below(16) as usize;
        for key in prompt {
            index.insert(key, host, 0, 1);
            model.entry(key).or_default().insert(host);
        }
    }
    assert_eq!(index.evictions(), 0, "the model forgets nothing");
}

#[test]
fn two_turns_forget_what_was_not_touched() {
    let mut index = Index::new(64, 4);
    index.insert(1, 2, 0, 1);
    index.insert(2, 2, 0, 1);
    index.insert(1, 3, 0, 1);
    index.turn(2);
    index.sweep();
    assert_eq!(matched(&index, &[1, 2], 4), [(2, 2), (3, 1)]);
    index.insert(1, 2, 0, 2);
    index.turn(2);
    index.sweep();
    assert_eq!(matched(&index, &[1, 2], 4), [(2, 1), (3, 1)]);
    index.forget(2);
    assert_eq!(matched(&index, &[1, 2], 4), [(3, 1)]);
}

#[test]
fn a_full_bucket_gives_up_its_oldest_block() {
    let mut index = Index::new(8, 1);
    for key in 1..=8 {
        index.insert(key, 0, 0, key);
    }
    index.insert(1, 0, 0, 20);
    index.insert(9, 0, 0, 21);
    assert_eq!(index.evictions(), 1);
    assert_eq!(matched(&index, &[2], 1), []);
    assert_eq!(matched(&index, &[1], 1), [(0, 1)]);
}

#[test]
fn shared_blocks_are_not_rare() {
    let mut index = Index::new(1024, 8);
    for i in 0..1000u64 {
        index.count_request(i / 10);
        index.insert(1, 0, 0, i / 10);
        index.insert(1000 + i, 0, 0, i / 10);
    }
    assert!(!index.is_rare(1, 8, 100));
    assert!(index.is_rare(1999, 8, 100));
    assert!(index.is_rare(77, 8, 100));
}

#[test]
#[cfg_attr(miri, ignore = "arithmetic alone, and much of it")]
fn homes_agree_and_are_spread_by_speed() {
    let hosts = |skip: usize| {
        (0..8usize)
            .filter(move |i| *i != skip)
            .map(|i| (i, rng::mix(i as u64), u32::from(i < 2)))
    };
    let mut counts = [0u32; 8];
    let mut moved = 0;
    for key in 0..10_000 {
        let home = Homes::home_of(key, hosts(8)).unwrap();
        counts[home] += 1;
        let without = Homes::home_of(key, hosts(7)).unwrap();
        moved += u32::from(home != 7 && without != home);
    }
    assert_eq!(moved, 0, "only the prefixes of a host that leaves move");
    for (i, count) in counts.iter().enumerate() {
        let expected = if i < 2 { 2000 } else { 1000 };
        assert!(count.abs_diff(expected) < expected / 8, "{counts:?}");
    }
}

#[test]
fn unconfirmed_credit_fades_to_its_floor() {
    let mut homes = Homes::default();
    assert_eq!(
        homes.credit(1000, 0, false),
        0,
        "alone, nobody else fills caches"
    );
    assert_eq!(
        homes.credit(1000, crate::fixed::ONE / 2, false),
        2 * crate::fixed::ONE,
        "no engine can have reported yet"
    );
    for _ in 0..32 {
        homes.on_sent(1000, true);
    }
    assert_eq!(
        homes.credit(1000, crate::fixed::ONE / 2, false),
        crate::fixed::ONE / 2,
        "no engine has reported"
    );
    homes.on_confirmed(1000, 100, 100);
    assert_eq!(
        homes.credit(1000, crate::fixed::ONE / 2, false),
        2 * crate::fixed::ONE
    );
    assert_eq!(
        homes.credit(1000, crate::fixed::ONE / 2, true),
        crate::fixed::ONE / 2,
        "others tell what they hold"
    );
    for _ in 0..500 {
        homes.on_sent(1000, true);
        homes.on_confirmed(1000, 100, 0);
    }
    assert_eq!(
        homes.credit(1000, crate::fixed::ONE / 2, false),
        crate::fixed::ONE / 20
    );
    assert_eq!(
        homes.credit(100_000, crate::fixed::ONE / 2, false),
        crate::fixed::ONE / 20,
        "a size without samples is believed to be as the others"
    );
    for _ in 0..100 {
        homes.on_confirmed(100_000, 100, 100);
    }
    assert!(homes.credit(100_000, crate::fixed::ONE / 2, false) > crate::fixed::ONE);
    assert!(homes.credit(1000, crate::fixed::ONE / 2, false) < crate::fixed::ONE / 2);
}
