//! Prompts of any size arrive whole, at the host that was chosen.

use bytes::Bytes;
use plimsoll_e2e::{Echo, Protocol, Setting, Stand, body_in_pieces, chat, whole};

/// A chat request of `bytes` bytes whose content never repeats for long.
fn request(bytes: usize) -> Bytes {
    let mut text = String::from(r#"{"model":"m","messages":[{"role":"user","content":""#);
    let mut word = 0_u64;
    while text.len() < bytes {
        word = word
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        text.push_str(&format!("{:x} \\u20ac \\\"{}\\\" ", word, word % 97));
    }
    text.push_str("\"}]}");
    Bytes::from(text)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prompts_up_to_four_mebibytes_pass_whole() {
    let hosts = [Echo::start().await, Echo::start().await];
    let stand = Stand::start(Setting::hosts(hosts.iter().map(|host| host.address))).await;
    let mut expected = Vec::new();
    for size in [0, 100, 65_535, 65_536, 65_537, 900_000, 4 << 20] {
        let body = request(size);
        for protocol in [Protocol::Http1, Protocol::Http2] {
            let mut client = stand.client(protocol).await;
            for pieces in [None, Some(1_000), Some(100_000)] {
                let sent = match pieces {
                    None => whole(body.clone()),
                    Some(size) => body_in_pieces(body.clone(), size),
                };
                let reply = client.send(chat(sent)).await;
                assert_eq!(
                    reply.status, 200,
                    "{size} bytes, {protocol:?}, pieces {pieces:?}"
                );
                expected.push((body.len(), Echo::hash(&body)));
            }
        }
    }
    let mut arrived: Vec<_> = hosts
        .iter()
        .flat_map(Echo::seen)
        .map(|seen| (seen.bytes, seen.hash))
        .collect();
    arrived.sort_unstable();
    expected.sort_unstable();
    assert_eq!(arrived, expected);
    stand.assert_sound();
}

/// Requests without a body, and other APIs, are routed as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_without_a_prompt_pass() {
    let echo = Echo::start().await;
    let stand = Stand::start(Setting::hosts([echo.address])).await;
    let mut client = stand.client(Protocol::Http1).await;
    for (method, path) in [
        ("GET", "/v1/models"),
        ("HEAD", "/"),
        ("POST", "/tokenize"),
        ("DELETE", "/x?y=z"),
    ] {
        let request = hyper::Request::builder()
            .method(method)
            .uri(format!("http://llm.test{path}"))
            .header("host", "llm.test")
            .body(whole(""))
            .unwrap();
        assert_eq!(client.send(request).await.status, 200, "{method} {path}");
    }
    assert_eq!(echo.seen().len(), 4);
}
