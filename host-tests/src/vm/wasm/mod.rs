//! The real module under wasmtime.
//!
//! One [`Module`] is compiled once and shared; each VM is a store of its own, as each thread of Envoy has one.

mod buffers;
mod calls;
mod guest;
mod headers;
mod metrics;
mod properties;
mod shared;
mod stream;
mod wasi;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::OnceLock;

use wasmtime::{
    Config, Engine, Instance, InstancePre, Linker, Memory, OptLevel, Store, StoreLimits,
    StoreLimitsBuilder, TypedFunc, WasmParams, WasmResults,
};

use super::{Action, Callback, Outcome, Reply, Trap, Usage, Vm};
use crate::proxy::Proxy;

/// Envoy's cap on the linear memory of a VM, bytes (`proxy-wasm-cpp-host` `limits.h`).
const MEMORY_CAP: usize = 1 << 30;
/// Instructions that one callback may execute before the test calls it an endless loop.
const FUEL_CAP: u64 = 2_000_000_000;

/// A compiled module.
#[derive(Clone)]
pub struct Module {
    /// Imports are resolved once, so that a VM costs little.
    linked: InstancePre<State>,
}

impl Module {
    /// Compiles a module.
    pub fn compile(bytes: &[u8]) -> Result<Self, Trap> {
        let mut config = Config::new();
        config.consume_fuel(true);
        // Compile time counts more here than speed: a test runs milliseconds of module code.
        config.cranelift_opt_level(OptLevel::None);
        let engine = Engine::new(&config).map_err(trap)?;
        let module = wasmtime::Module::new(&engine, bytes).map_err(trap)?;
        let mut linker = Linker::new(&engine);
        headers::link(&mut linker).map_err(trap)?;
        buffers::link(&mut linker).map_err(trap)?;
        shared::link(&mut linker).map_err(trap)?;
        calls::link(&mut linker).map_err(trap)?;
        metrics::link(&mut linker).map_err(trap)?;
        properties::link(&mut linker).map_err(trap)?;
        stream::link(&mut linker).map_err(trap)?;
        wasi::link(&mut linker).map_err(trap)?;
        let linked = linker.instantiate_pre(&module).map_err(trap)?;
        Ok(Self { linked })
    }

    /// The shipped module, built by cargo and compiled once per process.
    pub fn plimsoll() -> &'static Self {
        static MODULE: OnceLock<Module> = OnceLock::new();
        MODULE.get_or_init(|| {
            let bytes = crate::build::plimsoll_wasm();
            match Self::compile(bytes) {
                Ok(module) => module,
                Err(trap) => panic!("the module does not compile: {trap}"),
            }
        })
    }

    /// Imports as (module, name).
    pub fn imports(&self) -> BTreeSet<(String, String)> {
        self.linked
            .module()
            .imports()
            .map(|import| (import.module().to_owned(), import.name().to_owned()))
            .collect()
    }

    /// Names of the exports.
    pub fn exports(&self) -> BTreeSet<String> {
        self.linked
            .module()
            .exports()
            .map(|export| export.name().to_owned())
            .collect()
    }
}

/// What the hostcalls work on.
struct State {
    proxy: Rc<RefCell<Proxy>>,
    limits: StoreLimits,
    memory: Option<Memory>,
    allocate: Option<TypedFunc<u32, u32>>,
}

/// A VM that runs the module.
pub struct WasmVm {
    store: Store<State>,
    instance: Instance,
    fuel: u64,
}

fn trap(error: wasmtime::Error) -> Trap {
    Trap(format!("{error:#}"))
}

