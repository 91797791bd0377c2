use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::*;

async fn connect(address: SocketAddr) -> io::Result<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(address).await?;
    let (sender, connection) = handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    tokio::spawn(connection);
    Ok(sender)
}

async fn call(
    address: SocketAddr,
    method: Method,
    path: &str,
    body: &str,
) -> io::Result<(StatusCode, String)> {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "engine");
    let request = request
        .body(Full::new(Bytes::from(body.to_owned())))
        .map_err(io::Error::other)?;
    let response = connect(address)
        .await?
        .send_request(request)
        .await
        .map_err(io::Error::other)?;
    let status = response.status();
    let body = response
        .into_body()
        .collect()
        .await
        .map_err(io::Error::other)?
        .to_bytes();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

async fn post(address: SocketAddr, path: &str, body: &Value) -> io::Result<(StatusCode, String)> {
    call(address, Method::POST, path, &body.to_string()).await
}

async fn state(address: SocketAddr) -> HostState {
    serde_json::from_str(&call(address, Method::GET, "/state", "").await.unwrap().1).unwrap()
}

async fn engines(count: usize, speedup: f64) -> Engines {
    let fleet = vec![Gpu::H200; count];
    Engines::start(Config {
        fleet,
        speedup,
        ..Config::default()
    })
    .await
    .unwrap()
}

fn chat(prompt: &str, max_tokens: i64, stream: bool) -> Value {
    json!({
        "model": "m", "stream": stream, "stream_options": {"include_usage": true}, "max_tokens": max_tokens,
        "messages": [{"role": "system", "content": [{"type": "text", "text": prompt}]}, {"role": "user", "content": "?"}],
    })
}

/// The `data:` payloads of a stream.
fn events(body: &str) -> Vec<&str> {
    body.split("\n\n")
        .filter_map(|event| event.strip_prefix("data: "))
        .collect()
}

#[tokio::test]
async fn a_stream_carries_role_tokens_finish_usage_and_done() {
    let engines = engines(1, 200.0).await;
    let address = engines.addresses()[0];
    let prompt = "word ".repeat(400);
    let (status, body) = post(address, "/v1/chat/completions", &chat(&prompt, 5, true))
        .await
        .unwrap();
    assert_eq!(status, StatusCode::OK);
    let all = events(&body);
    assert_eq!(all.last(), Some(&"[DONE]"));
    let parsed: Vec<Value> = all[..all.len() - 1]
        .iter()
        .map(|event| serde_json::from_str(event).unwrap())
        .collect();
    assert_eq!(parsed.len(), 1 + 5 + 1 + 1);
    assert_eq!(parsed[0]["choices"][0]["delta"]["role"], "assistant");
    let text: String = parsed[1..6]
        .iter()
        .map(|event| event["choices"][0]["delta"]["content"].as_str().unwrap())
        .collect();
    assert_eq!(text.len(), 20);
    assert_eq!(parsed[6]["choices"][0]["finish_reason"], "length");
    let usage = &parsed[7]["usage"];
    assert_eq!(
        (
            usage["prompt_tokens"].as_u64(),
            usage["completion_tokens"].as_u64()
        ),
        (Some(501), Some(5))
    );
    assert_eq!(usage["prompt_tokens_details"]["cached_tokens"], 0);
    // The same prompt again, not streamed: same text, and all full blocks but the last position come from the cache.
    let (_, body) = post(address, "/v1/chat/completions", &chat(&prompt, 5, false))
        .await
        .unwrap();
    let whole: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(whole["choices"][0]["message"]["content"], text);
    assert_eq!(
        whole["usage"]["prompt_tokens_details"]["cached_tokens"],
        448
    );
}

