//! A client's request.

use crate::proxy::HeaderMap;

/// What a client sends, and how it arrives.
#[derive(Clone, Debug)]
pub struct Request {
    pub(super) worker: Option<usize>,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    pub(super) chunk: usize,
    pub(super) late_end: bool,
    pub(super) trailers: bool,
}

impl Request {
    /// POST of a body to a path, in one chunk.
    pub fn post(path: &str, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        let mut headers = HeaderMap::new(&[
            (":method", "POST"),
            (":scheme", "http"),
            (":authority", "gateway.example"),
            (":path", path),
            ("content-type", "application/json"),
        ]);
        headers.add("content-length", body.len().to_string().as_bytes());
        Self {
            worker: None,
            headers,
            body,
            chunk: usize::MAX,
            late_end: false,
            trailers: false,
        }
    }

    /// Chat completion with the given JSON.
    pub fn chat(body: impl Into<Vec<u8>>) -> Self {
        Self::post("/v1/chat/completions", body)
    }

    /// Streaming chat completion of one user message.
    pub fn say(model: &str, text: &str) -> Self {
        let body = serde_json::json!({
            "model": model,
            "stream": true,
            "stream_options": {"include_usage": true},
            "messages": [{"role": "user", "content": text}],
        });
        Self::chat(body.to_string())
    }

    /// GET without a body.
    pub fn get(path: &str) -> Self {
        let mut request = Self::post(path, "");
        request.headers.replace(":method", b"GET");
        request.headers.remove("content-length");
        request.headers.remove("content-type");
        request
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.add(name, value.as_ref());
        self
    }

    /// Sends the length as chunked encoding does: not at all.
    pub fn without_length(mut self) -> Self {
        self.headers.remove("content-length");
        self
    }

    /// Lets the body arrive in chunks of this many bytes.
    pub fn chunks_of(mut self, bytes: usize) -> Self {
        self.chunk = bytes.max(1);
        self
    }

    /// Lets the end of the stream arrive after the last chunk, with no bytes, as chunked encoding does.
    pub fn late_end(mut self) -> Self {
        self.late_end = true;
        self
    }

    /// Ends the request with trailers.
    pub fn trailers(mut self) -> Self {
        self.trailers = true;
        self
    }

    /// Lets a certain worker serve it (the first is 1); else they take turns.
    pub fn worker(mut self, worker: usize) -> Self {
        self.worker = Some(worker);
        self
    }

    /// Body, to compare with what arrived.
    pub fn body(&self) -> &[u8] {
        &self.body
    }
}
