//! Responses pass through untouched, byte for byte.

use bytes::Bytes;
use http_body_util::BodyExt as _;
use plimsoll_e2e::{Client, Echo, Engines, Protocol, Setting, Stand, chat, whole};
use serde_json::json;

const REQUEST: &str = r#"{"model":"m","stream":true,"stream_options":{"include_usage":true},"max_tokens":64,"messages":[{"role":"user","content":"tell me"}]}"#;

/// Events cut in the middle of a line, of a character and of a JSON string; CRLF; comments; bytes that
/// are not UTF-8; a usage that claims nonsense; text after the end mark.
fn script() -> Vec<Bytes> {
    [
        &b"data: {\"choices\":[{\"delta\":{\"content\":\"h"[..],
        b"ello\"}}]}\n\n: a comment\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"\xe2\x82",
        b"\xac\"}}]}\r\n\r\n",
        b"\n",
        b"event: ping\ndata: \xff\xfe not text\n\n",
        b"data: {\"choices\":[],\"usage\":{\"prompt_tokens\":-5,\"completion_tokens\":1e99}}\n\n",
        b"data: [DONE]\n\n",
        b"and more",
    ]
    .into_iter()
    .map(Bytes::from_static)
    .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scripted_stream_arrives_byte_for_byte() {
    let echo = Echo::with_script(script()).await;
    let stand = Stand::start(Setting::hosts([echo.address])).await;
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let reply = stand
            .client(protocol)
            .await
            .send(chat(whole(REQUEST)))
            .await;
        assert_eq!(reply.status, 200);
        assert_eq!(reply.header("content-type"), "text/event-stream");
        assert_eq!(reply.body, script().concat(), "{protocol:?}");
    }
    stand.assert_sound();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_an_engine_equals_the_direct_one() {
    let engines = Engines::start(1, 50).await;
    let stand = Stand::start(Setting::hosts(engines.addresses.clone())).await;
    let mut direct = Client::connect(engines.addresses[0], Protocol::Http1).await;
    let direct = direct.send(chat(whole(REQUEST))).await;
    let proxied = stand
        .client(Protocol::Http1)
        .await
        .send(chat(whole(REQUEST)))
        .await;
    // The id and the time are the request's own; the second one finds the prompt in the cache.
    let normal = |body: &[u8]| -> Vec<serde_json::Value> {
        String::from_utf8_lossy(body)
            .lines()
            .filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok())
            .map(|mut event: serde_json::Value| {
                for own in ["id", "created", "usage"] {
                    event[own] = json!(null);
                }
                event
            })
            .collect()
    };
    let events = normal(&proxied.body);
    assert!(events.len() >= 64, "{} events", events.len());
    assert_eq!(events, normal(&direct.body));
    assert!(proxied.body.ends_with(b"data: [DONE]\n\n"));
}

/// The head and the first tokens are with the client long before the stream ends: nothing is held back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_arrive_while_the_engine_still_works() {
    let engines = Engines::start(1, 1).await;
    let stand = Stand::start(Setting::hosts(engines.addresses.clone())).await;
    // At real speed these tokens take minutes; the client leaves after the first ones.
    let request = REQUEST.replace("64", "100000");
    let mut client = stand.client(Protocol::Http1).await;
    let response = client.start(chat(whole(request))).await.unwrap();
    assert_eq!(response.status(), 200);
    let mut body = response.into_body();
    for _ in 0..3 {
        let frame = body.frame().await.unwrap().unwrap();
        assert!(frame.is_data());
    }
    drop(body);
    drop(client);
    // The aborted request is released: nothing stays in flight.
    plimsoll_e2e::until("the abort to be booked", async || {
        let metrics = stand.metrics();
        let idle = metrics.count("plimsoll_inflight", "") == 0.0;
        (idle && metrics.count("plimsoll_aborted", "") >= 1.0).then_some(())
    })
    .await;
}
