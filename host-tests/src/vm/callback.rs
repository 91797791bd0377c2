//! Callbacks of the ABI as values, so that both runtimes and the scheduler share one path.

use std::fmt;

use crate::proxy::Phase;

/// A callback and its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Callback {
    /// `proxy_on_context_create`; parent 0 makes a root context.
    ContextCreate {
        /// Root context of a stream.
        parent: u32,
        /// Role, for a root context.
        root_id: String,
    },
    /// `proxy_on_vm_start`.
    VmStart {
        /// Bytes of the VM's configuration.
        size: usize,
    },
    /// `proxy_on_configure`.
    Configure {
        /// Bytes of the plugin's configuration.
        size: usize,
    },
    /// `proxy_on_tick`.
    Tick,
    /// `proxy_on_http_call_response`.
    CallResponse {
        /// Number of the call.
        token: u32,
        /// Number of headers; 0 when the call failed.
        headers: usize,
        /// Bytes of the body.
        body: usize,
    },
    /// `proxy_on_request_headers`.
    RequestHeaders {
        /// Number of headers.
        count: usize,
        /// End of stream.
        end: bool,
    },
    /// `proxy_on_request_body`.
    RequestBody {
        /// Bytes in the buffer.
        size: usize,
        /// End of stream.
        end: bool,
    },
    /// `proxy_on_request_trailers`.
    RequestTrailers {
        /// Number of trailers.
        count: usize,
    },
    /// `proxy_on_response_headers`.
    ResponseHeaders {
        /// Number of headers.
        count: usize,
        /// End of stream.
        end: bool,
    },
    /// `proxy_on_response_body`.
    ResponseBody {
        /// Bytes in the buffer.
        size: usize,
        /// End of stream.
        end: bool,
    },
    /// `proxy_on_log`.
    Log,
    /// `proxy_on_done`.
    Done,
    /// `proxy_on_delete`.
    Delete,
}

impl Callback {
    /// Phase in which hostcalls of this callback run.
    pub const fn phase(&self) -> Phase {
        match self {
            Self::ContextCreate { .. } => Phase::ContextCreate,
            Self::VmStart { .. } => Phase::VmStart,
            Self::Configure { .. } => Phase::Configure,
            Self::Tick => Phase::Tick,
            Self::CallResponse { .. } => Phase::CallResponse,
            Self::RequestHeaders { .. } => Phase::RequestHeaders,
            Self::RequestBody { .. } => Phase::RequestBody,
            Self::RequestTrailers { .. } => Phase::RequestTrailers,
            Self::ResponseHeaders { .. } => Phase::ResponseHeaders,
            Self::ResponseBody { .. } => Phase::ResponseBody,
            Self::Log => Phase::Log,
            Self::Done => Phase::Done,
            Self::Delete => Phase::Delete,
        }
    }
}

/// What a stream callback wants next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Pass on.
    Continue,
    /// Hold back.
    Pause,
}

/// What a callback returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Nothing.
    None,
    /// A stream callback's wish.
    Action(Action),
    /// Success of start, configuration and done.
    Bool(bool),
}

impl Reply {
    /// The action; `Continue` where there is none.
    pub const fn action(self) -> Action {
        match self {
            Self::Action(action) => action,
            _ => Action::Continue,
        }
    }

    /// The flag; true where there is none.
    pub const fn accepted(self) -> bool {
        !matches!(self, Self::Bool(false))
    }
}

/// The module trapped, or broke the ABI. The VM is dead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trap(pub String);

impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Trap {}

/// Result of a callback.
pub type Outcome = Result<Reply, Trap>;

/// Cost of a callback. Zero in a native VM.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Instructions that the last callback executed (wasmtime fuel).
    pub fuel: u64,
    /// Linear memory held, in pages of 64 KiB.
    pub pages: u64,
}
