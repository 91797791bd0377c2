use super::*;

/// Two workers of one proxy.
struct Pair([Admission; 2]);

impl Pair {
    fn new(tenants: &str) -> Self {
        let mut pair = Self([0, 1].map(|_| admission(TIERS, tenants, "")));
        pair.tick(0);
        pair.tick(0);
        pair
    }

    /// What each says reaches the other; then time passes for both.
    fn tick(&mut self, now: u64) {
        let Self(workers) = self;
        for from in 0..2 {
            let mut said = Vec::new();
            workers[from].tell(ms(now), 10 + from as u64, &mut said);
            workers[1 - from].hear(ms(now), from, &said);
        }
        for worker in workers {
            worker.on_tick(ms(now));
        }
    }
}

#[test]
fn workers_use_one_budget() {
    let mut pair = Pair::new(r#"{"name":"a","tier":"gold","tokens_per_minute":6000}"#);
    let mut rng = Rng::new(3);
    let (mut admitted, mut largest) = (0, 0);
    for step in 0..12_000 {
        let now = step * 5;
        if step % 5 == 0 {
            pair.tick(now);
        }
        let mut request = ask("a", 0, 1);
        request.tokens = u64::from(rng.below(200)) + 1;
        largest = largest.max(request.tokens);
        let worker = &mut pair.0[rng.below(2) as usize];
        if let Arrival::Go(hold) = worker.arrive(ms(now), &request, 0) {
            admitted += request.tokens;
            worker.settle(&hold, request.tokens, request.cost);
        }
    }
    let budget = 6000 + 6000 * 60 / 60;
    assert!(
        (budget - 400..=budget + 2 * largest).contains(&admitted),
        "{admitted} of {budget}"
    );
}

#[test]
fn a_worker_that_was_not_asked_knows_what_was_taken() {
    let mut pair = Pair::new(r#"{"name":"a","tier":"gold","tokens_per_minute":6000}"#);
    let mut goes = |worker: usize, now| {
        pair.tick(now);
        let arrival = pair.0[worker].arrive(ms(now), &ask("a", 0, 1), 0);
        matches!(arrival, Arrival::Go(_))
    };
    let went = (0..100).filter(|n| goes(0, n * 10)).count();
    let went = went + (0..100).filter(|_| goes(1, 1010)).count();
    assert!((60..=62).contains(&went), "{went}");
}

#[test]
fn workers_share_the_requests_at_once() {
    let mut pair = Pair::new(r#"{"name":"a","tier":"gold","concurrent":6}"#);
    let mut went = 0;
    for now in 0..100 {
        if now % 25 == 0 {
            pair.tick(now);
        }
        for worker in &mut pair.0 {
            went += usize::from(matches!(
                worker.arrive(ms(now), &ask("a", 0, 1), 0),
                Arrival::Go(_)
            ));
        }
    }
    assert_eq!(went, 6);
}

#[test]
fn what_is_attained_at_one_worker_counts_at_the_other() {
    let mut pair = Pair::new(TENANTS);
    for tag in 0..20 {
        assert!(matches!(
            pair.0[0].arrive(ms(1), &ask("b", 1, tag), 0),
            Arrival::Go(_)
        ));
    }
    queued(&mut pair.0[1], 1, &ask("b", 1, 50));
    queued(&mut pair.0[1], 1, &ask("c", 1, 51));
    pair.tick(25);
    assert_eq!(drain(&mut pair.0[1], 25), [51, 50]);
}

#[test]
fn a_promise_is_kept_by_whichever_worker_is_asked() {
    let mut pair = Pair::new(TENANTS);
    let told = ask("b", 1, 7);
    pair.0[0].without_queue();
    let Arrival::Shed(shed) = pair.0[0].arrive(ms(1), &told, FULL) else {
        panic!("nothing waits here");
    };
    let due = u64::from(shed.retry_after) * 1000;
    let promised = |pair: &Pair| {
        let place = pair.0[1].place_of(told.member.tenant).unwrap();
        pair.0[1].accounts[place].promised
    };
    pair.0[0].tell(ms(10), 10, &mut Vec::new());
    pair.tick(25);
    pair.tick(50);
    assert_eq!(
        promised(&pair),
        100,
        "known once, though one value was missed and two were read"
    );
    queued(&mut pair.0[1], due, &ask("b", 1, 8));
    queued(&mut pair.0[1], due, &told);
    assert_eq!(promised(&pair), 0);
    assert_eq!(
        drain(&mut pair.0[1], due),
        [7, 8],
        "who was told goes first"
    );
    pair.tick(due);
    assert!(pair.0[0].promises.find(told.member.tenant, 7).is_none());
}

#[test]
fn whoever_begins_has_no_more_left_than_the_others_and_whoever_ends_holds_nothing() {
    let mut pair =
        Pair::new(r#"{"name":"a","tier":"gold","tokens_per_minute":6000,"concurrent":50}"#);
    for tag in 0..30 {
        let _ = pair.0[0].arrive(ms(1), &ask("a", 0, tag), 0);
        pair.tick(1);
    }
    let fresh = admission(
        TIERS,
        r#"{"name":"a","tier":"gold","tokens_per_minute":6000,"concurrent":50}"#,
        "",
    );
    pair.0[1] = fresh;
    pair.tick(2);
    let account = |pair: &Pair| pair.0[1].accounts[0].clone();
    // In parts of a token, but for what flowed in meanwhile.
    let left = |account: &Account| account.tokens.said()[1] / 1_000_000_000;
    assert_eq!(left(&account(&pair)), left(&pair.0[0].accounts[0]));
    assert_eq!(account(&pair).elsewhere.live, 30);
    for now in 0..60 {
        pair.0[1].on_tick(ms(now * 25));
    }
    assert_eq!(account(&pair).elsewhere.live, 0);
}

#[test]
fn what_is_no_value_is_ignored() {
    let mut pair = Pair::new(TENANTS);
    let mut said = Vec::new();
    pair.0[0].tell(ms(1), 10, &mut said);
    let mut rng = Rng::new(9);
    for cut in 0..said.len() {
        pair.0[1].hear(ms(2), 0, &said[..cut]);
        let mut changed = said.clone();
        changed[cut] ^= 1 << rng.below(8);
        pair.0[1].hear(ms(2), 0, &changed);
    }
    pair.0[1].on_tick(ms(3));
    assert_eq!(pair.0[1].reserved(), (0, 0));
}
