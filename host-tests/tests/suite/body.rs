//! Bodies as they come: in many pieces, huge, broken.

use plimsoll_host::proxy::HeaderMap;
use plimsoll_host::scenario::{Fleet, Request};

use crate::common::{both, fleet, prompt, serve, warm};

const DECIDE_AFTER: usize = 64 * 1024;

fn arrived_whole(fleet: &Fleet, request: &Request) {
    for stream in fleet.opened() {
        let seen = fleet.stream(*stream);
        assert!(seen.request.sent_end);
        assert!(
            seen.request.sent_body == request.body(),
            "the body was changed"
        );
    }
}

#[test]
fn chunk_boundaries_do_not_matter() {
    let request = Request::say(
        "m",
        &format!("é\\u00e9 \"q\" \u{1f600} {}", prompt(3, 1_500)),
    );
    let mut seen = Vec::new();
    for chunk in [usize::MAX, 1, 7, 1_000] {
        let fleet = both(|runtime| {
            let mut fleet = warm(fleet(runtime, 4));
            serve(&mut fleet, request.clone().chunks_of(chunk));
            fleet
        });
        arrived_whole(&fleet, &request);
        seen.push(fleet.records()[0].ranked.clone());
    }
    seen.dedup();
    assert_eq!(seen.len(), 1, "{seen:?}");
}

#[test]
fn the_end_may_come_late_or_as_trailers() {
    let request = Request::say("m", "hello").without_length();
    let forms = [
        request.clone(),
        request.clone().late_end(),
        request.clone().trailers(),
        request.clone().trailers().chunks_of(3),
    ];
    for form in forms {
        let fleet = both(|runtime| {
            let mut fleet = warm(fleet(runtime, 3));
            serve(&mut fleet, form.clone());
            fleet
        });
        arrived_whole(&fleet, &request);
        let record = &fleet.records()[0];
        assert_eq!(record.status, Some(200));
        assert!(record.ranked.is_some(), "{record:?}");
    }
}

#[test]
fn a_huge_prompt_is_decided_early_and_not_held() {
    let request = Request::say("m", &prompt(9, 4 << 20));
    for (chunk, without_length) in [(16 * 1024, false), (16 * 1024, true), (1 << 20, false)] {
        let fleet = both(|runtime| {
            let mut fleet = warm(fleet(runtime, 3));
            let request = request.clone().chunks_of(chunk);
            let request = if without_length {
                request.without_length()
            } else {
                request
            };
            serve(&mut fleet, request);
            fleet
        });
        arrived_whole(&fleet, &request);
        let record = &fleet.records()[0];
        assert!(record.ranked.is_some());
        let most = DECIDE_AFTER.max(chunk);
        assert!(
            record.held_peak <= most,
            "{} held of {most}",
            record.held_peak
        );
        assert!(fleet.peak_pages() <= 128, "{} pages", fleet.peak_pages());
    }
}

