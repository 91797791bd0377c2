use super::*;
use alloc::vec;

const TTL: u64 = 1_000_000;
const SECRET: [u64; 2] = [1, 2];

fn config(change: impl FnOnce(&mut config::Reuse)) -> config::Reuse {
    let mut config = config::Reuse {
        coalesce: true,
        ttl: Micros::new(TTL),
        bytes: 4096,
        answer_bytes: 1024,
        followers: 2,
        max_wait: Micros::new(500),
    };
    change(&mut config);
    config
}

fn reuse(change: impl FnOnce(&mut config::Reuse)) -> Reuse {
    let mut reuse = Reuse::default();
    reuse.configure(&config(change));
    reuse
}

fn at(micros: u64) -> Instant {
    Instant::from_micros(10_000_000 + micros)
}

fn key(n: u64) -> Key {
    let asked = Asked {
        tenant: n,
        ..Asked::default()
    };
    asked.key(SECRET, vec![7]).unwrap()
}

fn lead(reuse: &mut Reuse, now: Instant, key: Key) -> Flight {
    match reuse.arrive(now, key, 0) {
        Found::Leads(flight) => flight,
        other => panic!("{other:?}"),
    }
}

fn land(reuse: &mut Reuse, now: Instant, n: u64, content: &[u8]) {
    let flight = lead(reuse, now, key(n));
    assert!(reuse.push(flight, Body::Json, content, true));
    reuse.end(now, flight);
}

#[test]
fn nothing_but_the_same_request_of_the_same_owner_has_the_same_key() {
    let of = |body: &[u8], words: [&[u8]; 4], tenant| {
        let asked = Asked { words, tenant };
        asked.key(SECRET, body.to_vec()).unwrap()
    };
    let keys = [
        of(b"body", [b"host", b"/path", b"", b""], 1),
        of(b"body", [b"host", b"/path", b"", b""], 2),
        of(b"bodyhost", [b"", b"/path", b"", b""], 1),
        of(b"body", [b"host/", b"path", b"", b""], 1),
        of(b"body", [b"host", b"/path", b"a", b""], 0),
        of(b"body", [b"host", b"/path", b"", b"a"], 0),
        of(b"body", [b"host", b"/path", b"b", b""], 0),
        of(b"body", [b"host", b"/pat", b"ha", b""], 0),
        of(b"body ", [b"host", b"/path", b"a", b""], 0),
    ];
    for (i, one) in keys.iter().enumerate() {
        for (j, other) in keys.iter().enumerate() {
            assert_eq!(one == other, i == j, "{i} {j}");
        }
    }
    // A tenant is one, whichever of its keys is used; nobody is nobody.
    let again = of(b"body", [b"host", b"/path", b"a", b"b"], 1);
    assert_eq!(keys[0], again);
    assert_eq!(Asked::default().key(SECRET, vec![7]), None);
}

#[test]
fn an_answer_serves_until_it_is_too_old() {
    let mut reuse = reuse(|_| {});
    land(&mut reuse, at(0), 1, b"{}");
    assert_eq!(reuse.arrive(at(TTL - 1), key(1), 1), Found::Kept);
    let answer = reuse.answer(at(TTL - 1), &key(1)).unwrap();
    assert_eq!((answer.body, answer.content), (Body::Json, &b"{}"[..]));
    assert_eq!(answer.age, Micros::new(TTL - 1));
    assert!(matches!(reuse.arrive(at(TTL), key(1), 2), Found::Leads(_)));
    // A clock that was set back makes nothing young again.
    land(&mut reuse, at(TTL), 2, b"{}");
    assert!(matches!(reuse.arrive(at(0), key(2), 3), Found::Leads(_)));
    land(&mut reuse, at(0), 3, b"{}");
    reuse.on_tick(at(TTL));
    assert_eq!(reuse.answer(at(TTL), &key(3)), None);
}

#[test]
fn followers_get_the_answer_of_the_one_they_follow() {
    let mut reuse = reuse(|config| config.ttl = Micros::ZERO);
    let flight = lead(&mut reuse, at(0), key(1));
    assert_eq!(reuse.arrive(at(1), key(1), 11), Found::Follows);
    assert_eq!(reuse.arrive(at(2), key(1), 12), Found::Follows);
    assert_eq!(reuse.arrive(at(3), key(1), 13), Found::Alone, "no more");
    assert!(reuse.push(flight, Body::Sse, b"data: 1\n\n", false));
    assert_eq!(reuse.next(at(4)), None);
    assert!(reuse.push(flight, Body::Sse, b"data: [DONE]\n\n", true));
    reuse.end(at(5), flight);
    assert_eq!(reuse.arrive(at(5), key(1), 14), Found::Alone, "too late");
    reuse.on_tick(at(6));
    for tag in [11, 12] {
        let freed = reuse.next(at(6)).unwrap();
        assert_eq!((freed.tag, freed.answer), (tag, Some(key(1))));
        let answer = reuse.answer(at(6), &key(1)).unwrap();
        assert_eq!(answer.content, b"data: 1\n\ndata: [DONE]\n\n");
    }
    assert_eq!((reuse.next(at(6)), reuse.following()), (None, 0));
    reuse.on_tick(at(7));
    assert_eq!(reuse.bytes(), 0, "none is kept");
}

