//! The door of the router: reservations follow a request to its end, whatever that is.

use super::*;
use crate::admit::{Release, ShedReason};
use crate::router::Caller;
use crate::tenant::{Claims, Member};

const CONFIG: &str = r#"{"policy":"round_robin","hosts":["10.0.0.1:80","10.0.0.2:80"],"tiers":[{"name":"gold"},{"name":"free","ceiling":0.5}],
    "tenants":[{"name":"a","tier":"gold"},{"name":"*","tier":"free"}],"admission":{"full_requests":2}}"#;

fn router(json: &str) -> Router {
    Router::new(Config::parse(json.as_bytes()).unwrap(), 7)
}

fn caller(name: &str, tier: u8, tag: u32) -> Caller {
    Caller {
        member: Member {
            tenant: crate::hash::key(name.as_bytes()),
            tier,
        },
        slo: None,
        tag,
    }
}

fn asked(seed: u64) -> Request<'static> {
    Request {
        kind: Kind::Chat,
        prompt_bytes: 400,
        blocks_complete: true,
        stream: true,
        seed,
        ..Request::default()
    }
}

fn ticket(verdict: Verdict) -> Ticket {
    match verdict {
        Verdict::Forward(decision) => decision.ticket,
        other => panic!("{other:?}"),
    }
}

#[test]
fn without_tiers_the_door_is_open() {
    let mut plain = router(r#"{"hosts":["10.0.0.1:80"]}"#);
    assert!(!plain.identifies());
    for i in 0..100 {
        ticket(plain.on_arrival(at(1), &asked(i), &caller("nobody", 9, 0), None));
    }
    assert_eq!(
        (plain.next_release(at(2)), plain.reserved()),
        (None, (0, 0))
    );
}

#[test]
fn requests_wait_for_a_host_and_are_bound_to_the_one_that_frees_up() {
    let mut router = router(CONFIG);
    let member = router.identify(&Claims::default()).unwrap();
    assert_eq!(member, caller("*", 1, 0).member);
    let gold = caller("a", 0, 5);
    let tickets: Vec<Ticket> = (0..4)
        .map(|i| ticket(router.on_arrival(at(1), &asked(i), &gold, None)))
        .collect();
    let Verdict::Queue(waiting) = router.on_arrival(at(1), &asked(9), &gold, None) else {
        panic!("two hosts with two requests each are full");
    };
    assert_eq!(router.waiting().collect::<Vec<_>>(), [1, 0]);
    assert_eq!(router.next_release(at(2)), None);
    let host_of = |router: &mut Router, ticket| router.inflight.get_mut(ticket).unwrap().host;
    let freed = host_of(&mut router, tickets[0]);
    router.on_done(at(3), tickets[0], Outcome::default());
    let shed = None;
    let tag = 5;
    assert_eq!(
        router.next_release(at(3)),
        Some(Release { waiting, tag, shed })
    );
    let late = ticket(router.on_release(at(3), waiting, &asked(9), None));
    assert_eq!(host_of(&mut router, late), freed);
    assert_eq!(router.next_release(at(3)), None);
    assert!(matches!(
        router.on_release(at(3), waiting, &asked(9), None),
        Verdict::Shed(_)
    ));
    for ticket in tickets.into_iter().chain([late]) {
        router.on_done(at(4), ticket, Outcome::default());
    }
    assert_eq!(router.reserved(), (0, 0));
}

#[test]
fn every_end_settles_its_reservation() {
    let usage = Usage {
        prompt_tokens: 100,
        completion_tokens: 1,
        cached_tokens: None,
    };
    let outcomes = [
        Outcome {
            status: 200,
            aborted: false,
            failed: false,
        },
        Outcome {
            status: 0,
            aborted: true,
            failed: false,
        },
        Outcome {
            status: 503,
            aborted: false,
            failed: true,
        },
        Outcome {
            status: 400,
            aborted: false,
            failed: false,
        },
    ];
    // What is left of 10,000 tokens after each end, with usage and without.
    let mut seen = Vec::new();
    for outcome in outcomes {
        for usage in [None, Some(usage)] {
            let json = CONFIG.replace(
                r#""tier":"gold""#,
                r#""tier":"gold","tokens_per_minute":10000"#,
            );
            let mut router = router(&json);
            let gold = caller("a", 0, 0);
            let ticket = ticket(router.on_arrival(at(1), &asked(1), &gold, None));
            assert_eq!(router.reserved(), (1, 100 + 256));
            if let Some(usage) = usage {
                let seen = Seen {
                    tokens: 1,
                    usage: Some(usage),
                    done: true,
                };
                router.on_chunk(at(1), ticket, seen);
            }
            router.on_done(at(1), ticket, outcome);
            router.on_done(at(1), ticket, outcome);
            assert_eq!(router.reserved(), (0, 0));
            // How much more fits tells what was taken.
            let sizes: Vec<u64> = (0..=10_000).collect();
            let fit = sizes.partition_point(|tokens| {
                let request = Request {
                    prompt_bytes: tokens * 4,
                    max_tokens: Some(0),
                    ..asked(2)
                };
                let verdict = router.clone().on_arrival(at(1), &request, &gold, None);
                matches!(verdict, Verdict::Forward(_))
            });
            seen.push(10_001 - fit);
        }
    }
    assert_eq!(seen, [356, 101, 100, 101, 0, 101, 0, 101]);
}

#[test]
fn limits_are_told_apart_and_nobody_waits_without_hosts() {
    let json = CONFIG.replace(
        r#""tier":"gold""#,
        r#""tier":"gold","requests_per_minute":2"#,
    );
    let mut limited = router(&json);
    let gold = caller("a", 0, 0);
    for i in 0..2 {
        ticket(limited.on_arrival(at(1), &asked(i), &gold, None));
    }
    let verdict = limited.on_arrival(at(1), &asked(3), &gold, None);
    assert!(
        matches!(&verdict, Verdict::Shed(shed) if shed.reason == ShedReason::RequestsPerMinute
            && (30..=34).contains(&shed.retry_after)),
        "{verdict:?}"
    );
    let mut empty = router(r#"{"tiers":[{"name":"t"}],"tenants":[{"name":"*","tier":"t"}]}"#);
    let verdict = empty.on_arrival(at(1), &asked(1), &caller("*", 0, 0), None);
    assert!(matches!(verdict, Verdict::Pass(_)), "{verdict:?}");
    assert_eq!(empty.reserved(), (0, 0));
}

#[test]
fn a_client_that_leaves_the_queue_frees_what_it_held() {
    let mut router = router(CONFIG);
    let gold = caller("a", 0, 0);
    for i in 0..4 {
        ticket(router.on_arrival(at(1), &asked(i), &gold, None));
    }
    let Verdict::Queue(waiting) = router.on_arrival(at(1), &asked(9), &gold, None) else {
        panic!("not queued");
    };
    assert_eq!(router.reserved().0, 5);
    router.on_leave(waiting);
    router.on_leave(waiting);
    assert_eq!(router.reserved().0, 4);
    assert_eq!(router.next_release(at(90)), None);
}
