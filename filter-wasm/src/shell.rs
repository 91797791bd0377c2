//! The proxy-wasm SDK's contexts around [`Root`], [`CollectorRoot`] and [`Stream`]. They only delegate.

use proxy_wasm::{
    traits::{Context, HttpContext, RootContext},
    types::{Action as AbiAction, ContextType},
};

use crate::{
    collector::CollectorRoot, host::Action, hostcalls::Proxy, names, property, registry::Registry,
    root::Root, stream::Stream,
};

thread_local! {
    /// One VM serves all configurations of its plugins one after another; requests in flight outlive them.
    static REGISTRY: Registry = Registry::default();
}

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| Box::new(RootShell { role: Role::Unconfigured }));
}}

enum Role {
    Unconfigured,
    Filter(Root<Proxy>),
    Collector(Box<CollectorRoot<Proxy>>),
}

struct RootShell {
    role: Role,
}

impl Context for RootShell {
    fn on_http_call_response(
        &mut self,
        token: u32,
        headers: usize,
        body_size: usize,
        _trailers: usize,
    ) {
        match &mut self.role {
            Role::Unconfigured => {}
            Role::Filter(root) => root.on_call_response(token, headers, body_size),
            Role::Collector(root) => root.on_call_response(token, headers, body_size),
        }
    }

    fn on_done(&mut self) -> bool {
        if let Role::Filter(root) = &mut self.role {
            root.on_done();
        }
        true
    }
}

impl RootContext for RootShell {
    fn on_configure(&mut self, _size: usize) -> bool {
        if matches!(self.role, Role::Unconfigured) {
            let collects =
                property::root_id(&Proxy).is_ok_and(|id| id == names::COLLECTOR_ROOT.as_bytes());
            self.role = if collects {
                Role::Collector(Box::new(CollectorRoot::new(Proxy)))
            } else {
                Role::Filter(Root::with_registry(Proxy, REGISTRY.with(Registry::clone)))
            };
        }
        match &mut self.role {
            Role::Unconfigured => false,
            Role::Filter(root) => root.on_configure(),
            Role::Collector(root) => root.on_configure(),
        }
    }

    fn on_tick(&mut self) {
        match &mut self.role {
            Role::Unconfigured => {}
            Role::Filter(root) => root.on_tick(),
            Role::Collector(root) => root.on_tick(),
        }
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, context_id: u32) -> Option<Box<dyn HttpContext>> {
        // The dispatcher traps on `None`, so a root without configuration makes streams that let everything pass.
        let stream = match &self.role {
            Role::Filter(root) => root.stream(context_id),
            Role::Unconfigured | Role::Collector(_) => Stream::unrouted(Proxy),
        };
        Some(Box::new(StreamShell { stream }))
    }
}

struct StreamShell {
    stream: Stream<Proxy>,
}

impl Context for StreamShell {}

impl HttpContext for StreamShell {
    fn on_http_request_headers(&mut self, _count: usize, end: bool) -> AbiAction {
        abi(self.stream.on_request_headers(end))
    }

    fn on_http_request_body(&mut self, size: usize, end: bool) -> AbiAction {
        abi(self.stream.on_request_body(size, end))
    }

    fn on_http_request_trailers(&mut self, _count: usize) -> AbiAction {
        abi(self.stream.on_request_trailers())
    }

    fn on_http_response_headers(&mut self, _count: usize, end: bool) -> AbiAction {
        abi(self.stream.on_response_headers(end))
    }

    fn on_http_response_body(&mut self, size: usize, end: bool) -> AbiAction {
        abi(self.stream.on_response_body(size, end))
    }

    fn on_log(&mut self) {
        self.stream.on_log();
    }
}

const fn abi(action: Action) -> AbiAction {
    match action {
        Action::Continue => AbiAction::Continue,
        Action::Pause => AbiAction::Pause,
    }
}
