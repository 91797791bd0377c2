//! The main job: requests go where they are predicted to finish soonest.

use plimsoll_host::scenario::{Fleet, Request};

use crate::common::{both, fleet, metric, nothing_in_flight, picks, prompt, serve, sum, warm};

#[test]
fn a_request_is_ranked_served_and_accounted_for() {
    let fleet = both(|runtime| {
        let mut fleet = warm(fleet(runtime, 3));
        serve(&mut fleet, Request::say("m", "hello"));
        fleet
    });
    let record = &fleet.records()[0];
    let ranked = record.ranked.as_deref().unwrap();
    assert_eq!(ranked.split(',').count(), 3, "{ranked}");
    assert_eq!(record.served.as_deref(), record.first());
    assert_eq!(record.step.as_deref(), Some("step=full"));
    assert_eq!(record.status, Some(200));
    assert_eq!(metric(&fleet, "plimsoll_requests"), 1);
    assert_eq!(metric(&fleet, "plimsoll_decisions.step=full"), 1);
    assert_eq!(metric(&fleet, "plimsoll_prompt_tokens"), 16);
    assert_eq!(metric(&fleet, "plimsoll_completion_tokens"), 4);
    assert_eq!(metric(&fleet, "plimsoll_hosts"), 3);
    nothing_in_flight(&fleet);
}

#[test]
fn a_busy_engine_is_avoided() {
    let fleet = both(|runtime| {
        let mut fleet = fleet(runtime, 3).start().unwrap();
        for busy in [0, 2] {
            let engine = fleet.engine(busy);
            (
                engine.others_running,
                engine.others_waiting,
                engine.kv_permille,
            ) = (60, 30, 980);
        }
        fleet.run_ms(1_000);
        for n in 0..12 {
            serve(&mut fleet, Request::say("m", &prompt(n, 400)));
        }
        fleet
    });
    let picks = picks(&fleet.records());
    assert_eq!(picks.get("10.0.0.2:8000"), Some(&12), "{picks:?}");
}

#[test]
fn a_long_prefix_stays_with_the_host_that_holds_it() {
    let fleet = both(|runtime| {
        let mut fleet = warm(fleet(runtime, 8));
        let document = prompt(1, 40_000);
        for n in 0..8 {
            let question = format!("{document} question {n}: {}", prompt(100 + n, 40));
            serve(&mut fleet, Request::say("m", &question));
        }
        fleet
    });
    let picks = picks(&fleet.records());
    assert_eq!(picks.len(), 1, "{picks:?}");
    assert!(metric(&fleet, "plimsoll_predicted_cached_tokens") > 0);
}

#[test]
fn a_request_is_booked_on_the_host_that_served_it() {
    let fleet = both(|runtime| {
        let mut fleet = warm(fleet(runtime, 3));
        let first = serve(&mut fleet, Request::say("m", "one"));
        let first = fleet.record(first).served.unwrap();
        let down = fleet
            .engines()
            .iter()
            .position(|e| e.address == first)
            .unwrap();
        for n in 0..3 {
            fleet.engine(n).up = n != down;
        }
        // Before the next poll finds out.
        for n in 0..6 {
            serve(
                &mut fleet,
                Request::say("m", &prompt(n, 100)).header("x-session-id", "s"),
            );
        }
        fleet
    });
    let rebooked = fleet
        .records()
        .iter()
        .filter(|record| record.first() != record.served.as_deref())
        .count();
    assert!(
        fleet
            .records()
            .iter()
            .all(|record| record.status == Some(200))
    );
    assert_eq!(metric(&fleet, "plimsoll_rebooked"), rebooked as u64);
    nothing_in_flight(&fleet);
}

