mod exchange;

use super::*;
use crate::rng::Rng;
use alloc::format;
use alloc::vec;

const TIERS: &str = r#"{"name":"gold","max_wait_ms":4000},
    {"name":"silver","ceiling":0.8,"max_wait_ms":8000},
    {"name":"bronze","ceiling":0.5,"guaranteed":0.2,"max_wait_ms":20000}"#;
const TENANTS: &str = r#"{"name":"a","tier":"gold"},{"name":"b","tier":"silver"},{"name":"c","tier":"silver"},
    {"name":"d","tier":"bronze"}"#;
const FULL: u64 = ONE;

fn admission(tiers: &str, tenants: &str, rest: &str) -> Admission {
    let json = format!(
        r#"{{"tiers":[{tiers}],"tenants":[{tenants}],"admission":{{"starvation_ms":15000{rest}}}}}"#
    );
    Admission::new(&Config::parse(json.as_bytes()).unwrap())
}

fn ms(millis: u64) -> Instant {
    Instant::from_micros(1_000_000_000 + millis * 1000)
}

fn ask(tenant: &str, tier: u8, tag: u32) -> Ask {
    Ask {
        member: Member {
            tenant: hash::key(tenant.as_bytes()),
            tier,
        },
        tokens: 100,
        cost: 100,
        bytes: 400,
        model: 0,
        slo: None,
        key: u64::from(tag),
        seed: u64::from(tag),
        tag,
    }
}

fn queued(admission: &mut Admission, now: u64, ask: &Ask) -> Waiting {
    match admission.arrive(ms(now), ask, FULL) {
        Arrival::Queue(waiting) => waiting,
        other => panic!("{other:?}"),
    }
}

/// Tags of all that is let through at a saturation of 0.
fn drain(admission: &mut Admission, now: u64) -> Vec<u32> {
    let mut tags = Vec::new();
    while let Some(release) = admission.next(ms(now), |_| 0) {
        assert_eq!(release.shed, None);
        assert!(admission.take(release.waiting).is_some());
        assert!(admission.take(release.waiting).is_none(), "taken once");
        tags.push(release.tag);
    }
    tags
}

#[test]
fn each_tier_is_let_through_up_to_its_ceiling() {
    let mut admission = admission(TIERS, TENANTS, "");
    let mut goes = |tenant, tier, saturation| {
        let arrival = admission.arrive(ms(0), &ask(tenant, tier, 1), saturation);
        matches!(arrival, Arrival::Go(_))
    };
    assert!(goes("d", 2, ONE * 4 / 10) && goes("b", 1, ONE * 7 / 10));
    assert!(goes("a", 0, ONE * 9 / 10) && !goes("d", 2, ONE * 6 / 10));
    assert!(
        goes("b", 1, ONE * 7 / 10),
        "lower tiers that wait are in nobody's way"
    );
    assert!(!goes("b", 1, ONE * 9 / 10) && !goes("a", 0, ONE));
    assert!(
        !goes("a", 0, ONE * 9 / 10),
        "whoever waits in the same tier goes first"
    );
}

#[test]
fn higher_tiers_go_first_and_tenants_take_turns() {
    let mut admission = admission(TIERS, TENANTS, "");
    for (tag, (tenant, tier)) in [("d", 2), ("b", 1), ("b", 1), ("b", 1), ("c", 1), ("a", 0)]
        .into_iter()
        .enumerate()
    {
        queued(&mut admission, 0, &ask(tenant, tier, tag as u32));
    }
    assert_eq!(drain(&mut admission, 1), [5, 1, 4, 2, 3, 0]);
}

#[test]
fn deadlines_order_the_requests_of_a_tenant() {
    let mut admission = admission(TIERS, TENANTS, "");
    for (tag, slo) in [(1, None), (2, Some(900)), (3, Some(200))] {
        let urgent = Ask {
            slo: slo.map(Micros::from_millis),
            ..ask("a", 0, tag)
        };
        queued(&mut admission, 0, &urgent);
    }
    assert_eq!(drain(&mut admission, 1), [3, 2, 1]);
}

