use super::tasks;
use crate::collect::{Collector, Heard, Task};
use crate::config::Config;
use crate::host::{Address, Load};
use crate::learn::Sums;
use crate::share::{self, MERGED_RING, Part, Share, SharedBlock};
use crate::time::Instant;
use alloc::vec::Vec;

fn at(millis: u64) -> Instant {
    super::at(1_000_000 + millis)
}

fn address(port: u16) -> Address {
    Address::parse(&alloc::format!("10.0.0.1:{port}")).unwrap()
}

/// A proxy that knows those at ports 1 to 3, itself among them.
fn collector(seed: u64) -> Collector {
    let peers = r#"{"exchange":{"peers":["10.0.0.1:1","10.0.0.1:2","10.0.0.1:3"]}}"#;
    Collector::new(Config::parse(peers.as_bytes()).unwrap(), seed)
}

fn part(host: u64, requests: u32) -> Part {
    Part {
        host,
        load: Load {
            requests,
            prefilling: 1,
            queued_tokens: 100,
            kv_tokens: 1000,
        },
        sums: Sums {
            ttft: 10,
            tokens: 20,
            samples: 256,
            squares: 1,
        },
        ejected_until: at(60_000),
    }
}

fn block(key: u64) -> SharedBlock {
    SharedBlock {
        key,
        part: 0,
        extent: 2048,
    }
}

fn worker(owner: u64, now: Instant, next: u64, requests: u32, blocks: &[SharedBlock]) -> Vec<u8> {
    let mut out = Vec::new();
    let part = [part(7, requests)];
    share::write(
        &mut out,
        owner,
        now,
        next,
        part.into_iter(),
        blocks.iter().copied(),
    );
    out
}

/// What the proxy tells others when its workers have written `shares`.
fn told(collector: &mut Collector, now: Instant, shares: &[Vec<u8>]) -> Vec<u8> {
    let exchange = collector.exchange();
    assert!(exchange.begin(now));
    for share in shares {
        exchange.merge(now, share);
    }
    let mut out = Vec::new();
    exchange.write_own(now, b"", &mut out);
    out
}

fn workers_hear(collector: &mut Collector, now: Instant) -> Option<(u32, Vec<u64>)> {
    let mut out = Vec::new();
    collector.exchange().write_others(now, &mut out).then(|| {
        let share = Share::new_checked(&out).unwrap();
        assert_eq!(share.stamp(), now);
        assert!(
            share
                .parts()
                .all(|part| part.ejected_until == Instant::ZERO)
        );
        let requests = share.parts().map(|part| part.load.requests).sum();
        (requests, share.blocks().map(|block| block.key).collect())
    })
}

#[test]
fn peers_are_asked_with_jitter_one_question_at_a_time() {
    let mut collector = collector(1);
    let asked: Vec<Task> = [1, 2, 3].map(|port| Task::Exchange(address(port))).into();
    let all = tasks(&mut collector, at(1000));
    assert_eq!(all.into_iter().skip(1).collect::<Vec<_>>(), asked);
    assert_eq!(tasks(&mut collector, at(1400)), [], "all are awaited");
    assert_eq!(
        collector.on_exchanged(at(1401), address(2), None),
        Heard::Silence
    );
    assert_eq!(
        tasks(&mut collector, at(1402)),
        [],
        "it is asked in the next round"
    );
    assert_eq!(tasks(&mut collector, at(1660)), [asked[1]]);
    // An answer that never comes is given up, however long the other side holds it back.
    let all = tasks(&mut collector, at(3001));
    assert_eq!(
        all.into_iter().skip(1).collect::<Vec<_>>(),
        [asked[0], asked[2]]
    );
    // A clock that is set back stops nothing.
    assert_eq!(tasks(&mut collector, at(0)).len(), 4);
}

#[test]
fn workers_of_one_proxy_are_heard_by_the_workers_of_another_whatever_its_clock() {
    let (mut a, mut b) = (collector(1), collector(2));
    // The clocks are ten minutes apart.
    let (of_a, of_b) = (at(600_000), at(0));
    let shares = [
        worker(11, of_a, 2, 3, &[block(1), block(2)]),
        worker(12, of_a, 1, 4, &[block(3)]),
        // Written by one that is gone.
        worker(13, at(598_000), 1, 100, &[block(4)]),
        b"damaged".to_vec(),
    ];
    let said = told(&mut a, of_a, &shares);
    assert_eq!(b.on_exchanged(of_b, address(1), Some(&said)), Heard::Share);
    assert_eq!(workers_hear(&mut b, of_b), Some((7, [1, 2, 3].into())));
    assert_eq!(b.exchange().heard(of_b).0, 1);
    // The next round tells what is new, and goes on with what may not have been heard yet.
    let later = of_a + crate::time::Micros::from_millis(200);
    assert!(!a.exchange().begin(of_a));
    let said = told(
        &mut a,
        later,
        &[worker(11, later, 3, 1, &[block(2), block(5)])],
    );
    let heard = b.on_exchanged(at(200), address(1), Some(&said));
    assert_eq!(heard, Heard::Share);
    let (requests, blocks) = workers_hear(&mut b, at(200)).unwrap();
    assert_eq!((requests, blocks), (1, [1, 2, 3, 5].into()));
}

