//! Names of the hostcalls and of the phases in which a module may make them.

macro_rules! hostcalls {
    ($($variant:ident = $name:literal),+ $(,)?) => {
        /// A function that the host offers to the module.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(missing_docs, reason = "the ABI's names say what they do")]
        pub enum Hostcall { $($variant),+ }

        impl Hostcall {
            /// Every hostcall of ABI 0.2.1.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Name of the import.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }
    };
}

hostcalls! {
    Log = "proxy_log",
    GetLogLevel = "proxy_get_log_level",
    GetTime = "proxy_get_current_time_nanoseconds",
    SetTick = "proxy_set_tick_period_milliseconds",
    GetBuffer = "proxy_get_buffer_bytes",
    GetBufferStatus = "proxy_get_buffer_status",
    SetBuffer = "proxy_set_buffer_bytes",
    GetHeaders = "proxy_get_header_map_pairs",
    SetHeaders = "proxy_set_header_map_pairs",
    GetHeadersSize = "proxy_get_header_map_size",
    GetHeader = "proxy_get_header_map_value",
    RemoveHeader = "proxy_remove_header_map_value",
    ReplaceHeader = "proxy_replace_header_map_value",
    AddHeader = "proxy_add_header_map_value",
    GetProperty = "proxy_get_property",
    SetProperty = "proxy_set_property",
    GetSharedData = "proxy_get_shared_data",
    SetSharedData = "proxy_set_shared_data",
    RegisterQueue = "proxy_register_shared_queue",
    ResolveQueue = "proxy_resolve_shared_queue",
    Dequeue = "proxy_dequeue_shared_queue",
    Enqueue = "proxy_enqueue_shared_queue",
    ContinueStream = "proxy_continue_stream",
    CloseStream = "proxy_close_stream",
    SendLocalResponse = "proxy_send_local_response",
    HttpCall = "proxy_http_call",
    GrpcCall = "proxy_grpc_call",
    GrpcStream = "proxy_grpc_stream",
    GrpcSend = "proxy_grpc_send",
    GrpcCancel = "proxy_grpc_cancel",
    GrpcClose = "proxy_grpc_close",
    GetStatus = "proxy_get_status",
    SetEffectiveContext = "proxy_set_effective_context",
    CallForeignFunction = "proxy_call_foreign_function",
    Done = "proxy_done",
    DefineMetric = "proxy_define_metric",
    GetMetric = "proxy_get_metric",
    RecordMetric = "proxy_record_metric",
    IncrementMetric = "proxy_increment_metric",
}

/// The callback that is running.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(
    missing_docs,
    reason = "named after the callbacks proxy_on_<phase> of the ABI"
)]
pub enum Phase {
    /// Module start: constructors and `_initialize`.
    Initialize,
    ContextCreate,
    VmStart,
    Configure,
    Tick,
    CallResponse,
    RequestHeaders,
    RequestBody,
    RequestTrailers,
    ResponseHeaders,
    ResponseBody,
    Log,
    Done,
    Delete,
}

impl Phase {
    /// Every phase, in the order in which a request meets them.
    pub const ALL: &'static [Self] = &[
        Self::Initialize,
        Self::ContextCreate,
        Self::VmStart,
        Self::Configure,
        Self::Tick,
        Self::CallResponse,
        Self::RequestHeaders,
        Self::RequestBody,
        Self::RequestTrailers,
        Self::ResponseHeaders,
        Self::ResponseBody,
        Self::Log,
        Self::Done,
        Self::Delete,
    ];
}