#[test]
fn models_are_kept_apart() {
    let fleet = both(|runtime| {
        let mut fleet = fleet(runtime, 4).start().unwrap();
        for other in [1, 3] {
            fleet.engine(other).model = "other".to_owned();
        }
        fleet.run_ms(1_000);
        for n in 0..8 {
            let model = if n % 2 == 0 { "m" } else { "other" };
            serve(&mut fleet, Request::say(model, &prompt(n, 100)));
        }
        // Engines alone know their aliases: an unknown name is theirs to refuse.
        serve(&mut fleet, Request::say("absent", "x"));
        fleet
    });
    for (n, record) in fleet.records()[..8].iter().enumerate() {
        let host = record.first().unwrap().to_owned();
        let odd = ["10.0.0.2:8000", "10.0.0.4:8000"].contains(&host.as_str());
        assert_eq!(odd, n % 2 == 1, "request {n} went to {host}");
    }
    assert!(fleet.records()[8].ranked.is_some());
    nothing_in_flight(&fleet);
}

#[test]
fn a_model_whose_hosts_all_drain_is_refused_with_a_reason() {
    let fleet = both(|runtime| {
        let mut fleet = fleet(runtime, 4).configuration("{}").start().unwrap();
        for other in [1, 3] {
            fleet.engine(other).model = "other".to_owned();
        }
        fleet.run_ms(2_000);
        for other in [1, 3] {
            fleet.engine(other).draining = true;
        }
        fleet.run_ms(2_000);
        serve(&mut fleet, Request::say("other", "x"));
        serve(&mut fleet, Request::say("m", "x"));
        fleet
    });
    let refused = &fleet.records()[0];
    assert!(
        !refused.left && refused.status.unwrap() >= 400,
        "{refused:?}"
    );
    assert_eq!(sum(&fleet, "plimsoll_rejected."), 1);
    assert_eq!(fleet.records()[1].status, Some(200));
    nothing_in_flight(&fleet);
}

#[test]
fn requests_without_a_body_are_named_a_host_too() {
    let fleet = both(|runtime| {
        let mut fleet = warm(fleet(runtime, 2));
        serve(&mut fleet, Request::get("/v1/models"));
        serve(&mut fleet, Request::get("/health?x=1"));
        fleet
    });
    for record in fleet.records() {
        assert!(record.ranked.is_some());
        assert_eq!(record.held_peak, 0);
    }
}

#[test]
fn classic_policies_share_the_way() {
    for policy in [
        "round_robin",
        "weighted_round_robin",
        "random",
        "least_request",
        "power_of_two",
    ] {
        let fleet = both(|runtime| {
            let fields = format!("\"policy\":\"{policy}\"");
            let mut fleet = warm(fleet(runtime, 4).fields(&fields));
            for n in 0..16 {
                serve(&mut fleet, Request::say("m", &prompt(n, 50)));
            }
            fleet
        });
        assert_eq!(
            picks(&fleet.records()).values().sum::<usize>(),
            16,
            "{policy}"
        );
        if policy.ends_with("round_robin") {
            let picks = picks(&fleet.records());
            assert!(picks.values().all(|n| *n == 4), "{policy}: {picks:?}");
        }
    }
}

#[test]
fn the_decision_is_explained_when_asked_and_allowed() {
    let run = |explain: bool, ask: bool| {
        let fleet = both(|runtime| {
            let mut fleet = warm(fleet(runtime, 2).fields(&format!("\"explain\":{explain}")));
            let request = Request::say("m", "why");
            let request = if ask {
                request.header("x-plimsoll-explain", "1")
            } else {
                request
            };
            serve(&mut fleet, request);
            fleet
        });
        explanation(&fleet)
    };
    assert!(run(true, true).is_some_and(|text| text.contains("full")));
    assert_eq!(run(true, false), None);
    assert_eq!(run(false, true), None);
}

fn explanation(fleet: &Fleet) -> Option<String> {
    let stream = fleet.opened()[0];
    let sent = fleet.stream(stream).response.sent_headers.unwrap();
    sent.text("x-plimsoll-decision")
}
