//! One HTTP stream: headers and bodies in both directions, and what the filter may see of them when.

use super::headers::HeaderMap;

/// Response flags of Envoy, as `response.flags` gives them.
pub mod flags {
    /// The client went away.
    pub const DOWNSTREAM_REMOTE_DISCONNECT: u64 = 0x4000;
    /// Connecting to the upstream failed.
    pub const UPSTREAM_FAILURE: u64 = 0x20;
    /// The upstream closed in the middle.
    pub const UPSTREAM_TERMINATION: u64 = 0x40;
    /// No healthy upstream.
    pub const NO_HEALTHY_UPSTREAM: u64 = 0x2;
}

/// One direction of a stream.
#[derive(Clone, Debug, Default)]
pub struct Half {
    /// Headers, as changed by the filter.
    pub headers: HeaderMap,
    /// Whether hostcalls reach the headers: Envoy forgets them when the header callback returns `Continue`.
    pub headers_visible: bool,
    /// Whether the filter's header callback returned `Pause` and nothing resumed the stream since.
    pub paused: bool,
    /// Headers as they left for the other side.
    pub sent_headers: Option<HeaderMap>,
    /// Body bytes held back by `Pause`, and during a body callback the new ones behind them.
    pub held: Vec<u8>,
    /// Whether hostcalls reach the body.
    pub body_visible: bool,
    /// Largest `held` seen, bytes.
    pub held_peak: usize,
    /// Body as it left for the other side.
    pub sent_body: Vec<u8>,
    /// Whether the end of the body left.
    pub sent_end: bool,
    /// Whether the end came in.
    pub ended: bool,
}

/// An answer that the filter made itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalResponse {
    /// HTTP status.
    pub status: u32,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Vec<u8>,
}

/// A stream as the proxy holds it.
#[derive(Clone, Debug, Default)]
pub struct Stream {
    /// Root context of the filter.
    pub root: u32,
    /// Client to upstream.
    pub request: Half,
    /// Upstream to client.
    pub response: Half,
    /// `ip:port` of the host that answers, known once a connection to it stands.
    pub upstream: Option<String>,
    /// Attempts made.
    pub attempts: u64,
    /// HTTP status that the client got.
    pub code: Option<u16>,
    /// Response flags (see [`flags`]).
    pub flags: u64,
    /// Answer of the filter itself.
    pub local: Option<LocalResponse>,
    /// Whether `proxy_continue_stream` was called for the request and is to be carried out when the VM call ends.
    pub resume: bool,
    /// Counters `plimsoll_decisions.step=…` and `plimsoll_rejected.reason=…` that moved in this stream's callbacks.
    pub counted: Vec<String>,
}
