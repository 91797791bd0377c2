//! Answers that serve more than one request: who shares with whom, and that each request still ends exactly once.

use plimsoll_host::proxy::Profile;
use plimsoll_host::scenario::{Fleet, Request, Runtime, StreamId};

use crate::common::{both, finish, metric, nothing_in_flight, prompt, serve, warm};

const COALESCE: &str = r#""reuse":{"coalesce":true,"max_wait_ms":5000,"followers":3}"#;
const KEEP: &str = r#""reuse":{"coalesce":true,"ttl_ms":3000,"bytes":4096,"answer_bytes":2048}"#;

fn fleet(runtime: Runtime, fields: &str) -> Fleet {
    warm(Fleet::builder(runtime).engines(2).fields(fields))
}

/// A request whose answer nothing but itself decides.
fn ask(text: &str) -> Request {
    let body = serde_json::json!({"model": "m", "temperature": 0, "stream": true,
        "messages": [{"role": "user", "content": text}]});
    Request::chat(body.to_string()).header("authorization", "Bearer one")
}

fn header(fleet: &Fleet, stream: StreamId, name: &str) -> Option<String> {
    fleet.stream(stream).response.sent_headers?.text(name)
}

/// How it was answered: by an engine, or as `x-plimsoll-cache` says.
fn how(fleet: &Fleet, stream: StreamId) -> String {
    let record = fleet.record(stream);
    assert!(fleet.is_over(stream));
    let how = header(fleet, stream, "x-plimsoll-cache");
    assert_eq!(how.is_none(), record.left, "answered once, by one");
    how.unwrap_or_else(|| "engine".to_owned())
}

fn send(fleet: &mut Fleet, request: &Request, count: usize) -> Vec<StreamId> {
    (0..count).map(|_| fleet.send(request.clone())).collect()
}

fn finish_all(fleet: &mut Fleet, streams: &[StreamId]) {
    for stream in streams {
        finish(fleet, *stream);
    }
    fleet.run_ms(50);
    nothing_in_flight(fleet);
}

fn ways(fleet: &Fleet, streams: &[StreamId]) -> Vec<String> {
    streams.iter().map(|stream| how(fleet, *stream)).collect()
}

fn results(fleet: &Fleet) -> [u64; 4] {
    ["hit", "coalesced", "led", "let_go"]
        .map(|result| metric(fleet, &format!("plimsoll_reuse.result={result}")))
}

#[test]
fn one_answer_serves_all_that_ask_while_it_is_under_way() {
    let fleet = both(|runtime| {
        let mut fleet = fleet(runtime, COALESCE);
        let mut streams = send(&mut fleet, &ask("a"), 3);
        // Its body comes in pieces, and its end alone.
        streams.push(fleet.send(ask("a").chunks_of(40).late_end()));
        streams.push(fleet.send(ask("b")));
        finish_all(&mut fleet, &streams);
        assert_eq!(
            ways(&fleet, &streams),
            ["engine", "coalesced", "coalesced", "coalesced", "engine"]
        );
        let bodies: Vec<_> = streams
            .iter()
            .map(|stream| fleet.stream(*stream).response.sent_body)
            .collect();
        assert!(bodies[0].ends_with(b"data: [DONE]\n\n"));
        assert!(bodies[..4].iter().all(|body| *body == bodies[0]));
        let kind = header(&fleet, streams[1], "content-type");
        assert_eq!(kind.as_deref(), Some("text/event-stream; charset=utf-8"));
        // Nothing is kept.
        let later = serve(&mut fleet, ask("a"));
        assert_eq!(how(&fleet, later), "engine");
        fleet
    });
    assert_eq!(results(&fleet), [0, 3, 3, 0]);
    assert_eq!(fleet.engines().iter().map(|e| e.served).sum::<u64>(), 3);
}

