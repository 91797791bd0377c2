//! What the module needs from the proxy it runs in.
//!
//! The module's code is generic over [`Host`]. The wasm build implements it over the proxy-wasm ABI
//! (`hostcalls`), the native tests over an emulated proxy, so both drive the same lines.
//! Every call that a proxy may refuse returns a [`Status`]: hosts differ in what they implement, and a refused call must
//! cost a signal, never the request.

use alloc::{string::String, vec::Vec};

/// Result of a host call that was not carried out.
///
/// Numbers are those of the proxy-wasm ABI 0.2.1, with the ones that only some hosts return.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Status {
    /// The key, header, property or function does not exist.
    NotFound = 1,
    /// An argument was refused, for example the name of an unknown cluster.
    BadArgument = 2,
    /// The host could not serialise its answer.
    SerializationFailure = 3,
    /// The host could not parse the request.
    ParseFailure = 4,
    /// An expression was refused.
    BadExpression = 5,
    /// A pointer was outside the module's memory.
    InvalidMemoryAccess = 6,
    /// The queue or buffer is empty.
    Empty = 7,
    /// Another writer changed the shared value first.
    CasMismatch = 8,
    /// The answer has another type or shape than the host expected.
    ResultMismatch = 9,
    /// The host failed, or the call is not possible in this phase.
    InternalFailure = 10,
    /// The connection is gone.
    BrokenConnection = 11,
    /// The host does not have this call.
    Unimplemented = 12,
    /// A number that no version of the ABI defines.
    Other = 255,
}

impl Status {
    /// Status for the number that a host returned; `Ok(())` for 0.
    pub const fn from_abi(number: u32) -> Result<(), Self> {
        Err(match number {
            0 => return Ok(()),
            1 => Self::NotFound,
            2 => Self::BadArgument,
            3 => Self::SerializationFailure,
            4 => Self::ParseFailure,
            5 => Self::BadExpression,
            6 => Self::InvalidMemoryAccess,
            7 => Self::Empty,
            8 => Self::CasMismatch,
            9 => Self::ResultMismatch,
            10 => Self::InternalFailure,
            11 => Self::BrokenConnection,
            12 => Self::Unimplemented,
            _ => Self::Other,
        })
    }

    /// The number as log lines give it.
    #[must_use]
    pub fn text(self) -> String {
        let mut text = String::from("status ");
        crate::names::push_decimal(&mut text, self as u64);
        text
    }
}

/// Header maps that the module reads or writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Map {
    /// Headers of the client's request.
    RequestHeaders = 0,
    /// Headers of the answer to the client.
    ResponseHeaders = 2,
    /// Headers of the answer to an own HTTP call.
    CallResponseHeaders = 6,
}

/// Buffers that the module reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Buffer {
    /// Body of the client's request.
    RequestBody = 0,
    /// Body of the answer to the client, one network chunk at a time.
    ResponseBody = 1,
    /// Body of the answer to an own HTTP call.
    CallResponseBody = 4,
    /// Configuration of the VM.
    VmConfiguration = 6,
    /// Configuration of this plugin.
    PluginConfiguration = 7,
}

/// Kinds of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Metric {
    /// Only grows.
    Counter = 0,
    /// Set or moved; unsigned and shared by all workers in Envoy.
    Gauge = 1,
    /// Distribution of recorded values.
    Histogram = 2,
}

/// Severity of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum Level {
    /// Finest detail.
    Trace = 0,
    /// For developers.
    Debug = 1,
    /// Normal events.
    Info = 2,
    /// Something is off, service continues.
    Warn = 3,
    /// Something was refused or lost.
    Error = 4,
    /// The proxy's operator must act.
    Critical = 5,
}

/// What a stream callback tells the proxy to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Action {
    /// Pass what there is on, and keep passing.
    Continue = 0,
    /// Hold it back and call again with more.
    Pause = 1,
}

/// The proxy, as the module sees it.
pub trait Host {
    /// Wall time in nanoseconds since 1970.
    fn now_nanos(&self) -> u64;

    /// Writes one line to the proxy's log. A host without a log loses it.
    fn log(&self, level: Level, message: &str);

    /// All pairs of a header map in the ABI's serialisation (see `headers`).
    fn header_map(&self, map: Map) -> Result<Vec<u8>, Status>;

    /// Replaces all values of a header with one, or adds it.
    fn set_header(&self, map: Map, name: &str, value: &[u8]) -> Result<(), Status>;

    /// Removes all values of a header.
    fn remove_header(&self, map: Map, name: &str) -> Result<(), Status>;

    /// Up to `len` bytes of a buffer from byte `start` on.
    fn buffer(&self, buffer: Buffer, start: usize, len: usize) -> Result<Vec<u8>, Status>;

    /// Raw bytes of a property; integers are 8 bytes little endian in Envoy and decimal text in nginx (see `property`).
    fn property(&self, path: &[&str]) -> Result<Vec<u8>, Status>;

    /// Sets a property; in Envoy it becomes filter state `wasm.<name>` that access logs can read.
    ///
    /// Hosts without it need not implement it.
    fn set_property(&self, path: &[&str], value: &[u8]) -> Result<(), Status> {
        let _ = (path, value);
        Err(Status::Unimplemented)
    }

    /// Value of a shared key and its compare-and-swap number; `Err(NotFound)` when absent.
    fn shared_get(&self, key: &str) -> Result<(Vec<u8>, u32), Status>;

    /// Sets a shared key. `cas` of `None` (or 0) always wins, another number must be the current one.
    fn shared_set(&self, key: &str, value: &[u8], cas: Option<u32>) -> Result<(), Status>;

    /// Starts an HTTP call to `target` (a cluster in Envoy) and returns its token.
    fn call(
        &self,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
        timeout_ms: u32,
    ) -> Result<u32, Status>;

    /// Defines a metric, or finds the one of that name, and returns its number.
    fn define_metric(&self, kind: Metric, name: &str) -> Result<u32, Status>;

    /// Adds to a counter, or moves a gauge.
    fn add_metric(&self, id: u32, delta: i64) -> Result<(), Status>;

    /// Sets a gauge, or records a value into a histogram.
    fn set_metric(&self, id: u32, value: u64) -> Result<(), Status>;

    /// Asks for a tick every `ms` milliseconds; 0 ends them.
    fn set_tick_ms(&self, ms: u32) -> Result<(), Status>;

    /// Answers the client in place of an upstream.
    fn respond(&self, status: u32, headers: &[(&str, &str)], body: &[u8]) -> Result<(), Status>;

    /// Lets the paused request of the current stream go on.
    ///
    /// Hosts that cannot need not implement it; nothing waits there.
    fn resume(&self) -> Result<(), Status> {
        Err(Status::Unimplemented)
    }

    /// Makes the stream of this context the current one, for the calls that follow within this callback.
    fn enter(&self, context: u32) -> Result<(), Status> {
        let _ = context;
        Err(Status::Unimplemented)
    }

    /// A number that differs between VMs, for tie breaking and ownership of slots.
    fn random_seed(&self) -> u64;
}
