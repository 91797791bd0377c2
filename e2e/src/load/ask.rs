//! One request, followed to its end.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{HeaderName, HeaderValue};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::record::{Fate, Record};
use crate::client::{Body, chat, whole};

/// A target and the idle connections to it.
pub(super) struct Pool {
    target: SocketAddr,
    idle: Mutex<Vec<SendRequest<Body>>>,
}

impl Pool {
    pub(super) const fn new(target: SocketAddr) -> Self {
        Self {
            target,
            idle: Mutex::new(Vec::new()),
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<SendRequest<Body>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An idle connection that is still open, or a new one.
    async fn connection(&self) -> Option<SendRequest<Body>> {
        loop {
            let Some(idle) = self.idle().pop() else { break };
            if !idle.is_closed() {
                return Some(idle);
            }
        }
        let stream = TcpStream::connect(self.target).await.ok()?;
        stream.set_nodelay(true).ok()?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
        tokio::spawn(connection);
        Some(sender)
    }
}

/// A request to send.
pub(super) struct Ask {
    pub(super) target: usize,
    pub(super) body: Bytes,
    pub(super) prompt_tokens: u64,
    pub(super) output_tokens: u64,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) patience: Duration,
    pub(super) tries: u32,
    pub(super) comes_back_within: Duration,
    /// How much later than told the client comes back: neither clients nor networks are punctual.
    pub(super) late: Duration,
}

impl Ask {
    /// Sends it, again when told to, and follows it to its end.
    pub(super) async fn follow(self, pool: &Pool, start: Instant) -> Record {
        let mut record = Record {
            at: start.elapsed(),
            last_at: Duration::ZERO,
            tries: 0,
            prompt_tokens: self.prompt_tokens,
            output_tokens: self.output_tokens,
            target: self.target,
            first_choice: None,
            probe: false,
            waited: Duration::ZERO,
            served_by: None,
            first_token: None,
            end: Duration::ZERO,
            fate: Fate::NoAnswer,
        };
        loop {
            record.last_at = start.elapsed();
            record.tries += 1;
            let answer = self.once(pool, start, &mut record);
            let told = match timeout(self.patience, answer).await {
                Ok(told) => told,
                Err(_) => {
                    record.fate = match record.first_token {
                        None => Fate::Waited,
                        Some(_) => Fate::Stalled,
                    };
                    None
                }
            };
            match told {
                Some(wait) if record.tries < self.tries && wait <= self.comes_back_within => {
                    sleep(wait + self.late).await;
                }
                _ => break,
            }
        }
        record.end = start.elapsed();
        record
    }

    /// Sends it once. Returns when to come back, if that was told.
    async fn once(&self, pool: &Pool, start: Instant, record: &mut Record) -> Option<Duration> {
        let mut connection = pool.connection().await?;
        let mut request = chat(whole(self.body.clone()));
        *request.uri_mut() = hyper::Uri::from_static("/v1/chat/completions");
        let explain = HeaderValue::from_static("1");
        request.headers_mut().insert("x-plimsoll-explain", explain);
        request.headers_mut().extend(self.headers.iter().cloned());
        record.fate = Fate::NoAnswer;
        let response = connection.send_request(request).await.ok()?;
        let header = |name: &str| {
            let value = response.headers().get(name)?;
            value.to_str().ok()
        };
        record.served_by = header("x-served-by").and_then(|host| host.parse().ok());
        let decision = header("x-plimsoll-decision").unwrap_or_default();
        record.first_choice = first_choice(decision);
        record.probe = decision.contains(" probe=1 ");
        record.waited = record.waited.max(waited(decision));
        let told = header("retry-after").and_then(|seconds| seconds.parse().ok());
        let status = response.status().as_u16();
        record.fate = if status == 200 {
            Fate::NoToken
        } else {
            Fate::Status(status)
        };
        let mut stream = response.into_body();
        let mut tail = Vec::new();
        while let Some(frame) = stream.frame().await {
            let frame = frame.ok()?;
            let Some(data) = frame.data_ref() else {
                continue;
            };
            if status == 200 && record.first_token.is_none() {
                record.first_token = Some(start.elapsed());
                record.fate = Fate::Cut;
            }
            tail.extend_from_slice(data);
            tail.drain(..tail.len().saturating_sub(DONE.len()));
        }
        if tail == DONE && status == 200 {
            record.fate = Fate::Whole;
        }
        if connection.ready().await.is_ok() {
            pool.idle().push(connection);
        }
        told.map(Duration::from_secs)
    }
}

/// How a stream that is whole ends.
const DONE: &[u8] = b"data: [DONE]\n\n";

/// The time in the queue of a decision record: `… waited=1234us …`; zero where it has none.
fn waited(decision: &str) -> Duration {
    let micros = decision.split_once(" waited=").and_then(|(_, rest)| {
        let (micros, _) = rest.split_once("us")?;
        micros.parse().ok()
    });
    Duration::from_micros(micros.unwrap_or_default())
}

/// The first host of a decision record: `… host0=ip:port(…) host1=…`.
pub(super) fn first_choice(decision: &str) -> Option<SocketAddr> {
    let (_, rest) = decision.split_once("host0=")?;
    rest.split('(').next()?.parse().ok()
}
