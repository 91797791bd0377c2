//! Requests over kept-alive HTTP/1.1 connections.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response, body::Incoming};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::stream::{Marks, Reader, Usage};
use crate::trace::{Row, chat_body};

/// How long a connection may take to be accepted.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What became of one request. Times are on the wall, from the moment it was scheduled for.
#[derive(Clone, Debug, Default)]
pub(super) struct Outcome {
    pub(super) first_token: Option<Duration>,
    pub(super) last_token: Option<Duration>,
    pub(super) end: Duration,
    pub(super) usage: Usage,
    pub(super) served_by: Option<String>,
    /// Why it counts as an error.
    pub(super) error: Option<String>,
}

/// A target and the idle connections to it.
pub(super) struct Client {
    /// `host:port`.
    authority: String,
    idle: Mutex<Vec<SendRequest<Full<Bytes>>>>,
    marks: Marks,
}

impl Client {
    pub(super) fn new(authority: String) -> Self {
        Self {
            authority,
            idle: Mutex::new(Vec::new()),
            marks: Marks::new(),
        }
    }

    /// Fetches a small resource.
    pub(super) async fn get(&self, path: &str) -> Result<Bytes, String> {
        let request = Request::builder()
            .method(Method::GET)
            .uri(path)
            .header(HOST, &self.authority);
        let request = request
            .body(Full::default())
            .map_err(|error| error.to_string())?;
        let (sender, response) = self.send(request).await?;
        let body = response
            .into_body()
            .collect()
            .await
            .map_err(|error| error.to_string())?
            .to_bytes();
        self.give_back(sender).await;
        Ok(body)
    }

    /// Asks for a streamed chat completion and reads it to its end.
    pub(super) async fn chat(&self, model: &str, row: &Row, scheduled: Instant) -> Outcome {
        let mut outcome = Outcome::default();
        let result = self.stream(model, row, scheduled, &mut outcome).await;
        outcome.end = scheduled.elapsed();
        outcome.error = result.err();
        outcome
    }

    async fn stream(
        &self,
        model: &str,
        row: &Row,
        scheduled: Instant,
        outcome: &mut Outcome,
    ) -> Result<(), String> {
        let request = Request::builder()
            .method(Method::POST)
            .uri("/v1/chat/completions")
            .header(HOST, &self.authority)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(chat_body(model, row)))
            .map_err(|error| error.to_string())?;
        let (sender, response) = self.send(request).await?;
        let served_by = response
            .headers()
            .get("x-served-by")
            .and_then(|host| host.to_str().ok());
        outcome.served_by = served_by.map(str::to_owned);
        let status = response.status();
        let mut body = response.into_body();
        if !status.is_success() {
            // The reason matters less than the connection: read it away and keep the latter.
            let _ = body.collect().await;
            self.give_back(sender).await;
            return Err(format!("status {}", status.as_u16()));
        }
        let mut reader = Reader::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| "stream cut".to_owned())?;
            let Some(data) = frame.data_ref() else {
                continue;
            };
            if reader.feed(&self.marks, data) {
                let now = scheduled.elapsed();
                outcome.first_token.get_or_insert(now);
                outcome.last_token = Some(now);
            }
        }
        outcome.end = scheduled.elapsed();
        self.give_back(sender).await;
        if !reader.done {
            return Err("stream ended without [DONE]".to_owned());
        }
        outcome.usage = reader.usage.ok_or("no usage")?;
        if outcome.usage.completion_tokens != u64::from(row.output_tokens) {
            return Err("fewer or more tokens than asked for".to_owned());
        }
        Ok(())
    }

    /// Sends on an idle connection, or on a new one. A connection that the server closed while it was idle is no
    /// error: the request was not taken and goes out again.
    async fn send(
        &self,
        mut request: Request<Full<Bytes>>,
    ) -> Result<(SendRequest<Full<Bytes>>, Response<Incoming>), String> {
        loop {
            let idle = self
                .idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop();
            let Some(mut sender) = idle else { break };
            if sender.is_closed() {
                continue;
            }
            match sender.try_send_request(request).await {
                Ok(response) => return Ok((sender, response)),
                Err(mut error) => match error.take_message() {
                    Some(message) => request = message,
                    None => return Err(reason(error.error())),
                },
            }
        }
        let stream = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(&self.authority))
            .await
            .map_err(|_| "connect timed out".to_owned())?
            .map_err(|error| format!("connect: {}", error.kind()))?;
        stream
            .set_nodelay(true)
            .map_err(|error| error.to_string())?;
        let (mut sender, connection) = handshake(TokioIo::new(stream))
            .await
            .map_err(|error| reason(&error))?;
        // Its errors surface at the request.
        tokio::spawn(connection);
        let response = sender
            .send_request(request)
            .await
            .map_err(|error| reason(&error))?;
        Ok((sender, response))
    }

    async fn give_back(&self, mut sender: SendRequest<Full<Bytes>>) {
        if sender.ready().await.is_ok() {
            self.idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(sender);
        }
    }
}

/// A reason without addresses or counts, so that equal failures count together.
fn reason(error: &hyper::Error) -> String {
    if error.is_incomplete_message() {
        "connection closed before the response".to_owned()
    } else if error.is_canceled() {
        "connection closed before the request".to_owned()
    } else {
        error.to_string()
    }
}

/// Counts reasons.
pub(super) fn count(reasons: impl Iterator<Item = String>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for reason in reasons {
        *counts.entry(reason).or_default() += 1;
    }
    counts
}
