//! Requests that wait in the filter: resumed on the same worker, each ends exactly once.

use plimsoll_host::proxy::Profile;
use plimsoll_host::scenario::{Fleet, Request, Runtime, StreamId};

use crate::common::{both, finish, metric, nothing_in_flight, prompt, serve, warm};

/// Two tiers on one host that is full with one request.
const TIERS: &str = r#""tiers":[{"name":"gold","max_wait_ms":3000},{"name":"free","max_wait_ms":3000}],
    "tenants":[{"name":"ada","tier":"gold","keys":["sha256:afacab3575137afa4e00d9cbcafcb14c9ae25f779d964eb0ea5b2c4eb5dfd163"]},
        {"name":"*","tier":"free"}],
    "admission":{"full_requests":1,"queue":4,"starvation_ms":2500}"#;

fn tiers(runtime: Runtime) -> Fleet {
    warm(Fleet::builder(runtime).engines(1).fields(TIERS))
}

fn free(n: u64) -> Request {
    Request::say("m", &prompt(n, 500))
}

fn gold(n: u64) -> Request {
    free(n).header("authorization", "Bearer acme-key")
}

fn header(fleet: &Fleet, stream: StreamId, name: &str) -> Option<String> {
    fleet.stream(stream).response.sent_headers?.text(name)
}

fn finish_all(fleet: &mut Fleet, streams: &[StreamId]) {
    for stream in streams {
        finish(fleet, *stream);
    }
    fleet.run_ms(50);
    assert_eq!(metric(fleet, "plimsoll_queued"), 0);
    nothing_in_flight(fleet);
}

/// Streams in the order in which their requests reached a host.
fn order(fleet: &Fleet, streams: &[StreamId]) -> Vec<Option<u16>> {
    streams
        .iter()
        .map(|stream| fleet.record(*stream).status)
        .collect()
}

#[test]
fn who_waits_is_resumed_whole_and_higher_tiers_first() {
    let fleet = both(|runtime| {
        let mut fleet = tiers(runtime);
        let requests = [
            free(1),
            free(2).chunks_of(100),
            gold(3).chunks_of(64).late_end(),
        ];
        let streams: Vec<StreamId> = requests.iter().map(|r| fleet.send(r.clone())).collect();
        fleet.run_ms(50);
        assert_eq!(metric(&fleet, "plimsoll_queued"), 2);
        assert!(!fleet.record(streams[1]).left && !fleet.record(streams[2]).left);
        finish(&mut fleet, streams[2]);
        assert!(
            !fleet.is_over(streams[1]),
            "the lower tier is still on its way"
        );
        finish_all(&mut fleet, &streams);
        for (stream, request) in streams.iter().zip(&requests) {
            assert_eq!(fleet.stream(*stream).request.sent_body, request.body());
        }
        fleet
    });
    let records = fleet.records();
    assert!(
        records
            .iter()
            .all(|record| record.status == Some(200) && record.ranked.is_some())
    );
    assert_eq!(metric(&fleet, "plimsoll_decisions.step=full"), 3);
}

#[test]
fn who_waits_too_long_is_answered_504() {
    let fleet = both(|runtime| {
        let mut fleet = tiers(runtime);
        fleet.engine(0).script.ttft_ms = 20_000;
        let streams = [fleet.send(free(1)), fleet.send(free(2))];
        fleet.run_ms(2_950);
        assert!(!fleet.is_over(streams[1]));
        fleet.run_ms(100);
        assert!(fleet.is_over(streams[1]));
        assert_eq!(
            header(&fleet, streams[1], "x-plimsoll-reason").as_deref(),
            Some("queue_timeout")
        );
        finish_all(&mut fleet, &streams);
        assert_eq!(order(&fleet, &streams), [Some(200), Some(504)]);
        fleet
    });
    assert_eq!(metric(&fleet, "plimsoll_rejected.reason=queue_timeout"), 1);
}

#[test]
fn a_client_that_leaves_leaves_the_queue() {
    both(|runtime| {
        let mut fleet = tiers(runtime);
        let streams = [
            fleet.send(free(1)),
            fleet.send(free(2)),
            fleet.send(free(3)),
        ];
        fleet.run_ms(30);
        fleet.abort(streams[1]);
        finish_all(&mut fleet, &streams);
        assert!(!fleet.record(streams[1]).left, "it never reached a host");
        assert_eq!(order(&fleet, &streams), [Some(200), None, Some(200)]);
        fleet
    });
}

