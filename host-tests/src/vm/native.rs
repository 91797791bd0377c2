//! The same code, native: the rlib of the filter over the same emulated proxy.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use plimsoll_filter::collector::CollectorRoot;
use plimsoll_filter::exchange::{ExchangeRoot, Question};
use plimsoll_filter::host::{self, Buffer, Host, Level, Map, Metric, Status};
use plimsoll_filter::registry::Registry;
use plimsoll_filter::root::Root;
use plimsoll_filter::stream::Stream;
use plimsoll_filter::{names, property};

use super::{Action, Callback, Outcome, Reply, Trap, Usage, Vm};
use crate::proxy::status::Answer;
use crate::proxy::{HeaderMap, Proxy};

/// The emulated proxy as the module's code sees it.
#[derive(Clone)]
struct NativeHost(Rc<RefCell<Proxy>>);

/// A refusal by its number. A scripted 0 claims success and returns nothing, which the ABI layer reads as a zero value.
fn answer<T: Default>(answer: Answer<T>) -> Result<T, Status> {
    match answer {
        Ok(value) => Ok(value),
        Err(number) => Status::from_abi(number).map(|()| T::default()),
    }
}

fn word(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

impl Host for NativeHost {
    fn now_nanos(&self) -> u64 {
        self.0.borrow_mut().time().unwrap_or(0)
    }

    fn log(&self, level: Level, message: &str) {
        // The trait has no answer: a refused line is lost.
        let _ = self.0.borrow_mut().log(level as u32, message);
    }

    fn header_map(&self, map: Map) -> Result<Vec<u8>, Status> {
        answer(self.0.borrow_mut().header_map(map as u32))
    }

    fn set_header(&self, map: Map, name: &str, value: &[u8]) -> Result<(), Status> {
        answer(self.0.borrow_mut().replace_header(map as u32, name, value))
    }

    fn remove_header(&self, map: Map, name: &str) -> Result<(), Status> {
        answer(self.0.borrow_mut().remove_header(map as u32, name))
    }

    fn buffer(&self, buffer: Buffer, start: usize, len: usize) -> Result<Vec<u8>, Status> {
        let (start, len) = (word(start), word(len));
        answer(self.0.borrow_mut().buffer(buffer as u32, start, len))
    }

    fn property(&self, path: &[&str]) -> Result<Vec<u8>, Status> {
        answer(self.0.borrow_mut().property(path.join("\0").as_bytes()))
    }

    fn set_property(&self, path: &[&str], value: &[u8]) -> Result<(), Status> {
        let path = path.join("\0");
        answer(self.0.borrow_mut().set_property(path.as_bytes(), value))
    }

    fn shared_get(&self, key: &str) -> Result<(Vec<u8>, u32), Status> {
        answer(self.0.borrow_mut().shared_get(key.as_bytes()))
    }

    fn shared_set(&self, key: &str, value: &[u8], cas: Option<u32>) -> Result<(), Status> {
        let cas = cas.unwrap_or(0);
        answer(self.0.borrow_mut().shared_set(key.as_bytes(), value, cas))
    }

    fn call(
        &self,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
        timeout_ms: u32,
    ) -> Result<u32, Status> {
        let headers = HeaderMap::new(headers);
        let mut proxy = self.0.borrow_mut();
        answer(proxy.http_call(target, headers, body, timeout_ms))
    }

    fn define_metric(&self, kind: Metric, name: &str) -> Result<u32, Status> {
        answer(self.0.borrow_mut().define_metric(kind as u32, name))
    }

    fn add_metric(&self, id: u32, delta: i64) -> Result<(), Status> {
        answer(self.0.borrow_mut().increment_metric(id, delta))
    }

    fn set_metric(&self, id: u32, value: u64) -> Result<(), Status> {
        answer(self.0.borrow_mut().record_metric(id, value))
    }

    fn set_tick_ms(&self, ms: u32) -> Result<(), Status> {
        answer(self.0.borrow_mut().set_tick(ms))
    }

    fn respond(&self, status: u32, headers: &[(&str, &str)], body: &[u8]) -> Result<(), Status> {
        let headers = HeaderMap::new(headers);
        answer(self.0.borrow_mut().local_response(status, headers, body))
    }

    fn resume(&self) -> Result<(), Status> {
        answer(self.0.borrow_mut().continue_stream(0))
    }

    fn enter(&self, context: u32) -> Result<(), Status> {
        answer(self.0.borrow_mut().set_effective_context(context))
    }

    fn random_seed(&self) -> u64 {
        self.0.borrow().entropy()
    }
}

enum Role {
    Unconfigured,
    Filter(Box<Root<NativeHost>>),
    Collector(Box<CollectorRoot<NativeHost>>),
    Exchange(ExchangeRoot),
}

/// What a context of an HTTP stream is.
enum Http {
    Stream(Box<Stream<NativeHost>>),
    Question(Question),
}

const fn translate(action: host::Action) -> Action {
    match action {
        host::Action::Continue => Action::Continue,
        host::Action::Pause => Action::Pause,
    }
}

/// A VM that runs the rlib, with the same dispatch by context as the module's shell.
pub struct NativeVm {
    host: NativeHost,
    registry: Registry,
    roots: BTreeMap<u32, Role>,
    streams: BTreeMap<u32, Http>,
}

/// Tells the streams that need not wait any longer.
fn release(root: &mut Root<NativeHost>, streams: &mut BTreeMap<u32, Http>) {
    root.release(|context, turn| {
        if let Some(Http::Stream(stream)) = streams.get_mut(&context) {
            stream.on_release(turn);
        }
    });
}

impl NativeVm {
    /// VM over a proxy.
    pub fn new(proxy: Rc<RefCell<Proxy>>) -> Self {
        Self {
            host: NativeHost(proxy),
            registry: Registry::default(),
            roots: BTreeMap::new(),
            streams: BTreeMap::new(),
        }
    }

    fn configure(&mut self, context: u32) -> bool {
        let host = self.host.clone();
        let registry = self.registry.clone();
        let role = self.roots.entry(context).or_insert(Role::Unconfigured);
        if matches!(role, Role::Unconfigured) {
            let name = property::root_id(&host).unwrap_or_default();
            *role = if name == names::COLLECTOR_ROOT.as_bytes() {
                Role::Collector(Box::new(CollectorRoot::new(host)))
            } else if name == names::EXCHANGE_ROOT.as_bytes() {
                Role::Exchange(ExchangeRoot::default())
            } else {
                Role::Filter(Box::new(Root::with_registry(host, registry)))
            };
        }
        match role {
            Role::Unconfigured => false,
            Role::Filter(root) => root.on_configure(),
            Role::Collector(root) => root.on_configure(),
            Role::Exchange(root) => root.on_configure(&self.host),
        }
    }

    fn create(&mut self, context: u32, parent: u32) {
        if parent == 0 {
            self.roots.insert(context, Role::Unconfigured);
            return;
        }
        let made = match self.roots.get(&parent) {
            Some(Role::Filter(root)) => Some(Http::Stream(Box::new(root.stream(context)))),
            Some(Role::Exchange(root)) => root.question().map(Http::Question),
            _ => None,
        };
        let unrouted = || Http::Stream(Box::new(Stream::unrouted(self.host.clone())));
        self.streams.insert(context, made.unwrap_or_else(unrouted));
    }

    fn on_stream(&mut self, context: u32, callback: &Callback) -> Outcome {
        let stream = self
            .streams
            .get_mut(&context)
            .ok_or_else(|| Trap(format!("no stream {context}")))?;
        let stream = match stream {
            Http::Stream(stream) => stream,
            Http::Question(question) => {
                let action = match callback {
                    Callback::RequestHeaders { .. } => question.on_request_headers(&self.host),
                    Callback::Log => return Ok(Reply::None),
                    _ => host::Action::Continue,
                };
                return Ok(Reply::Action(translate(action)));
            }
        };
        let action = match *callback {
            Callback::RequestHeaders { end, .. } => stream.on_request_headers(end),
            Callback::RequestBody { size, end } => stream.on_request_body(size, end),
            Callback::RequestTrailers { .. } => stream.on_request_trailers(),
            Callback::ResponseHeaders { end, .. } => stream.on_response_headers(end),
            Callback::ResponseBody { size, end } => stream.on_response_body(size, end),
            _ => {
                stream.on_log();
                return Ok(Reply::None);
            }
        };
        Ok(Reply::Action(translate(action)))
    }

    fn dispatch(&mut self, context: u32, callback: &Callback) -> Outcome {
        match *callback {
            Callback::ContextCreate { parent, .. } => self.create(context, parent),
            Callback::Configure { .. } => return Ok(Reply::Bool(self.configure(context))),
            Callback::VmStart { .. } => return Ok(Reply::Bool(true)),
            Callback::Done => {
                if let Some(Role::Filter(root)) = self.roots.get_mut(&context) {
                    root.on_done();
                    release(root, &mut self.streams);
                }
                return Ok(Reply::Bool(true));
            }
            Callback::Tick => match self.roots.get_mut(&context) {
                Some(Role::Filter(root)) => {
                    root.on_tick();
                    release(root, &mut self.streams);
                    root.tell();
                }
                Some(Role::Collector(root)) => root.on_tick(),
                _ => {}
            },
            Callback::CallResponse {
                token,
                headers,
                body,
            } => match self.roots.get_mut(&context) {
                Some(Role::Filter(root)) => root.on_call_response(token, headers, body),
                Some(Role::Collector(root)) => root.on_call_response(token, headers, body),
                _ => {}
            },
            Callback::Log if !self.streams.contains_key(&context) => {}
            Callback::Delete => {
                self.streams.remove(&context);
                self.roots.remove(&context);
            }
            _ => return self.on_stream(context, callback),
        }
        Ok(Reply::None)
    }
}

impl Vm for NativeVm {
    fn run(&mut self, context: u32, callback: &Callback) -> Outcome {
        // A panic is what a trap is under wasm: this VM is dead, the test goes on.
        let run = AssertUnwindSafe(|| self.dispatch(context, callback));
        catch_unwind(run).unwrap_or_else(|panic| {
            let text = panic
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
                .or_else(|| panic.downcast_ref::<String>().cloned());
            Err(Trap(text.unwrap_or_else(|| "panic".to_owned())))
        })
    }

    fn usage(&mut self) -> Usage {
        Usage::default()
    }

    fn kill(self: Box<Self>) {
        // Dropping would run the destructors of open streams, which a trapped VM never does.
        std::mem::forget(self);
    }
}
