use super::*;
use crate::config::Config;
use crate::cost::Estimate;
use crate::fixed::ONE;
use crate::host::{Address, Host, Load, Polled};
use crate::time::{Instant, Micros};
use alloc::boxed::Box;

fn host() -> Host {
    let mut host = Host::new(Address::parse("10.0.0.1:80").unwrap(), 1, [0; 4]);
    host.speed.per_token = 27 * ONE;
    host.speed.e2e = 8_000_000;
    host
}

/// The terms of `host` under the default weights, with `cached` tokens known to be in its cache.
fn terms_of(context: &Context<'_>, host: &Host, cached: u64) -> Terms {
    let inputs = gather(context, host, cached, 0);
    score(
        &Config::default().weights,
        context.estimate.prompt_tokens,
        &inputs,
    )
}

fn context() -> Context<'static> {
    let config: &'static Config = Box::leak(Box::default());
    Context {
        health: &config.health,
        estimate: Estimate {
            prompt_tokens: 1000,
            output_tokens: 200,
            output_error: 0,
        },
        mean_uncached: 500,
        foreign: 0,
        polled: true,
        stale_after: Micros::from_millis(20_000),
        now: Instant::from_micros(10_000_000),
    }
}

#[test]
fn the_formula_by_hand() {
    let mut host = host();
    host.own = Load {
        requests: 10,
        prefilling: 2,
        queued_tokens: 4000,
        kv_tokens: 0,
    };
    let terms = terms_of(&context(), &host, 400);
    // a = 27, q = 4000, w = 600, N = 10: 27 * (4000 * 2 + 600 * 6.5); fixed-point tenths round down.
    assert_eq!(
        (terms.uncached_tokens, terms.queued_tokens, terms.requests),
        (600, 4000, 10)
    );
    assert_eq!(terms.prefill, 27 * 600 * 3);
    assert!(terms.stall.abs_diff(27 * 60 * 35) < 20, "{terms:?}");
    assert!(terms.wait.abs_diff(27 * 4000 * 2) < 20, "{terms:?}");
    assert_eq!(terms.kv, 0);
    assert_eq!(terms.total, terms.wait + terms.prefill + terms.stall);
}

#[test]
fn others_count_and_ours_only_once() {
    let mut host = host();
    host.own = Load {
        requests: 4,
        prefilling: 1,
        queued_tokens: 100,
        kv_tokens: 0,
    };
    host.at_poll = Load {
        requests: 3,
        prefilling: 1,
        ..Load::default()
    };
    host.polled = Some(Polled {
        running: 5,
        waiting: 2,
        ..Polled::default()
    });
    let terms = terms_of(&context(), &host, 0);
    assert_eq!(terms.requests, 4 + (7 - 3));
    assert_eq!(terms.queued_tokens, 100 + 500);
    let blind = terms_of(
        &Context {
            polled: false,
            ..context()
        },
        &host,
        0,
    );
    assert_eq!(
        (blind.requests, blind.queued_tokens),
        (4, 100),
        "a stale snapshot is not used"
    );
}

#[test]
fn kv_pressure_rises_from_its_limit() {
    let mut host = host();
    host.polled = Some(Polled {
        kv_used_q16: 52_000,
        kv_capacity_tokens: 100_000,
        ..Polled::default()
    });
    // 0.793 used and 1,100 tokens more of 100,000: 0.804.
    let at_limit = terms_of(&context(), &host, 0).kv;
    assert!((100_000..250_000).contains(&at_limit), "{at_limit}");
    host.own.kv_tokens = 10_000;
    let above = terms_of(&context(), &host, 0).kv;
    assert!(
        above.abs_diff(at_limit + 4_000_000) < 2000,
        "a tenth of the cache is half of e2e: {above}"
    );
}

#[test]
fn more_load_never_wins_and_a_longer_prefix_never_hurts() {
    let mut rng = crate::rng::Rng::new(5);
    for _ in 0..20_000 {
        let mut host = host();
        let load = |rng: &mut crate::rng::Rng| Load {
            requests: rng.below(300),
            prefilling: rng.below(30),
            queued_tokens: u64::from(rng.below(200_000)),
            kv_tokens: u64::from(rng.below(900_000)),
        };
        host.own = load(&mut rng);
        host.peers = load(&mut rng);
        host.polled = Some(Polled {
            running: rng.below(256),
            waiting: rng.below(100),
            kv_used_q16: rng.below(65_537),
            kv_capacity_tokens: u64::from(rng.below(1_000_000)),
            ..Polled::default()
        });
        let context = context();
        let cached = u64::from(rng.below(1100));
        let before = terms_of(&context, &host, cached).total;
        assert!(terms_of(&context, &host, cached + 50).total <= before);
        let mut busier = host.clone();
        busier.own.requests += 1 + rng.below(10);
        busier.own.queued_tokens += u64::from(rng.below(1000));
        assert!(terms_of(&context, &busier, cached).total >= before);
    }
}

#[test]
fn the_token_clock_speaks_of_other_proxies_only() {
    let mut host = host();
    host.polled = Some(Polled::default());
    host.gap = (Micros::from_millis(100), Instant::from_micros(9_900_000));
    assert_eq!(terms_of(&context(), &host, 0).queued_tokens, 0);
    let crowded = Context {
        foreign: ONE / 2,
        ..context()
    };
    assert_eq!(
        terms_of(&crowded, &host, 0).queued_tokens,
        400_000 / 27 / 2,
        "the share of load that is theirs"
    );
    host.gap.1 = Instant::from_micros(1_000_000);
    assert_eq!(terms_of(&crowded, &host, 0).queued_tokens, 0, "long ago");
}