#[test]
fn weights_divide_service() {
    let tenants = r#"{"name":"b","tier":"gold","weight":3},{"name":"c","tier":"gold"}"#;
    let mut admission = admission(TIERS, tenants, "");
    for tag in 0..200 {
        queued(&mut admission, 0, &ask("b", 0, tag));
        queued(&mut admission, 0, &ask("c", 0, 1000 + tag));
    }
    let mut first = drain(&mut admission, 1);
    first.truncate(100);
    assert_eq!(first.iter().filter(|tag| **tag < 1000).count(), 75);
}

#[test]
fn a_guaranteed_share_is_kept_while_higher_tiers_wait() {
    let mut admission = admission(TIERS, TENANTS, "");
    for tag in 0..300 {
        queued(&mut admission, 0, &ask("a", 0, tag));
        queued(&mut admission, 0, &ask("d", 2, 1000 + tag));
    }
    let mut first = drain(&mut admission, 1);
    first.truncate(200);
    let low = first.iter().filter(|tag| **tag >= 1000).count();
    assert!((38..=41).contains(&low), "{low} of 200 at a share of 0.2");
}

#[test]
fn who_has_waited_for_the_bound_goes_before_all() {
    let mut admission = admission(TIERS, TENANTS, "");
    queued(&mut admission, 0, &ask("d", 2, 1));
    queued(&mut admission, 14_000, &ask("a", 0, 2));
    assert_eq!(drain(&mut admission, 15_000), [1, 2]);
}

#[test]
fn who_starves_takes_what_is_reserved_for_a_tier_only_when_that_starves_too() {
    let tiers = r#"{"name":"gold","max_wait_ms":20000},{"name":"bronze","ceiling":0.5,"max_wait_ms":20000}"#;
    let tenants = r#"{"name":"a","tier":"gold"},{"name":"d","tier":"bronze"}"#;
    let mut admission = admission(tiers, tenants, "");
    let next = |admission: &mut Admission, now| {
        let release = admission.next(ms(now), |_| ONE * 6 / 10)?;
        admission.take(release.waiting).map(|_| release.tag)
    };
    queued(&mut admission, 0, &ask("d", 1, 1));
    queued(&mut admission, 14_000, &ask("a", 0, 2));
    assert_eq!(next(&mut admission, 15_000), Some(2), "served in time");
    assert_eq!(next(&mut admission, 15_000), None, "the rest is reserved");
    queued(&mut admission, 1_000, &ask("a", 0, 3));
    assert_eq!(next(&mut admission, 16_000), Some(1), "both have starved");
    assert_eq!(next(&mut admission, 16_000), Some(3));
}

#[test]
fn nobody_waits_longer_than_the_tier_allows() {
    let mut admission = admission(TIERS, TENANTS, "");
    let waiting = queued(&mut admission, 0, &ask("a", 0, 7));
    assert_eq!(admission.next(ms(3_999), |_| FULL), None);
    let release = admission.next(ms(4_000), |_| FULL).unwrap();
    assert_eq!((release.tag, release.waiting), (7, waiting));
    assert_eq!(release.shed, Some(Shed::flat(ShedReason::QueueTimeout)));
    assert!(admission.take(waiting).is_none());
    admission.leave(waiting);
    assert_eq!(
        (admission.reserved(), admission.next(ms(9_000), |_| 0)),
        ((0, 0), None)
    );
}