#[test]
fn an_answer_that_is_kept_serves_those_to_come() {
    let fleet = both(|runtime| {
        let mut fleet = fleet(
            runtime,
            &format!(r#"{KEEP},"explain":true,"access_log":true"#),
        );
        fleet.engine(0).script.stream = false;
        fleet.engine(1).script.stream = false;
        let first = serve(&mut fleet, ask("a"));
        fleet.run_ms(1_500);
        let second = serve(&mut fleet, ask("a").header("x-plimsoll-explain", "1"));
        assert_eq!(ways(&fleet, &[first, second]), ["engine", "hit"]);
        let said = |name| header(&fleet, second, name).unwrap();
        assert_eq!(said("age"), "1");
        assert_eq!(said("content-type"), "application/json");
        assert_eq!(said("x-plimsoll-decision"), "reused=hit");
        assert_eq!(
            fleet.stream(first).response.sent_body,
            fleet.stream(second).response.sent_body
        );
        let told = (
            second.vm,
            second.context,
            "wasm.plimsoll_decision".to_owned(),
        );
        let told = fleet.proxy().filter_state.get(&told).cloned();
        assert!(told.is_none_or(|told| told == b"reused=hit"));
        fleet.run_ms(2_000);
        let third = serve(&mut fleet, ask("a"));
        assert_eq!(how(&fleet, third), "engine", "too old");
        fleet
    });
    assert_eq!(results(&fleet), [1, 0, 2, 0]);
}

#[test]
fn only_what_is_the_same_of_the_same_client_is_shared() {
    let embed =
        |path: &str| Request::post(path, r#"{"model":"m","input":"a"}"#).header("x-api-key", "one");
    let sampled = Request::chat(r#"{"model":"m","messages":[]}"#).header("x-api-key", "one");
    let long = ask(&prompt(1, 70_000));
    let cases = [
        ("the same", ask("a"), ask("a"), "hit"),
        (
            "an embedding",
            embed("/v1/embeddings"),
            embed("/v1/embeddings"),
            "hit",
        ),
        (
            "another path",
            embed("/v1/embeddings"),
            embed("/v2/v1/embeddings"),
            "engine",
        ),
        (
            "another client",
            ask("a"),
            ask("a").header("x-api-key", "two"),
            "engine",
        ),
        (
            "no client",
            Request::chat(ask("a").body()),
            Request::chat(ask("a").body()),
            "engine",
        ),
        (
            "a space more",
            Request::post("/v1/embeddings", r#"{"input":"a"}"#).header("x-api-key", "one"),
            Request::post("/v1/embeddings", r#"{"input":"a"} "#).header("x-api-key", "one"),
            "engine",
        ),
        ("sampled", sampled.clone(), sampled, "engine"),
        (
            "the client wants its own",
            ask("a"),
            ask("a").header("cache-control", "no-store"),
            "engine",
        ),
        ("not seen whole", long.clone(), long, "engine"),
        (
            "with trailers",
            ask("a").trailers(),
            ask("a").trailers(),
            "engine",
        ),
    ];
    for (what, first, second, expected) in &cases {
        both(|runtime| {
            let mut fleet = fleet(runtime, KEEP);
            let first = serve(&mut fleet, first.clone());
            let second = serve(&mut fleet, second.clone());
            assert_eq!(
                ways(&fleet, &[first, second]),
                ["engine", *expected],
                "{what}"
            );
            fleet
        });
    }
}

/// Keys of `acme` (`acme-key`) and of nobody.
const TENANTS: &str = r#""tiers":[{"name":"gold"}],
    "tenants":[{"name":"acme","tier":"gold","keys":["sha256:afacab3575137afa4e00d9cbcafcb14c9ae25f779d964eb0ea5b2c4eb5dfd163"]},
        {"name":"zeta","tier":"gold"},{"name":"*","tier":"gold"}],
    "identity":{"header":"x-tenant","trusted_hops":["127.0.0.0/8"]}"#;

#[test]
fn tenants_share_among_themselves_and_strangers_with_nobody() {
    both(|runtime| {
        let mut fleet = fleet(runtime, &format!("{KEEP},{TENANTS}"));
        let plain = || Request::chat(ask("a").body());
        let requests = [
            (plain().header("authorization", "Bearer acme-key"), "engine"),
            (plain().header("x-tenant", "zeta"), "engine"),
            (plain(), "engine"),
            (plain(), "engine"),
            (plain().header("x-api-key", "acme-key"), "hit"),
            (plain().header("x-tenant", "acme"), "hit"),
            (plain().header("x-tenant", "zeta"), "hit"),
        ];
        for (at, (request, expected)) in requests.into_iter().enumerate() {
            let stream = serve(&mut fleet, request);
            assert_eq!(how(&fleet, stream), expected, "request {at}");
        }
        let refused = serve(&mut fleet, plain().header("x-api-key", "wrong"));
        assert_eq!(fleet.record(refused).status, Some(401));
        fleet
    });
}

#[test]
fn whoever_follows_one_that_fails_goes_itself() {
    type Spoil = fn(&mut Fleet, StreamId);
    let ends: [(&str, Spoil); 4] = [
        ("breaks off", |_, _| {}),
        ("its client leaves", |fleet, leader| fleet.abort(leader)),
        ("is too long", |_, _| {}),
        ("is an error", |_, _| {}),
    ];
    for (what, spoil) in ends {
        let fleet = both(|runtime| {
            let mut fleet = fleet(runtime, COALESCE);
            for engine in 0..2 {
                let script = &mut fleet.engine(engine).script;
                match what {
                    "breaks off" => script.breaks = true,
                    "is too long" => script.tokens = 1_000,
                    "is an error" => (script.status, script.stream) = (500, false),
                    _ => {}
                }
            }
            let streams = send(&mut fleet, &ask("a"), 3);
            fleet.run_ms(30);
            assert!(!fleet.record(streams[1]).left);
            spoil(&mut fleet, streams[0]);
            finish_all(&mut fleet, &streams);
            assert_eq!(ways(&fleet, &streams[1..]), ["engine"; 2], "{what}");
            for stream in &streams[1..] {
                let body = fleet.stream(*stream).request.sent_body;
                assert_eq!(body, ask("a").body(), "{what}");
            }
            fleet
        });
        assert_eq!(results(&fleet), [0, 0, 1, 2], "{what}");
    }
}

#[test]
fn whoever_waits_too_long_goes_itself_and_whoever_leaves_is_forgotten() {
    let fleet = both(|runtime| {
        let mut fleet = fleet(runtime, COALESCE);
        for engine in 0..2 {
            fleet.engine(engine).script.ttft_ms = 8_000;
        }
        let streams = send(&mut fleet, &ask("a"), 3);
        fleet.run_ms(100);
        fleet.abort(streams[1]);
        fleet.run_ms(4_850);
        assert!(!fleet.record(streams[2]).left);
        fleet.run_ms(100);
        assert!(fleet.record(streams[2]).left);
        finish_all(&mut fleet, &streams);
        assert_eq!(fleet.record(streams[1]).status, None);
        assert!(!fleet.record(streams[1]).left);
        assert_eq!(fleet.record(streams[2]).status, Some(200));
        fleet
    });
    assert_eq!(results(&fleet), [0, 0, 1, 1]);
}

#[test]
fn a_leader_that_is_refused_takes_nobody_with_it() {
    both(|runtime| {
        let mut fleet = fleet(
            runtime,
            &format!(r#"{KEEP},"limits":{{"pool_inflight":1}}"#),
        );
        let busy = fleet.send(ask("busy"));
        let streams = send(&mut fleet, &ask("a"), 2);
        assert_eq!(fleet.record(streams[0]).status, Some(429));
        assert_eq!(fleet.record(streams[1]).status, Some(429));
        finish(&mut fleet, busy);
        let after = serve(&mut fleet, ask("a"));
        assert_eq!(fleet.record(after).status, Some(200));
        fleet
    });
}

/// A leader that waits in the queue, with its followers behind it.
#[test]
fn who_follows_one_in_the_queue_is_answered_with_it() {
    let fleet = both(|runtime| {
        let full = r#""admission":{"full_requests":1,"queue":4}"#;
        let fields = format!("{COALESCE},{TENANTS},{full}");
        let mut fleet = warm(Fleet::builder(runtime).engines(1).fields(&fields));
        let ask = |text| Request::chat(ask(text).body()).header("x-tenant", "acme");
        let busy = fleet.send(ask("busy"));
        let streams = send(&mut fleet, &ask("a"), 3);
        fleet.run_ms(50);
        assert_eq!(metric(&fleet, "plimsoll_queued"), 1);
        finish_all(&mut fleet, &[&[busy], &streams[..]].concat());
        assert_eq!(ways(&fleet, &streams), ["engine", "coalesced", "coalesced"]);
        assert_eq!(metric(&fleet, "plimsoll_reserved_tokens"), 0);
        fleet
    });
    assert_eq!(metric(&fleet, "plimsoll_queued"), 0);
}

#[test]
fn a_new_configuration_forgets_answers_and_lets_followers_go() {
    both(|runtime| {
        let mut fleet = fleet(runtime, KEEP);
        let kept = serve(&mut fleet, ask("kept"));
        let streams = send(&mut fleet, &ask("a"), 2);
        fleet.run_ms(20);
        let off = r#"{"hosts":["10.0.0.1:8000","10.0.0.2:8000"]}"#;
        assert!(fleet.reconfigure(off));
        fleet.run_ms(30);
        assert!(fleet.record(streams[1]).left, "nobody waits");
        finish_all(&mut fleet, &streams);
        let again = serve(&mut fleet, ask("kept"));
        assert_eq!(ways(&fleet, &[kept, again]), ["engine", "engine"]);
        fleet
    });
}

#[test]
fn a_vm_that_dies_loses_its_answers() {
    for runtime in [Runtime::Native, Runtime::Wasm] {
        let mut fleet = fleet(runtime, KEEP);
        serve(&mut fleet, ask("kept"));
        let streams = send(&mut fleet, &ask("a"), 2);
        fleet.run_ms(20);
        fleet.kill(1);
        fleet.run_ms(2_000);
        assert!(!fleet.record(streams[1]).left, "the idle timeout ends it");
        fleet.abort(streams[1]);
        let again = serve(&mut fleet, ask("kept"));
        assert_eq!(how(&fleet, again), "engine");
        fleet.run_ms(50);
    }
}

#[test]
fn a_proxy_that_cannot_resume_shares_nothing() {
    for runtime in [Runtime::Native, Runtime::Wasm] {
        let mut fleet = Fleet::builder(runtime)
            .engines(1)
            .fields(&format!(r#"{KEEP},"policy":"least_request""#))
            .profile(Profile::NGINX)
            .start()
            .unwrap();
        fleet.run_ms(1_000);
        let streams = send(&mut fleet, &ask("a"), 2);
        finish_all(&mut fleet, &streams);
        assert_eq!(results(&fleet), [0; 4]);
        fleet.check();
    }
}

/// What the module holds of answers is bounded, however many there are: after the bound is reached its memory does not grow.
#[test]
fn memory_is_bounded_whatever_is_kept() {
    let fields =
        r#""reuse":{"coalesce":true,"ttl_ms":600000,"bytes":1048576,"answer_bytes":65536}"#;
    let mut fleet = fleet(Runtime::Wasm, fields);
    for engine in 0..2 {
        fleet.engine(engine).script.tokens = 400;
        fleet.engine(engine).script.tpot_ms = 1;
    }
    let mut pages = Vec::new();
    for round in 0..4 {
        for n in 0..60 {
            let request = ask(&prompt(round * 100 + n, 200));
            send(&mut fleet, &request, 3);
            fleet.run_ms(100);
        }
        fleet.run_ms(2_000);
        pages.push(fleet.peak_pages());
    }
    fleet.check();
    nothing_in_flight(&fleet);
    println!("{pages:?} pages");
    assert_eq!(pages[1], pages[3], "{pages:?}");
}