#[test]
fn a_full_queue_refuses_with_a_time_to_come_back_and_gives_way_to_higher_tiers() {
    let fleet = both(|runtime| {
        let mut fleet = tiers(runtime);
        fleet.engine(0).script.ttft_ms = 400;
        let mut streams: Vec<StreamId> = (0..6).map(|n| fleet.send(free(n))).collect();
        let refused = streams[5];
        assert_eq!(fleet.record(refused).status, Some(429));
        let seconds = header(&fleet, refused, "retry-after").and_then(|s| s.parse::<u32>().ok());
        assert!(
            seconds.is_some_and(|seconds| (1..=10).contains(&seconds)),
            "{seconds:?}"
        );
        let body = fleet.stream(refused).response.sent_body;
        let error: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(error["error"]["code"], "queue_full");
        assert_eq!(error["error"]["type"], "rate_limit_error");
        streams.push(fleet.send(gold(7)));
        fleet.run_ms(30);
        assert_eq!(
            header(&fleet, streams[4], "x-plimsoll-reason").as_deref(),
            Some("displaced")
        );
        finish_all(&mut fleet, &streams);
        fleet
    });
    let statuses: Vec<_> = fleet
        .records()
        .iter()
        .filter_map(|record| record.status)
        .collect();
    assert_eq!(statuses, [200, 200, 200, 200, 429, 429, 200]);
}

#[test]
fn a_new_configuration_keeps_who_waits() {
    both(|runtime| {
        let mut fleet = tiers(runtime);
        let streams = [
            fleet.send(free(1)),
            fleet.send(free(2)),
            fleet.send(gold(3)),
        ];
        fleet.run_ms(30);
        let without_ada = r#"{"hosts":["10.0.0.1:8000"],"tiers":[{"name":"one"}],"tenants":[{"name":"*","tier":"one"}],
            "admission":{"full_requests":1}}"#;
        assert!(fleet.reconfigure(without_ada));
        finish_all(&mut fleet, &streams);
        assert_eq!(order(&fleet, &streams), [Some(200), Some(200), Some(403)]);

        let streams = [fleet.send(free(4)), fleet.send(free(5))];
        fleet.run_ms(30);
        assert!(!fleet.record(streams[1]).left);
        assert!(fleet.reconfigure(r#"{"hosts":["10.0.0.1:8000"]}"#));
        fleet.run_ms(30);
        assert!(fleet.record(streams[1]).left, "without tiers nobody waits");
        finish_all(&mut fleet, &streams);
        assert_eq!(order(&fleet, &streams), [Some(200), Some(200)]);
        fleet
    });
}

#[test]
fn a_vm_that_dies_loses_its_queue_and_no_other_request() {
    for runtime in [Runtime::Native, Runtime::Wasm] {
        let mut fleet = tiers(runtime);
        let streams = [fleet.send(free(1)), fleet.send(free(2))];
        fleet.run_ms(30);
        fleet.kill(1);
        fleet.run_ms(2_000);
        // Nobody can resume it; the proxy's idle timeout ends it.
        assert!(!fleet.record(streams[1]).left);
        fleet.abort(streams[1]);
        let after = serve(&mut fleet, free(3));
        assert_eq!(order(&fleet, &[streams[1], after]), [None, Some(200)]);
        fleet.run_ms(50);
    }
}

#[test]
fn a_proxy_that_cannot_resume_refuses_instead() {
    for runtime in [Runtime::Native, Runtime::Wasm] {
        let mut fleet = Fleet::builder(runtime)
            .engines(1)
            .fields(TIERS)
            .profile(Profile::NGINX)
            .start()
            .unwrap();
        fleet.run_ms(1_000);
        let get = || Request::get("/v1/models");
        let streams = [fleet.send(get()), fleet.send(get())];
        assert_eq!(fleet.record(streams[1]).status, Some(429));
        assert!(header(&fleet, streams[1], "retry-after").is_some());
        finish(&mut fleet, streams[0]);
        assert_eq!(fleet.record(streams[0]).status, Some(200));
        let proxy = fleet.proxy();
        let told = proxy
            .log
            .iter()
            .filter(|line| line.text.contains("cannot resume"));
        assert_eq!(told.count(), 1);
        drop(proxy);
        fleet.check();
    }
}
