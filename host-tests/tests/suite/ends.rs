//! Every kind of end releases what the request held.

use plimsoll_host::scenario::Request;

use crate::common::{both, finish, fleet, metric, nothing_in_flight, prompt, serve, sum, warm};

#[test]
fn in_flight_rises_and_falls() {
    both(|runtime| {
        let mut fleet = warm(fleet(runtime, 2));
        let stream = fleet.send(Request::say("m", "hello"));
        fleet.run_ms(60);
        assert_eq!(sum(&fleet, "plimsoll_inflight."), 1, "while it runs");
        finish(&mut fleet, stream);
        nothing_in_flight(&fleet);
        fleet
    });
}

#[test]
fn an_abort_releases_at_every_point() {
    let fleet = both(|runtime| {
        let mut fleet = warm(fleet(runtime, 2));
        // In the headers, in the body, before the response, in the response.
        let request = Request::say("m", &prompt(1, 200_000));
        let stream = fleet.open(&request);
        fleet.abort(stream);
        let stream = fleet.open(&request);
        fleet.send_body(stream, &request.body()[..1_000], false);
        fleet.abort(stream);
        let stream = fleet.open(&request);
        fleet.send_body(stream, &request.body()[..100_000], false);
        fleet.abort(stream);
        let stream = fleet.send(request.clone());
        fleet.abort(stream);
        let stream = fleet.send(request.clone());
        fleet.run_ms(65);
        assert_eq!(sum(&fleet, "plimsoll_inflight."), 1);
        fleet.abort(stream);
        fleet.run_ms(100);
        nothing_in_flight(&fleet);
        serve(&mut fleet, Request::say("m", "after"));
        fleet
    });
    // The first two had not been decided: there was nothing to release.
    assert_eq!(metric(&fleet, "plimsoll_aborted"), 3);
    assert_eq!(metric(&fleet, "plimsoll_failed"), 0);
    assert_eq!(
        fleet.records().last().unwrap().step.as_deref(),
        Some("step=full")
    );
    nothing_in_flight(&fleet);
}

#[test]
fn a_broken_upstream_counts_as_failed() {
    let fleet = both(|runtime| {
        let mut fleet = warm(fleet(runtime, 2));
        for engine in 0..2 {
            fleet.engine(engine).script.breaks = true;
        }
        serve(&mut fleet, Request::say("m", "hello"));
        fleet
    });
    assert_eq!(metric(&fleet, "plimsoll_failed"), 1);
    assert_eq!(metric(&fleet, "plimsoll_aborted"), 0);
    nothing_in_flight(&fleet);
}

#[test]
fn no_upstream_at_all_is_answered_by_the_proxy_and_released() {
    let fleet = both(|runtime| {
        let mut fleet = warm(fleet(runtime, 2));
        for engine in 0..2 {
            fleet.engine(engine).up = false;
        }
        serve(&mut fleet, Request::say("m", "hello"));
        fleet
    });
    assert_eq!(fleet.records()[0].status, Some(503));
    assert_eq!(metric(&fleet, "plimsoll_failed"), 1);
    nothing_in_flight(&fleet);
}

#[test]
fn error_statuses_of_engines_are_no_harm() {
    for status in [400, 401, 404, 413, 422, 429, 500, 503] {
        let fleet = both(|runtime| {
            let mut fleet = warm(fleet(runtime, 2));
            for engine in 0..2 {
                let script = &mut fleet.engine(engine).script;
                (script.status, script.stream, script.prompt_tokens) = (status, false, None);
            }
            for n in 0..4 {
                serve(&mut fleet, Request::say("m", &prompt(n, 100)));
            }
            fleet
        });
        assert!(
            fleet
                .records()
                .iter()
                .all(|record| record.status == Some(status))
        );
        let failed = if status >= 500 { 4 } else { 0 };
        assert_eq!(metric(&fleet, "plimsoll_failed"), failed, "{status}");
        nothing_in_flight(&fleet);
    }
}

#[test]
fn a_failing_host_is_left_alone_and_comes_back() {
    let fleet = both(|runtime| {
        let mut fleet = warm(fleet(runtime, 3));
        for n in 0..12 {
            fleet.engine(0).script.status = 500;
            serve(&mut fleet, Request::say("m", &prompt(n, 100)));
        }
        fleet.engine(0).script.status = 200;
        fleet.run_ms(60_000);
        for n in 100..130 {
            serve(&mut fleet, Request::say("m", &prompt(n, 100)));
        }
        fleet
    });
    let records = fleet.records();
    let picks = crate::common::picks(&records[12..]);
    assert!(picks.contains_key("10.0.0.1:8000"), "{picks:?}");
    nothing_in_flight(&fleet);
}
