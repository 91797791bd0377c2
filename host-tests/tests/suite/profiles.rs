//! Hosts that differ from Envoy.

use plimsoll_host::proxy::{Profile, Properties, Ticks};
use plimsoll_host::scenario::Request;

use crate::common::{both, fleet, metric, nothing_in_flight, prompt, serve, warm};

#[test]
fn text_properties_are_understood() {
    let profile = Profile {
        properties: Properties::Text,
        end_of_stream_in_headers: false,
        ticks: Ticks::Once,
        ..Profile::ENVOY
    };
    let fleet = both(|runtime| {
        let mut fleet = warm(fleet(runtime, 3).profile(profile));
        serve(&mut fleet, Request::say("m", "hello"));
        let named = fleet.records()[0].first().map(str::to_owned);
        let down = fleet
            .engines()
            .iter()
            .position(|e| Some(&e.address) == named.as_ref());
        fleet.engine(down.unwrap()).up = false;
        serve(&mut fleet, Request::say("m", "hello"));
        serve(&mut fleet, Request::get("/v1/models"));
        let aborted = fleet.send(Request::say("m", "aborted"));
        fleet.run_ms(10);
        fleet.abort(aborted);
        fleet
    });
    let records = fleet.records();
    let rebooked = records[..3]
        .iter()
        .filter(|record| record.first() != record.served.as_deref())
        .count();
    assert_eq!(metric(&fleet, "plimsoll_rebooked"), rebooked as u64);
    assert_eq!(
        metric(&fleet, "plimsoll_aborted"),
        1,
        "told without response.flags"
    );
    nothing_in_flight(&fleet);
}

#[test]
fn nginx_starts_ticks_and_routes_without_a_body() {
    let fleet = both(|runtime| {
        let mut fleet = warm(fleet(runtime, 3).workers(2).profile(Profile::NGINX));
        for n in 0..8 {
            serve(&mut fleet, Request::get(&format!("/v1/models?{n}")));
        }
        fleet.run_ms(5_000);
        fleet
    });
    assert!(fleet.records().iter().all(|record| record.ranked.is_some()));
    nothing_in_flight(&fleet);
}

#[test]
fn envoy_without_the_stop_iteration_flag_still_serves_what_has_no_body() {
    let profile = Profile {
        body_while_headers_paused: false,
        ..Profile::ENVOY
    };
    let fleet = both(|runtime| {
        let mut fleet = warm(fleet(runtime, 2).profile(profile));
        serve(&mut fleet, Request::get("/v1/models"));
        fleet
    });
    assert_eq!(fleet.records()[0].status, Some(200));
}

#[test]
fn a_body_over_the_proxys_limit_is_answered_413_and_forgotten() {
    let profile = Profile {
        body_buffer_limit: 16 << 10,
        ..Profile::ENVOY
    };
    let fleet = both(|runtime| {
        let mut fleet = warm(fleet(runtime, 2).profile(profile));
        serve(
            &mut fleet,
            Request::say("m", &prompt(1, 60_000)).chunks_of(4_096),
        );
        serve(&mut fleet, Request::say("m", "small"));
        fleet
    });
    let records = fleet.records();
    assert_eq!((records[0].status, records[0].left), (Some(413), false));
    assert_eq!(records[1].status, Some(200));
    nothing_in_flight(&fleet);
}