/// Bodies that no engine would accept; each is routed all the same, unchanged.
pub(crate) fn malformed() -> Vec<(&'static str, Vec<u8>)> {
    let chat = |text: &str| text.as_bytes().to_vec();
    let mut cases = vec![
        ("empty object", chat("{}")),
        ("not json", chat("hello there")),
        (
            "cut in a string",
            chat(r#"{"model":"m","messages":[{"role":"user","content":"hel"#),
        ),
        (
            "cut in an escape",
            chat(r#"{"model":"m","messages":[{"role":"user","content":"a\u00"#),
        ),
        ("cut after a key", chat(r#"{"model""#)),
        (
            "absent model",
            chat(r#"{"messages":[{"role":"user","content":"hi"}]}"#),
        ),
        (
            "model of another type",
            chat(r#"{"model":["m"],"messages":7}"#),
        ),
        (
            "negative max_tokens",
            chat(r#"{"model":"m","max_tokens":-5,"messages":[]}"#),
        ),
        (
            "huge max_tokens",
            chat(r#"{"model":"m","max_tokens":99999999999999999999999,"messages":[]}"#),
        ),
        (
            "fractional max_tokens",
            chat(r#"{"model":"m","max_tokens":1e309,"messages":[]}"#),
        ),
        (
            "lone surrogate",
            chat(r#"{"model":"m","messages":[{"role":"user","content":"\ud800"}]}"#),
        ),
        ("two documents", chat(r#"{"model":"m"}{"model":"n"}"#)),
        (
            "double keys",
            chat(r#"{"model":"m","model":"n","stream":true,"stream":"x"}"#),
        ),
        (
            "control characters",
            b"{\"model\":\"m\",\"messages\":\"\x00\x01\x1f\"}".to_vec(),
        ),
        ("closing only", chat("]]]]}}}}")),
        (
            "invalid utf-8",
            b"{\"model\":\"\xff\xfe\",\"messages\":[{\"content\":\"\xc3\x28\xf0\x9f\"}]}".to_vec(),
        ),
        ("byte order mark", b"\xef\xbb\xbf{\"model\":\"m\"}".to_vec()),
        ("zeros", vec![0; 5_000]),
        (
            "nested objects",
            r#"{"messages":"#.repeat(20_000).into_bytes(),
        ),
        (
            "one long key",
            format!("{{\"{}\":1}}", "k".repeat(200_000)).into_bytes(),
        ),
    ];
    cases.push(("10 MB of [", vec![b'['; 10_000_000]));
    cases
}

#[test]
fn malformed_json_is_routed_by_what_is_known() {
    for (name, body) in malformed() {
        let request = Request::chat(body).chunks_of(16 * 1024);
        let fleet = both(|runtime| {
            let mut fleet = warm(fleet(runtime, 3));
            serve(&mut fleet, request.clone());
            // Nothing is lost for others.
            serve(&mut fleet, Request::say("m", "and now a good one"));
            fleet
        });
        let [bad, good] = &fleet.records()[..] else {
            panic!("two requests")
        };
        assert_eq!(bad.status, Some(200), "{name}");
        assert!(bad.ranked.is_some(), "{name}: {bad:?}");
        assert_eq!(good.step.as_deref(), Some("step=full"), "{name}");
        let seen = fleet.stream(fleet.opened()[0]);
        assert!(seen.request.sent_body == request.body(), "{name}: changed");
        assert!(bad.held_peak <= 80 * 1024, "{name}: {} held", bad.held_peak);
    }
}

#[test]
fn floods_of_headers_pass() {
    let flood = |count: usize, bytes: usize| {
        let mut request = Request::say("m", "hello");
        for n in 0..count {
            request = request.header(&format!("x-flood-{n}"), "v".repeat(bytes));
        }
        request
    };
    let same_name = (0..500).fold(Request::say("m", "hello"), |request, n| {
        request.header("x-session-id", n.to_string())
    });
    let binary = Request::say("m", "hello")
        .header("authorization", [0xff, 0xfe, 0x00, 0x80])
        .header("x-request-id", [0x80; 300])
        .header("content-length", "-1")
        .header("content-length", "99999999999999999999999999");
    for request in [flood(1_000, 10), flood(3, 1 << 20), same_name, binary] {
        let fleet = both(|runtime| {
            let mut fleet = warm(fleet(runtime, 2));
            serve(&mut fleet, request.clone());
            serve(&mut fleet, Request::say("m", "another"));
            fleet
        });
        for record in fleet.records() {
            assert_eq!(record.status, Some(200));
            assert!(record.ranked.is_some());
        }
    }
}

#[test]
fn a_response_is_passed_on_piece_by_piece_and_unchanged() {
    for (stream, chunk) in [
        (true, usize::MAX),
        (true, 1),
        (true, 13),
        (false, 1),
        (false, 50),
    ] {
        let fleet = both(|runtime| {
            let mut fleet = warm(fleet(runtime, 1));
            let script = &mut fleet.engine(0).script;
            (script.stream, script.chunk, script.cached_tokens) = (stream, chunk, Some(7));
            serve(&mut fleet, Request::say("m", "hello"));
            fleet
        });
        let seen = fleet.stream(fleet.opened()[0]);
        let text = String::from_utf8(seen.response.sent_body).unwrap();
        assert!(
            text.ends_with(if stream { "[DONE]\n\n" } else { "}" }),
            "{text}"
        );
        let headers: HeaderMap = seen.response.sent_headers.unwrap();
        assert_eq!(headers.len(), 2, "headers were added: {headers:?}");
        let proxy = fleet.proxy();
        assert_eq!(
            proxy.metrics.value("plimsoll_cached_tokens"),
            7,
            "chunks of {chunk}"
        );
        assert_eq!(proxy.metrics.value("plimsoll_completion_tokens"), 4);
    }
}