#[test]
fn a_full_queue_gives_way_from_below_and_to_who_has_less_in_it() {
    let mut admission = admission(TIERS, TENANTS, r#","queue":3"#);
    queued(&mut admission, 0, &ask("d", 2, 1));
    queued(&mut admission, 0, &ask("b", 1, 2));
    queued(&mut admission, 0, &ask("b", 1, 3));
    queued(&mut admission, 0, &ask("a", 0, 4));
    let release = admission.next(ms(1), |_| FULL).unwrap();
    assert_eq!(
        (release.tag, release.shed.map(|s| s.reason)),
        (1, Some(ShedReason::Displaced))
    );
    let full = admission.arrive(ms(1), &ask("d", 2, 5), FULL);
    assert!(
        matches!(full, Arrival::Shed(shed) if shed.reason == ShedReason::QueueFull && shed.retry_after > 0)
    );
    queued(&mut admission, 1, &ask("c", 1, 6));
    let release = admission.next(ms(2), |_| FULL).unwrap();
    assert_eq!(
        (release.tag, release.shed.map(|s| s.reason)),
        (3, Some(ShedReason::Displaced))
    );
    assert_eq!(drain(&mut admission, 3), [4, 2, 6]);
}

#[test]
fn bytes_are_bounded_too() {
    let mut admission = admission(TIERS, TENANTS, r#","queue_bytes":1000"#);
    queued(&mut admission, 0, &ask("b", 1, 1));
    queued(&mut admission, 0, &ask("b", 1, 2));
    queued(&mut admission, 0, &ask("a", 0, 3));
    assert_eq!(admission.waiting().collect::<Vec<_>>(), [1, 1, 0]);
    let huge = Ask {
        bytes: 2000,
        ..ask("a", 0, 4)
    };
    assert!(matches!(
        admission.arrive(ms(0), &huge, FULL),
        Arrival::Shed(_)
    ));
}

/// A tenant that asks for ten times what it can get, whose clients obey.
#[test]
fn who_comes_back_when_told_is_served() {
    let mut admission = admission(TIERS, TENANTS, "");
    // One request every 100 ms is let through, ten arrive.
    let mut pending: Vec<(u64, u32, u32)> = Vec::new();
    let (mut served, mut tag, mut shed_first, mut again) = (vec![], 0, 0, 0);
    for now in (0..120_000).step_by(10) {
        if now < 30_000 {
            tag += 1;
            pending.push((now, tag, 1));
        }
        let (due, later): (Vec<_>, Vec<_>) = pending.iter().partition(|(at, ..)| *at <= now);
        pending = later;
        for (_, tag, tries) in due {
            let mut request = ask("d", 2, tag);
            request.seed = u64::from(tag * 10 + tries);
            match admission.arrive(ms(now), &request, FULL) {
                Arrival::Queue(_) => {}
                Arrival::Go(_) => unreachable!(),
                Arrival::Shed(shed) => {
                    shed_first += u32::from(tries == 1);
                    again += u32::from(tries == 2);
                    pending.push((now + u64::from(shed.retry_after) * 1000, tag, tries + 1));
                }
            }
        }
        if now % 20 == 0 {
            admission.on_tick(ms(now));
        }
        let mut room = now % 100 == 0;
        while let Some(release) = admission.next(ms(now), |_| if room { 0 } else { FULL }) {
            assert_eq!(release.shed, None, "nobody who was let in waits in vain");
            room = false;
            admission.take(release.waiting).unwrap();
            served.push(release.tag);
        }
    }
    assert!(shed_first > 2000, "{shed_first}");
    assert!(
        again * 20 < shed_first,
        "{again} of {shed_first} were told twice"
    );
    assert_eq!(served.len(), 1200);
}

#[test]
fn ten_thousand_mixed_requests_conserve_every_reservation() {
    let tenants = r#"{"name":"a","tier":"gold","tokens_per_minute":200000,"concurrent":30},
        {"name":"b","tier":"silver","requests_per_minute":3000},{"name":"c","tier":"silver"},{"name":"d","tier":"bronze"}"#;
    let mut admission = admission(TIERS, tenants, r#","queue":50"#);
    let mut rng = Rng::new(5);
    let mut flying: Vec<Hold> = Vec::new();
    let mut waiting: Vec<Waiting> = Vec::new();
    let (mut arrived, mut ended) = (0, 0);
    for now in 0..14_000u64 {
        let tenant = rng.below(4) as usize;
        if now < 10_000 {
            let mut request = ask(
                ["a", "b", "c", "d"][tenant],
                [0, 1, 1, 2][tenant],
                now as u32,
            );
            request.tokens = u64::from(rng.below(500)) + 1;
            request.cost = request.tokens + 7;
            request.seed = rng.next();
            arrived += 1;
            match admission.arrive(ms(now * 5), &request, u64::from(rng.below(1 << 16)) * 3 / 2) {
                Arrival::Go(hold) => flying.push(hold),
                Arrival::Queue(name) => waiting.push(name),
                Arrival::Shed(_) => ended += 1,
            }
        }
        if rng.below(20) == 0 && !waiting.is_empty() {
            let name = waiting.swap_remove(rng.below(waiting.len() as u32) as usize);
            admission.leave(name);
            admission.leave(name);
            ended += 1;
        }
        while flying.len() > 40 || (now > 11_000 && !flying.is_empty()) {
            let hold = flying.swap_remove(rng.below(flying.len() as u32) as usize);
            match rng.below(3) {
                0 => admission.refund(&hold),
                _ => admission.settle(&hold, u64::from(rng.below(900)), hold.cost / 2),
            }
            ended += 1;
        }
        if rng.below(4) == 0 {
            admission.on_tick(ms(now * 5));
        }
        let room = u64::from(rng.below(1 << 16)) * 3 / 2;
        while let Some(release) = admission.next(ms(now * 5), |_| room) {
            waiting.retain(|name| *name != release.waiting);
            match release.shed {
                Some(_) => ended += 1,
                None => flying.extend(admission.take(release.waiting)),
            }
            if flying.len() > 40 {
                break;
            }
        }
        if now == 7_000 {
            let json = format!(
                r#"{{"tiers":[{TIERS}],"tenants":[{{"name":"a","tier":"gold"}},{{"name":"d","tier":"bronze"}}]}}"#
            );
            admission.configure(&Config::parse(json.as_bytes()).unwrap());
        }
    }
    for hold in flying.drain(..) {
        admission.refund(&hold);
        ended += 1;
    }
    assert_eq!((arrived, waiting.len()), (10_000, 0));
    assert_eq!(ended, arrived, "each ends exactly once");
    assert_eq!(admission.reserved(), (0, 0));
    assert!(
        admission.queue.is_empty() && admission.queue.in_line == 0 && admission.queue.bytes == 0
    );
    assert!(admission.waiting().all(|waiting| waiting == 0));
    let idle = |account: &Account| account.waiting == 0 && account.waiting_cost == 0;
    assert!(admission.accounts.iter().all(idle));
    assert_eq!(
        admission.accounts.len(),
        2,
        "tenants that are gone are forgotten"
    );
}

#[test]
fn a_new_configuration_takes_over_who_waits() {
    let mut admission = admission(TIERS, TENANTS, "");
    queued(&mut admission, 0, &ask("a", 0, 1));
    queued(&mut admission, 0, &ask("d", 2, 2));
    let json = r#"{"tiers":[{"name":"only"}],"tenants":[{"name":"d","tier":"only"}]}"#;
    admission.configure(&Config::parse(json.as_bytes()).unwrap());
    let release = admission.next(ms(1), |_| 0).unwrap();
    assert_eq!(release.shed, Some(Shed::flat(ShedReason::TenantRemoved)));
    assert_eq!(drain(&mut admission, 1), [2]);

    queued(&mut admission, 2, &ask("d", 0, 3));
    admission.configure(&Config::default());
    assert!(!admission.is_over());
    let release = admission.next(ms(90_000), |_| FULL).unwrap();
    assert_eq!(
        (release.tag, release.shed),
        (3, None),
        "without tiers nobody waits"
    );
    admission.take(release.waiting).unwrap();
    assert!(admission.is_over());
}

#[test]
fn a_proxy_that_cannot_resume_sheds_instead() {
    let mut admission = admission(TIERS, TENANTS, "");
    admission.without_queue();
    assert!(matches!(
        admission.arrive(ms(0), &ask("a", 0, 1), 0),
        Arrival::Go(_)
    ));
    let Arrival::Shed(shed) = admission.arrive(ms(0), &ask("a", 0, 2), FULL) else {
        panic!("queued");
    };
    assert_eq!(
        (shed.reason, shed.retry_after >= 4),
        (ShedReason::Overloaded, true)
    );
}

#[test]
fn a_clock_that_is_set_back_keeps_nobody_waiting() {
    let mut admission = admission(TIERS, TENANTS, "");
    queued(&mut admission, 500_000, &ask("a", 0, 1));
    admission.on_tick(ms(500_000));
    admission.on_tick(ms(0));
    assert!(
        admission
            .next(ms(4_000), |_| FULL)
            .is_some_and(|release| release.shed.is_some())
    );
}