#[tokio::test]
async fn completions_metrics_models_and_health_answer() {
    let engines = engines(1, 200.0).await;
    let address = engines.addresses()[0];
    let request = json!({"prompt": "one two", "max_tokens": 3, "stream": true});
    let (_, body) = post(address, "/v1/completions", &request).await.unwrap();
    assert_eq!(
        events(&body)
            .iter()
            .filter(|event| event.contains("\"text\":\"") && !event.contains("\"text\":\"\""))
            .count(),
        3
    );
    let (_, metrics) = call(address, Method::GET, "/metrics", "").await.unwrap();
    for line in [
        "vllm:num_requests_running{engine=\"0\",model_name=\"sim\"} 0.0",
        "vllm:prefix_cache_queries_total{engine=\"0\",model_name=\"sim\"} 2.0",
        "num_gpu_blocks=\"13281\"} 1.0",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    // The core reads them as it reads vLLM's.
    let mut facts = plimsoll_core::scrape::EngineFacts::default();
    assert!(plimsoll_core::scrape::parse(metrics.as_bytes(), &mut facts) >= 6);
    assert_eq!(
        (
            facts.kv_capacity_tokens,
            facts.block_tokens,
            facts.prefix_queries
        ),
        (13_281 * 64, 64, 2)
    );
    assert_eq!(facts.model, plimsoll_core::request::key(b"sim"));
    let (_, models) = call(address, Method::GET, "/v1/models", "").await.unwrap();
    assert!(models.contains("\"id\":\"sim\""));
    assert_eq!(
        call(address, Method::GET, "/health", "").await.unwrap().0,
        StatusCode::OK
    );
    assert_eq!(
        call(address, Method::GET, "/nothing", "").await.unwrap().0,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn bad_requests_are_refused() {
    let engines = engines(1, 200.0).await;
    let address = engines.addresses()[0];
    for body in [
        "{\"messages\": [",
        "[[[[",
        "{}",
        "{\"messages\":[{\"content\":\"a\"}],\"max_tokens\":-1}",
        "\u{1}",
    ] {
        let (status, answer) = call(address, Method::POST, "/v1/chat/completions", body)
            .await
            .unwrap();
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}: {answer}");
    }
    let long = "x".repeat(4 * 900_000);
    let (status, _) = post(address, "/v1/chat/completions", &chat(&long, 5, false))
        .await
        .unwrap();
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(state(address).await.accepted, 0);
}

#[tokio::test]
async fn a_client_that_leaves_frees_its_sequence() {
    let engines = engines(1, 1.0).await;
    let address = engines.addresses()[0];
    for stream in [true, false] {
        let mut client = TcpStream::connect(address).await.unwrap();
        let body = chat("long story", 100_000, stream).to_string();
        let head = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: e\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        tokio::io::AsyncWriteExt::write_all(&mut client, (head + &body).as_bytes())
            .await
            .unwrap();
        until(|| async { state(address).await.running == 1 }).await;
        drop(client);
        until(|| async { state(address).await.running == 0 }).await;
    }
    let state = state(address).await;
    assert_eq!((state.cancelled, state.kv_tokens), (2, 0));
}

#[tokio::test]
async fn faults_come_and_go() {
    let engines = engines(2, 200.0).await;
    let [sick, well] = [engines.addresses()[0], engines.addresses()[1]];
    let ask = || async { post(sick, "/v1/chat/completions", &chat("hello", 5, true)).await };
    let clear = json!({"kind": "clear", "host": sick.to_string()});

    post(sick, "/faults", &json!({"kind": "error500"}))
        .await
        .unwrap();
    assert_eq!(ask().await.unwrap().0, StatusCode::INTERNAL_SERVER_ERROR);
    post(sick, "/faults", &json!({"kind": "error500", "clear": true}))
        .await
        .unwrap();
    assert_eq!(ask().await.unwrap().0, StatusCode::OK);

    post(
        sick,
        "/faults",
        &json!({"kind": "close", "after_tokens": 2}),
    )
    .await
    .unwrap();
    assert!(ask().await.is_err());
    post(sick, "/faults", &json!({"kind": "close"}))
        .await
        .unwrap();
    assert!(ask().await.is_err());

    post(sick, "/faults", &json!({"kind": "refuse"}))
        .await
        .unwrap();
    until(|| async { TcpStream::connect(sick).await.is_err() }).await;
    post(well, "/faults", &clear).await.unwrap();
    until(|| async { TcpStream::connect(sick).await.is_ok() }).await;
    assert_eq!(ask().await.unwrap().0, StatusCode::OK);

    for kind in ["hang", "stall"] {
        post(sick, "/faults", &json!({"kind": kind})).await.unwrap();
        let mut asking = tokio::spawn(post_chat(sick));
        assert!(
            tokio::time::timeout(Duration::from_millis(50), &mut asking)
                .await
                .is_err(),
            "{kind} does not answer"
        );
        post(sick, "/faults", &clear).await.unwrap();
        let answered = asking.await.unwrap();
        assert_eq!(answered.is_ok(), kind == "stall");
    }

    post(
        sick,
        "/faults",
        &json!({"kind": "stall", "after_tokens": 3}),
    )
    .await
    .unwrap();
    let finished = state(sick).await.finished;
    let asking = tokio::spawn(post_chat(sick));
    // The engine is done with it; what it had to say from the fourth token on is held back.
    until(|| async { state(sick).await.finished > finished }).await;
    assert!(!asking.is_finished());
    post(well, "/faults", &clear).await.unwrap();
    assert_eq!(events(&asking.await.unwrap().unwrap().1).len(), 9);

    // One path hangs, as when the network between a proxy and the metrics is cut; the others answer.
    post(
        sick,
        "/faults",
        &json!({"kind": "hang", "path": "/metrics?from=b"}),
    )
    .await
    .unwrap();
    let cut = call(sick, Method::GET, "/metrics?from=b", "");
    assert!(
        tokio::time::timeout(Duration::from_millis(50), cut)
            .await
            .is_err()
    );
    for path in ["/metrics?from=a", "/health"] {
        let (status, _) = call(sick, Method::GET, path, "").await.unwrap();
        assert_eq!(status, StatusCode::OK);
    }

    let (status, _) = post(sick, "/faults", &json!({"kind": "flood"}))
        .await
        .unwrap();
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

async fn post_chat(address: SocketAddr) -> io::Result<(StatusCode, String)> {
    post(address, "/v1/chat/completions", &chat("hello", 5, true)).await
}

#[tokio::test]
async fn only_the_named_model_is_served() {
    let config = Config {
        model: Some("m".to_owned()),
        speedup: 200.0,
        ..Config::default()
    };
    let engines = Engines::start(config).await.unwrap();
    let address = engines.addresses()[0];
    assert_eq!(
        post(address, "/v1/chat/completions", &chat("a", 1, false))
            .await
            .unwrap()
            .0,
        StatusCode::OK
    );
    let mut other = chat("a", 1, false);
    other["model"] = json!("n");
    assert_eq!(
        post(address, "/v1/chat/completions", &other)
            .await
            .unwrap()
            .0,
        StatusCode::NOT_FOUND
    );
}

/// Polls until `condition` holds; a minute is far more than it takes.
async fn until<F: Future<Output = bool>>(condition: impl Fn() -> F) {
    let patience = async {
        while !condition().await {
            tokio::task::yield_now().await;
        }
    };
    assert!(
        tokio::time::timeout(Duration::from_secs(60), patience)
            .await
            .is_ok(),
        "the condition never held"
    );
}

#[tokio::test]
async fn four_mebibytes_of_prompt_are_served_where_they_fit() {
    let config = Config {
        kv_tokens: Some(2_000_000),
        speedup: 100_000.0,
        ..Config::default()
    };
    let engines = Engines::start(config).await.unwrap();
    let address = engines.addresses()[0];
    let prompt = "x".repeat(4 << 20);
    let (status, body) = post(address, "/v1/chat/completions", &chat(&prompt, 2, true))
        .await
        .unwrap();
    assert_eq!(status, StatusCode::OK);
    assert!(body.contains("\"prompt_tokens\":1048577"), "{body}");
}