impl WasmVm {
    /// Instantiates the module and runs its `_initialize` or `_start`.
    pub fn new(module: &Module, proxy: Rc<RefCell<Proxy>>) -> Result<Self, Trap> {
        let state = State {
            proxy,
            limits: StoreLimitsBuilder::new().memory_size(MEMORY_CAP).build(),
            memory: None,
            allocate: None,
        };
        let mut store = Store::new(module.linked.module().engine(), state);
        store.limiter(|state| &mut state.limits);
        store.set_fuel(FUEL_CAP).map_err(trap)?;
        let instance = module.linked.instantiate(&mut store).map_err(trap)?;
        let memory = instance.get_memory(&mut store, "memory");
        let allocate = ["proxy_on_memory_allocate", "malloc"]
            .iter()
            .find_map(|name| instance.get_typed_func(&mut store, name).ok());
        store.data_mut().memory = memory;
        store.data_mut().allocate = allocate;
        let mut vm = Self {
            store,
            instance,
            fuel: 0,
        };
        let entry = ["_initialize", "_start"]
            .into_iter()
            .find(|name| vm.instance.get_func(&mut vm.store, name).is_some());
        if let Some(entry) = entry {
            vm.call::<(), ()>(entry, ())?;
        }
        Ok(vm)
    }

    /// Calls an export. One that the module does not have answers `None`, as the C++ host skips it.
    fn call<P: WasmParams, R: WasmResults>(
        &mut self,
        name: &str,
        params: P,
    ) -> Result<Option<R>, Trap> {
        if self.instance.get_func(&mut self.store, name).is_none() {
            return Ok(None);
        }
        let function = self
            .instance
            .get_typed_func::<P, R>(&mut self.store, name)
            .map_err(trap)?;
        self.store.set_fuel(FUEL_CAP).map_err(trap)?;
        let result = function.call(&mut self.store, params);
        self.fuel = FUEL_CAP - self.store.get_fuel().map_err(trap)?;
        result.map(Some).map_err(trap)
    }

    fn action<P: WasmParams>(&mut self, name: &str, params: P) -> Outcome {
        Ok(Reply::Action(match self.call::<P, u32>(name, params)? {
            None | Some(0) => Action::Continue,
            Some(1) => Action::Pause,
            Some(other) => return Err(Trap(format!("{name} returned action {other}"))),
        }))
    }

    fn flag<P: WasmParams>(&mut self, name: &str, params: P) -> Outcome {
        Ok(Reply::Bool(
            self.call::<P, u32>(name, params)?.is_none_or(|n| n != 0),
        ))
    }

    fn nothing<P: WasmParams>(&mut self, name: &str, params: P) -> Outcome {
        self.call::<P, ()>(name, params)?;
        Ok(Reply::None)
    }
}

impl Vm for WasmVm {
    fn run(&mut self, context: u32, callback: &Callback) -> Outcome {
        let word = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        match *callback {
            Callback::ContextCreate { parent, .. } => {
                self.nothing("proxy_on_context_create", (context, parent))
            }
            Callback::VmStart { size } => self.flag("proxy_on_vm_start", (context, word(size))),
            Callback::Configure { size } => self.flag("proxy_on_configure", (context, word(size))),
            Callback::Tick => self.nothing("proxy_on_tick", context),
            Callback::CallResponse {
                token,
                headers,
                body,
            } => self.nothing(
                "proxy_on_http_call_response",
                (context, token, word(headers), word(body), 0_u32),
            ),
            Callback::RequestHeaders { count, end } => self.action(
                "proxy_on_request_headers",
                (context, word(count), u32::from(end)),
            ),
            Callback::RequestBody { size, end } => self.action(
                "proxy_on_request_body",
                (context, word(size), u32::from(end)),
            ),
            Callback::RequestTrailers { count } => {
                self.action("proxy_on_request_trailers", (context, word(count)))
            }
            Callback::ResponseHeaders { count, end } => self.action(
                "proxy_on_response_headers",
                (context, word(count), u32::from(end)),
            ),
            Callback::ResponseBody { size, end } => self.action(
                "proxy_on_response_body",
                (context, word(size), u32::from(end)),
            ),
            Callback::Log => self.nothing("proxy_on_log", context),
            Callback::Done => self.flag("proxy_on_done", context),
            Callback::Delete => self.nothing("proxy_on_delete", context),
        }
    }

    fn usage(&mut self) -> Usage {
        let memory = self.store.data().memory;
        Usage {
            fuel: self.fuel,
            pages: memory.map_or(0, |memory| memory.size(&self.store)),
        }
    }

    fn kill(self: Box<Self>) {
        // Dropping a store runs no module code.
        drop(self);
    }
}
