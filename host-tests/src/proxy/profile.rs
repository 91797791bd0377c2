//! What hosts do differently.

/// How the host serialises properties.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Properties {
    /// Integers as 8 bytes little endian, addresses with port (Envoy).
    Typed,
    /// Everything as text, addresses without port, no `response.flags` (nginx).
    Text,
}

/// How the host serves ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ticks {
    /// Set as often as wished; 0 ends them.
    Free,
    /// The period can be set once; a second time traps (ngx_wasm_module).
    Once,
}

/// How the host names the target of an HTTP call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Targets {
    /// A cluster of its configuration.
    Cluster,
    /// `ip:port`.
    Address,
}

/// A kind of proxy.
///
/// Source: `docs` of Envoy 1.40 and ngx_wasm_module 3bed2783, both checked on the running servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Whether `Pause` in headers still lets body callbacks come (`allow_on_headers_stop_iteration` in Envoy). Without it
    /// they wait for the stream to be resumed.
    pub body_while_headers_paused: bool,
    /// Whether request headers can be read and changed in body callbacks after headers returned `Continue`.
    pub headers_after_continue: bool,
    /// Whether header callbacks tell the end of the stream truthfully; else it is always false.
    pub end_of_stream_in_headers: bool,
    /// Property form.
    pub properties: Properties,
    /// Tick rules.
    pub ticks: Ticks,
    /// Whether a paused stream can be resumed from a tick; else that traps.
    pub resume_from_tick: bool,
    /// Call targets.
    pub targets: Targets,
    /// Largest request body held for a paused stream, bytes; more answers 413.
    pub body_buffer_limit: usize,
    /// Whether there is a singleton service on a main thread.
    pub singleton: bool,
    /// Whether configuration is tried on a canary VM first.
    pub canary: bool,
}

impl Profile {
    /// Envoy 1.40 configured as Plimsoll's `envoy-config` does.
    pub const ENVOY: Self = Self {
        body_while_headers_paused: true,
        headers_after_continue: false,
        end_of_stream_in_headers: true,
        properties: Properties::Typed,
        ticks: Ticks::Free,
        resume_from_tick: true,
        targets: Targets::Cluster,
        body_buffer_limit: 8 << 20,
        singleton: true,
        canary: true,
    };

    /// nginx with ngx_wasm_module.
    pub const NGINX: Self = Self {
        body_while_headers_paused: false,
        headers_after_continue: true,
        end_of_stream_in_headers: false,
        properties: Properties::Text,
        ticks: Ticks::Once,
        resume_from_tick: false,
        targets: Targets::Address,
        body_buffer_limit: 8 << 20,
        singleton: false,
        canary: false,
    };
}