#[test]
fn a_share_that_nobody_writes_any_more_ages_out_though_something_still_serves_it() {
    let (mut a, mut b) = (collector(1), collector(2));
    let said = told(&mut a, at(0), &[worker(11, at(0), 0, 5, &[])]);
    for tick in 0..20 {
        let now = at(1000 + tick * 100);
        let heard = b.on_exchanged(now, address(1), Some(&said));
        let expected = if tick == 0 {
            Heard::Share
        } else {
            Heard::Nothing
        };
        assert_eq!(heard, expected);
        let requests = if tick < 10 { 5 } else { 0 };
        if let Some((seen, _)) = workers_hear(&mut b, now) {
            assert_eq!(seen, requests, "{now:?}");
        }
    }
    assert_eq!(b.exchange().heard(at(3000)).0, 0);
}

#[test]
fn the_own_answer_a_second_address_and_damage_are_not_heard() {
    let (mut a, mut b) = (collector(1), collector(2));
    let said = told(&mut a, at(0), &[worker(11, at(0), 0, 5, &[])]);
    assert_eq!(
        a.on_exchanged(at(1), address(1), Some(&said)),
        Heard::Nothing,
        "its own"
    );
    let most = b.exchange().most_bytes();
    let mut hear = |port, body| b.on_exchanged(at(1), address(port), body);
    assert_eq!(hear(3, Some(&said[1..])), Heard::Refused);
    assert_eq!(hear(3, Some(b"")), Heard::Refused);
    assert_eq!(hear(9, Some(&said)), Heard::Nothing, "nobody asked it");
    assert_eq!(hear(1, Some(&said)), Heard::Share);
    assert_eq!(hear(2, Some(&said)), Heard::Nothing, "the same proxy again");
    let mut long = said.clone();
    long.resize(most + 1, 0);
    assert_eq!(hear(1, Some(&long)), Heard::Refused);
    assert_eq!(workers_hear(&mut b, at(3)), Some((5, Vec::new())));
}

#[test]
fn who_collects_next_goes_on_in_the_same_name_and_numbers() {
    let (mut first, mut next, mut other) = (collector(1), collector(2), collector(3));
    let said = told(
        &mut first,
        at(0),
        &[worker(11, at(0), 2, 1, &[block(1), block(2)])],
    );
    other.on_exchanged(at(0), address(1), Some(&said));
    let exchange = next.exchange();
    assert!(exchange.begin(at(300)));
    exchange.merge(at(300), &worker(11, at(300), 3, 1, &[block(3)]));
    let mut again = Vec::new();
    exchange.write_own(at(300), &said, &mut again);
    let words = said.clone();
    let (said, again) = (
        Share::new_checked(&said).unwrap(),
        Share::new_checked(&again).unwrap(),
    );
    assert_eq!((said.owner(), said.next()), (again.owner(), 2));
    assert_eq!(again.next(), 3);
    // It hears of this proxy from others as of itself.
    let heard = next.on_exchanged(at(400), address(1), Some(&words));
    assert_eq!(heard, Heard::Nothing);
}

#[test]
fn what_is_told_is_bounded() {
    let mut a = collector(1);
    let mut longest = 0;
    for round in 0..40u64 {
        let now = at(round * 200);
        let blocks: Vec<SharedBlock> = (0..1024).map(|key| block((round << 32) | key)).collect();
        let next = (round + 1) * 1024;
        let said = told(&mut a, now, &[worker(11, now, next, 1, &blocks)]);
        longest = longest.max(said.len());
        let share = Share::new_checked(&said).unwrap();
        assert_eq!(share.next(), next);
        assert!(share.blocks().len() <= MERGED_RING);
    }
    assert!(longest <= a.exchange().most_bytes());
    // A quiet second later there is nothing to repeat.
    let said = told(
        &mut a,
        at(10_000),
        &[worker(11, at(10_000), 40 * 1024, 1, &[])],
    );
    let share = Share::new_checked(&said).unwrap();
    assert_eq!((share.blocks().len(), share.next()), (0, 40 * 1024));
}