#[test]
fn followers_of_a_request_that_fails_go_alone() {
    let go_alone = |end: &dyn Fn(&mut Reuse, Flight)| {
        let mut reuse = reuse(|_| {});
        let flight = lead(&mut reuse, at(0), key(1));
        reuse.push(flight, Body::Json, b"{", false);
        assert_eq!(reuse.arrive(at(1), key(1), 11), Found::Follows);
        end(&mut reuse, flight);
        let freed = reuse.next(at(2)).unwrap();
        assert_eq!((freed.tag, freed.answer), (11, None));
        assert_eq!(reuse.bytes(), 0);
        assert!(!reuse.push(flight, Body::Json, b"}", true), "over");
        reuse.end(at(2), flight);
        assert!(matches!(reuse.arrive(at(3), key(1), 11), Found::Leads(_)));
    };
    go_alone(&|reuse, flight| reuse.end(at(2), flight));
    go_alone(&|reuse, flight| assert!(!reuse.push(flight, Body::Json, &[b'x'; 1024], true)));
    go_alone(&|reuse, _| reuse.configure(&config(|_| {})));
    for error in [r#""error":{"code":500}}"#, r#""error" : "out of memory"}"#] {
        go_alone(&|reuse, flight| {
            assert!(reuse.push(flight, Body::Json, error.as_bytes(), true));
            reuse.end(at(2), flight);
        });
    }
}

#[test]
fn text_about_errors_is_no_error() {
    for fine in [
        r#"{"content":"the field \"error\": 5"}"#,
        r#"{"error":null,"x":"error"}"#,
        r#"{"error" : null}"#,
        r#"{"an_error":1,"error_code":0}"#,
    ] {
        assert!(!tells_of_an_error(fine.as_bytes()), "{fine}");
    }
    assert!(
        tells_of_an_error(b"\"error\":"),
        "cut, so not to be trusted"
    );
}

#[test]
fn who_leaves_or_waits_too_long_is_forgotten() {
    let mut reuse = reuse(|_| {});
    let flight = lead(&mut reuse, at(0), key(1));
    assert_eq!(reuse.arrive(at(0), key(1), 11), Found::Follows);
    assert_eq!(reuse.arrive(at(100), key(1), 12), Found::Follows);
    reuse.leave(11);
    reuse.leave(11);
    assert_eq!(reuse.next(at(599)), None);
    let freed = reuse.next(at(600)).unwrap();
    assert_eq!((freed.tag, freed.answer), (12, None));
    assert!(reuse.push(flight, Body::Json, b"{}", true));
    reuse.end(at(700), flight);
    assert_eq!(reuse.next(at(700)), None);
    assert_eq!(reuse.arrive(at(700), key(1), 13), Found::Kept);
    // A clock that was set back keeps nobody waiting.
    lead(&mut reuse, at(5_000_000), key(2));
    assert_eq!(reuse.arrive(at(5_000_000), key(2), 14), Found::Follows);
    reuse.on_tick(at(0));
    assert!(reuse.next(at(500)).is_some());
}

#[test]
fn what_was_used_longest_ago_gives_way_and_nothing_that_is_awaited() {
    let mut reuse = reuse(|config| config.bytes = 3 * (OVERHEAD + 256));
    for n in 1..=3 {
        land(&mut reuse, at(n), n, &[b'x'; 256]);
    }
    assert_eq!(reuse.bytes(), 3 * (OVERHEAD + 256));
    assert_eq!(reuse.arrive(at(10), key(1), 0), Found::Kept);
    land(&mut reuse, at(11), 4, b"{}");
    assert!(reuse.answer(at(11), &key(1)).is_some());
    assert!(reuse.answer(at(11), &key(2)).is_none());
    // What is under way cannot give way.
    let flights = [5, 6, 7].map(|n| lead(&mut reuse, at(12), key(n)));
    let shared = flights.map(|flight| reuse.push(flight, Body::Json, &[b'x'; 256], false));
    assert_eq!(shared, [true; 3]);
    assert_eq!(reuse.arrive(at(13), key(8), 0), Found::Alone);
    assert!(!reuse.push(flights[0], Body::Json, b"y", false), "no room");
    assert!(matches!(reuse.arrive(at(13), key(8), 0), Found::Leads(_)));
}

#[test]
fn without_coalescing_nobody_waits_and_without_keeping_nothing_stays() {
    let mut kept = reuse(|config| config.coalesce = false);
    lead(&mut kept, at(0), key(1));
    assert_eq!(kept.arrive(at(0), key(1), 1), Found::Alone);
    assert!(kept.is_on());
    let mut none = reuse(|config| config.ttl = Micros::ZERO);
    land(&mut none, at(0), 1, b"{}");
    assert!(matches!(none.arrive(at(0), key(1), 1), Found::Leads(_)));
    assert!(!Reuse::default().is_on());
}
