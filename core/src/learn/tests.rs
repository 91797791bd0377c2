use super::*;
use crate::rng::Rng;
use alloc::vec::Vec;

/// Microseconds a token, Q16, after `rounds` samples a host with noise of +-50 %.
fn learn(true_rates: &[u64], weights: &[u32], rounds: usize) -> Vec<Speed> {
    let prior = 30 * ONE;
    let address = crate::host::Address::parse("127.0.0.1:1").unwrap();
    let mut hosts: Vec<Host> = weights
        .iter()
        .map(|weight| Host::new(address, *weight, [0; 4]))
        .collect();
    let mut rng = Rng::new(3);
    relearn(prior, &mut hosts);
    for _ in 0..rounds {
        for (host, rate) in hosts.iter_mut().zip(true_rates) {
            let tokens = 500 + u64::from(rng.below(8000));
            let noise = 500 + u64::from(rng.below(1000));
            host.speed
                .on_first_token(Micros::new(tokens * rate * noise / 1000), tokens);
        }
        relearn(prior, &mut hosts);
    }
    hosts.into_iter().map(|host| host.speed).collect()
}

#[test]
fn starts_from_the_prior_and_the_weights() {
    let speeds = learn(&[27, 27], &[1, 3], 0);
    assert_eq!(speeds[0].per_token, 60 * ONE);
    assert!(speeds[1].per_token.abs_diff(20 * ONE) < 10, "{speeds:?}");
    for weight in [1, 30, 1000] {
        let speeds = learn(&[27, 27], &[weight; 2], 0);
        assert_eq!(speeds[1].per_token, 30 * ONE, "only ratios count");
    }
}

#[test]
fn equal_hosts_stay_equal() {
    let speeds = learn(&[27; 8], &[1; 8], 60);
    for speed in &speeds {
        assert!(speed.per_token.abs_diff(27 * ONE) < 3 * ONE, "{speeds:?}");
        assert_eq!(speed.octave, 4);
    }
}

#[test]
fn different_hosts_are_told_apart_whatever_was_configured() {
    let speeds = learn(&[27, 27, 80, 380], &[1, 1, 1, 1], 60);
    for (speed, rate) in speeds.iter().zip([27, 27, 80, 380]) {
        assert!(
            speed.per_token.abs_diff(rate * ONE) < rate * ONE / 5,
            "{speeds:?}"
        );
    }
    assert_eq!(
        speeds.iter().map(|s| s.octave).collect::<Vec<_>>(),
        [6, 6, 5, 2]
    );
    let wrong = learn(&[27, 270], &[1, 4], 80);
    assert!(wrong[1].per_token > 5 * wrong[0].per_token, "{wrong:?}");
}

#[test]
fn a_throttled_host_is_noticed() {
    let mut speed = Speed {
        per_token: 27 * ONE,
        ..Speed::default()
    };
    for rate in [27u64, 54] {
        for _ in 0..150 {
            speed.on_first_token(Micros::new(rate * 1000), 1000);
        }
        assert!(speed.own.rate(0).abs_diff(rate * ONE) < 2 * ONE);
    }
}

#[test]
fn a_host_five_times_slower_is_known_after_a_handful_of_answers() {
    let mut speed = Speed {
        per_token: 27 * ONE,
        ..Speed::default()
    };
    let mut answer = |rate: u64| {
        speed.on_first_token(Micros::new(rate * 1000), 1000);
        speed.per_token = speed.own.rate(0);
        speed.per_token / ONE
    };
    for _ in 0..150 {
        answer(27);
    }
    // One stall, or two, are bad luck.
    assert!(answer(135) < 32 && answer(135) < 36 && answer(27) < 36);
    let after: u64 = (0..6).map(|_| answer(135)).last().unwrap();
    assert!(after > 70, "{after}");
    // It is believed to be fast again only after many.
    assert!(answer(27) > 40 && (0..6).map(|_| answer(27)).last().unwrap() > 30);
}
