//! A server that tells what reached it.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Channel, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// An idle vLLM's metrics: the collector takes this server for an engine.
const METRICS: &str = "vllm:num_requests_running{engine=\"0\",model_name=\"m\"} 0.0\n\
    vllm:num_requests_waiting{engine=\"0\",model_name=\"m\"} 0.0\n\
    vllm:kv_cache_usage_perc{engine=\"0\",model_name=\"m\"} 0.0\n\
    vllm:cache_config_info{block_size=\"16\",num_gpu_blocks=\"10000\",engine=\"0\"} 1.0\n";

/// What one request looked like when it arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Path and query.
    pub path: String,
    /// Header fields; of repeated ones the last.
    pub headers: BTreeMap<String, String>,
    /// Length of the body.
    pub bytes: usize,
    /// [`Echo::hash`] of the body.
    pub hash: u64,
}

/// A running server. It answers `/metrics` like vLLM, `/health` with 200, and everything else with its
/// script (when it has one) or an empty JSON object, and remembers the request.
#[derive(Debug)]
pub struct Echo {
    /// Where it listens.
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    _tasks: JoinSet<()>,
}

impl Echo {
    /// Listens on a free port.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub async fn start() -> Self {
        Self::with_script(Vec::new()).await
    }

    /// Answers every request with an event stream of these chunks, each flushed on its own.
    ///
    /// # Panics
    ///
    /// When no port is free.
    pub async fn with_script(script: Vec<Bytes>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a free port");
        let address = listener.local_addr().expect("an address");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, address, Arc::clone(&seen), script.into()));
        Self {
            address,
            seen,
            _tasks: tasks,
        }
    }

    /// All requests so far, without metrics and health.
    ///
    /// # Panics
    ///
    /// When a handler has panicked.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("no handler panics").clone()
    }

    /// The hash that [`Seen`] carries.
    pub fn hash(bytes: &[u8]) -> u64 {
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        hasher.finish()
    }
}

async fn accept(
    listener: TcpListener,
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    script: Arc<[Bytes]>,
) {
    // Dropped with this task, and the connections with it.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        let (seen, script) = (Arc::clone(&seen), Arc::clone(&script));
        connections.spawn(async move {
            let service = service_fn(move |request| {
                answer(request, address, Arc::clone(&seen), Arc::clone(&script))
            });
            let io = TokioIo::new(stream);
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(io, service)
                .await;
        });
    }
}

type Answer = Response<BoxBody<Bytes, Infallible>>;

async fn answer(
    request: Request<Incoming>,
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    script: Arc<[Bytes]>,
) -> Result<Answer, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let builder = Response::builder().header("x-served-by", address.to_string());
    let text = |builder: hyper::http::response::Builder, kind: &str, text: &'static str| {
        builder
            .header("content-type", kind)
            .body(Full::new(Bytes::from_static(text.as_bytes())).boxed())
            .expect("a valid response")
    };
    match head.uri.path() {
        "/metrics" => return Ok(text(builder, "text/plain", METRICS)),
        "/health" => return Ok(text(builder, "text/plain", "")),
        _ => {}
    }
    let headers = head
        .headers
        .iter()
        .map(|(name, value)| {
            (
                name.to_string(),
                String::from_utf8_lossy(value.as_bytes()).into_owned(),
            )
        })
        .collect();
    let path = head
        .uri
        .path_and_query()
        .map(ToString::to_string)
        .unwrap_or_default();
    seen.lock().expect("no handler panics").push(Seen {
        path,
        headers,
        bytes: body.len(),
        hash: Echo::hash(&body),
    });
    if script.is_empty() {
        return Ok(text(builder, "application/json", "{}"));
    }
    let (mut sender, stream) = Channel::<Bytes, Infallible>::new(1);
    tokio::spawn(async move {
        for chunk in script.iter() {
            if sender.send_data(chunk.clone()).await.is_err() {
                return;
            }
            tokio::task::yield_now().await;
        }
    });
    let response = builder
        .header("content-type", "text/event-stream")
        .body(stream.boxed());
    Ok(response.expect("a valid response"))
}
