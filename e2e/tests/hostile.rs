//! Input that no honest client sends: every request is still answered, and the next one as well.

use bytes::Bytes;
use plimsoll_e2e::{Echo, Protocol, Setting, Stand, body_in_pieces, chat, raw, whole};

fn bodies() -> Vec<(&'static str, Bytes)> {
    let deep = |open: &str, count: usize| Bytes::from(open.repeat(count));
    vec![
        ("nothing", Bytes::new()),
        (
            "truncated",
            Bytes::from_static(br#"{"model":"m","messages":[{"role":"user","content":"abc"#),
        ),
        (
            "truncated in an escape",
            Bytes::from_static(br#"{"model":"m","messages":[{"content":"\u00"#),
        ),
        ("10 MB of [", deep("[", 10_000_000)),
        ("deep objects", deep("{\"a\":", 100_000)),
        (
            "invalid UTF-8",
            Bytes::from_static(
                b"{\"model\":\"\xff\xfe\",\"messages\":[{\"content\":\"\xc3\x28\"}]}",
            ),
        ),
        (
            "no model",
            Bytes::from_static(br#"{"messages":[{"role":"user","content":"x"}]}"#),
        ),
        (
            "model is a number",
            Bytes::from_static(br#"{"model":7,"messages":[]}"#),
        ),
        (
            "negative max_tokens",
            Bytes::from_static(br#"{"model":"m","max_tokens":-5,"messages":[{"content":"x"}]}"#),
        ),
        (
            "huge max_tokens",
            Bytes::from_static(
                br#"{"model":"m","max_tokens":1e400,"max_completion_tokens":99999999999999999999}"#,
            ),
        ),
        (
            "lone surrogate",
            Bytes::from_static(br#"{"model":"m","messages":[{"content":"\ud800"}]}"#),
        ),
        ("not JSON", Bytes::from_static(b"GET / HTTP/1.1\r\n\r\n")),
        ("zeros", Bytes::from(vec![0_u8; 1 << 20])),
        ("two values", Bytes::from_static(b"{}{\"model\":\"m\"}")),
        (
            "messages is a string",
            Bytes::from_static(br#"{"model":"m","messages":"x"}"#),
        ),
        (
            "a model name of 1 MB",
            Bytes::from(format!(r#"{{"model":"{}"}}"#, "m".repeat(1 << 20))),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_bodies_reach_the_engine_whole() {
    let echo = Echo::start().await;
    let stand = Stand::start(Setting::hosts([echo.address])).await;
    for protocol in [Protocol::Http1, Protocol::Http2] {
        for (name, body) in bodies() {
            for pieces in [None, Some(4_099)] {
                let sent = match pieces {
                    None => whole(body.clone()),
                    Some(size) => body_in_pieces(body.clone(), size),
                };
                let reply = stand.client(protocol).await.send(chat(sent)).await;
                assert_eq!(reply.status, 200, "{name}, {protocol:?}");
                let seen = echo.seen().pop().unwrap();
                assert_eq!(
                    (seen.bytes, seen.hash),
                    (body.len(), Echo::hash(&body)),
                    "{name}"
                );
            }
        }
    }
    sound_and_serving(&stand, &echo).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn header_floods_are_refused_and_harm_nobody() {
    let echo = Echo::start().await;
    let stand = Stand::start(Setting::hosts([echo.address])).await;
    let many: String = (0..5_000)
        .map(|index| format!("x-flood-{index}: 1\r\n"))
        .collect();
    let long = format!("x-flood: {}\r\n", "a".repeat(1 << 20));
    for flood in [many, long] {
        let request = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n{flood}content-length: 0\r\n\r\n"
        );
        let answer = raw(stand.address(), request.as_bytes()).await;
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
            "{answer}"
        );
    }
    // What Envoy still lets through reaches the module: 90 headers of half a kilobyte.
    let mut request = chat(whole(r#"{"model":"m"}"#));
    for index in 0..90 {
        let name: hyper::header::HeaderName = format!("x-plenty-{index}").parse().unwrap();
        request
            .headers_mut()
            .insert(name, "v".repeat(500).parse().unwrap());
    }
    // Header values need not be text.
    let bytes = hyper::header::HeaderValue::from_bytes(b"\xff\xfe\x80").unwrap();
    request.headers_mut().insert("x-request-id", bytes.clone());
    request.headers_mut().insert("x-plimsoll-explain", bytes);
    assert_eq!(
        stand
            .client(Protocol::Http1)
            .await
            .send(request)
            .await
            .status,
        200
    );
    sound_and_serving(&stand, &echo).await;
}

/// Answers are hostile as well: wrong types, no types, broken off.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_answers_pass_unharmed() {
    let script: Vec<Bytes> = [
        &b"data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]"[..],
        &b"data: [[[[[[[[[[[[[[[["[..],
        &[0xff; 70_000][..],
        &b"\ndata: {\"usage\":{\"prompt_tokens\":99999999999999999999}}\n\n"[..],
    ]
    .into_iter()
    .map(Bytes::copy_from_slice)
    .collect();
    let echo = Echo::with_script(script.clone()).await;
    let stand = Stand::start(Setting::hosts([echo.address])).await;
    for _ in 0..3 {
        let reply = stand
            .client(Protocol::Http1)
            .await
            .send(chat(whole("{}")))
            .await;
        assert_eq!(reply.body, script.concat());
    }
    sound_and_serving(&stand, &echo).await;
}

async fn sound_and_serving(stand: &Stand, echo: &Echo) {
    let before = echo.seen().len();
    let good = r#"{"model":"m","messages":[{"role":"user","content":"hello"}]}"#;
    let reply = stand
        .client(Protocol::Http1)
        .await
        .send(chat(whole(good)))
        .await;
    assert_eq!(reply.status, 200);
    assert_eq!(echo.seen().len(), before + 1);
    stand.released().await;
    stand.assert_sound();
}
