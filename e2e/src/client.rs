//! Clients: one connection each, so that a test knows what travels where.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Channel, Full};
use hyper::client::conn::{http1, http2};
use hyper::{Request, Response, StatusCode, body, header};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::wait::DEADLINE;

/// A request's body, of known or unknown length.
pub type Body = BoxBody<Bytes, Infallible>;

/// HTTP version of a connection.
#[derive(Clone, Copy, Debug)]
pub enum Protocol {
    /// HTTP/1.1
    Http1,
    /// HTTP/2 with prior knowledge
    Http2,
}

/// One connection.
#[derive(Debug)]
pub struct Client {
    sender: Sender,
}

#[derive(Debug)]
enum Sender {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
}

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Status.
    pub status: StatusCode,
    /// Header fields.
    pub headers: header::HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl Reply {
    /// A header field as text; empty when absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// The body as JSON.
    ///
    /// # Panics
    ///
    /// When it is not.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {:?}", String::from_utf8_lossy(&self.body)))
    }

    /// The host that says it served this.
    pub fn served_by(&self) -> &str {
        self.header("x-served-by")
    }
}

impl Client {
    /// Connects.
    ///
    /// # Panics
    ///
    /// When nobody listens.
    pub async fn connect(target: SocketAddr, protocol: Protocol) -> Self {
        let stream = TcpStream::connect(target).await.expect("connect");
        stream.set_nodelay(true).expect("nodelay");
        let io = TokioIo::new(stream);
        let sender = match protocol {
            Protocol::Http1 => {
                let (sender, connection) = http1::handshake(io).await.expect("HTTP/1.1");
                tokio::spawn(connection);
                Sender::Http1(sender)
            }
            Protocol::Http2 => {
                let (sender, connection) = http2::handshake(TokioExecutor::new(), io)
                    .await
                    .expect("HTTP/2");
                tokio::spawn(connection);
                Sender::Http2(sender)
            }
        };
        Self { sender }
    }

    /// Sends `request` and returns as soon as the head of the answer is there.
    ///
    /// # Errors
    ///
    /// When the connection breaks.
    pub async fn start(
        &mut self,
        mut request: Request<Body>,
    ) -> Result<Response<body::Incoming>, hyper::Error> {
        match &mut self.sender {
            Sender::Http1(sender) => {
                // Origin form, as clients send it to servers; the authority is in `host`.
                let target = request
                    .uri()
                    .path_and_query()
                    .map_or("/", |target| target.as_str());
                *request.uri_mut() = target.parse().expect("a path is a URI");
                sender.ready().await?;
                sender.send_request(request).await
            }
            Sender::Http2(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
        }
    }

    /// Sends `request` and reads the whole answer.
    ///
    /// # Errors
    ///
    /// When the connection breaks.
    pub async fn try_send(&mut self, request: Request<Body>) -> Result<Reply, hyper::Error> {
        let (head, body) = self.start(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Reply {
            status: head.status,
            headers: head.headers,
            body,
        })
    }

    /// [`Self::try_send`] that must succeed in time.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub async fn send(&mut self, request: Request<Body>) -> Reply {
        timeout(DEADLINE, self.try_send(request))
            .await
            .expect("an answer in time")
            .expect("an answer")
    }
}

/// A `POST` to chat completions. The authority is in the URI, as HTTP/2 wants, and in `host`.
pub fn chat(body: Body) -> Request<Body> {
    Request::post("http://llm.test/v1/chat/completions")
        .header(header::HOST, "llm.test")
        .header(header::CONTENT_TYPE, "application/json")
        .body(body)
        .expect("a valid request")
}

/// A body that is sent with its length.
pub fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).boxed()
}

/// A body of unknown length (chunked in HTTP/1.1), sent in pieces of `size` bytes.
pub fn body_in_pieces(bytes: Bytes, size: usize) -> Body {
    let (mut sender, body) = Channel::<Bytes, Infallible>::new(4);
    tokio::spawn(async move {
        for start in (0..bytes.len()).step_by(size.max(1)) {
            let piece = bytes.slice(start..bytes.len().min(start + size));
            if sender.send_data(piece).await.is_err() {
                return;
            }
        }
    });
    body.boxed()
}

/// Writes `bytes` as they are, then reads until the other side closes or nothing comes for `DEADLINE`.
///
/// # Panics
///
/// When nobody listens.
pub async fn raw(target: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(target).await.expect("connect");
    // The proxy may answer and close before it has read everything.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = timeout(DEADLINE, stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}
