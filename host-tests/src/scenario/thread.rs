//! Threads of the proxy: one VM each, its root contexts, its death and its reload.

use super::{Event, Fleet, MAIN, StreamId};
use crate::proxy::{Current, MILLISECOND, Phase, RootContext};
use crate::vm::native::NativeVm;
use crate::vm::wasm::{Module, WasmVm};
use crate::vm::{Callback, Reply, Trap, Vm};

/// `root_id` of the filter.
pub(super) const FILTER: &str = "plimsoll";
/// `root_id` of the collector.
pub(super) const COLLECTOR: &str = "plimsoll_collector";
/// `root_id` of what answers other proxies.
pub(super) const EXCHANGE: &str = "plimsoll_exchange";

/// Envoy reloads a dead VM no sooner than this after its death (`reload_config.backoff.base_interval`).
const RELOAD_BACKOFF: u64 = 1_000 * MILLISECOND;

/// How the module's code runs.
#[derive(Clone)]
pub enum Runtime {
    /// The shipped module under wasmtime.
    Wasm,
    /// The same code, native.
    Native,
    /// Another module under wasmtime.
    Module(Module),
}

/// A trap.
#[derive(Clone, Debug)]
pub struct Failure {
    /// VM that died.
    pub vm: usize,
    /// Callback that it died in.
    pub phase: Phase,
    /// Why.
    pub trap: Trap,
}

/// One thread.
pub(super) struct Thread {
    pub(super) vm: Option<Box<dyn Vm>>,
    pub(super) next_context: u32,
    /// Root context of the filter that new streams use.
    pub(super) filter: Option<u32>,
    /// Root context of the listener for other proxies, where there is one.
    pub(super) exchange: Option<u32>,
    /// Root contexts of replaced configurations, kept while they have streams.
    pub(super) retired: Vec<u32>,
    /// When it died.
    pub(super) died: Option<u64>,
}

impl Thread {
    const fn empty() -> Self {
        Self {
            vm: None,
            next_context: 1,
            filter: None,
            exchange: None,
            retired: Vec::new(),
            died: None,
        }
    }
}

impl Fleet {
    fn new_vm(&self) -> Result<Box<dyn Vm>, Trap> {
        let proxy = self.proxy.clone();
        Ok(match &self.runtime {
            Runtime::Wasm => Box::new(WasmVm::new(Module::plimsoll(), proxy)?),
            Runtime::Module(module) => Box::new(WasmVm::new(module, proxy)?),
            Runtime::Native => Box::new(NativeVm::new(proxy)),
        })
    }

    /// Adds a thread without root contexts.
    pub(super) fn add_thread(&mut self) -> Result<usize, Trap> {
        let number = self.threads.len();
        self.enter(number, 0, Phase::Initialize);
        let vm = self.new_vm()?;
        self.threads.push(Thread {
            vm: Some(vm),
            ..Thread::empty()
        });
        Ok(number)
    }

    fn enter(&self, vm: usize, context: u32, phase: Phase) {
        self.proxy.borrow_mut().current = Current { vm, context, phase };
    }

    /// Runs a callback. `None` when the VM is dead, or dies of it.
    pub(super) fn run(&mut self, vm: usize, context: u32, callback: &Callback) -> Option<Reply> {
        self.enter(vm, context, callback.phase());
        let mut code = self.threads[vm].vm.take()?;
        let outcome = code.run(context, callback);
        let usage = code.usage();
        self.peak_pages = self.peak_pages.max(usage.pages);
        self.pages.insert(vm, usage.pages);
        let peak = self.fuel.entry(callback.phase()).or_default();
        *peak = (*peak).max(usage.fuel);
        // A native VM has nobody between it and the host who could trap it.
        let demanded = self.proxy.borrow_mut().demanded_trap.take();
        let outcome = match demanded {
            Some(reason) => Err(Trap(reason.to_owned())),
            None => outcome,
        };
        match outcome {
            Ok(reply) => {
                self.threads[vm].vm = Some(code);
                self.take_up_calls();
                Some(reply)
            }
            Err(trap) => {
                code.kill();
                self.failures.push(Failure {
                    vm,
                    phase: callback.phase(),
                    trap,
                });
                self.bury(vm);
                None
            }
        }
    }

    /// Ends a VM as a trap does: its timers and calls are gone, its streams go on without it.
    fn bury(&mut self, vm: usize) {
        let now = {
            let mut proxy = self.proxy.borrow_mut();
            proxy.timers.retain(|(of, _), _| *of != vm);
            proxy.calls.retain(|call| call.vm != vm);
            proxy.roots.retain(|(of, _), _| *of != vm);
            proxy.clock
        };
        self.agenda.forget_calls(vm);
        let thread = &mut self.threads[vm];
        if let Some(code) = thread.vm.take() {
            code.kill();
        }
        thread.filter = None;
        thread.exchange = None;
        thread.retired.clear();
        thread.died = Some(now);
    }

    /// Kills a VM from outside, as a trap would.
    pub fn kill(&mut self, vm: usize) {
        self.bury(vm);
    }

    /// Whether a VM lives.
    pub fn lives(&self, vm: usize) -> bool {
        self.threads[vm].vm.is_some()
    }

    /// Whether a worker can serve a new stream; a dead one is reloaded when its backoff is over.
    pub(super) fn revive(&mut self, vm: usize) -> bool {
        if self.lives(vm) {
            return true;
        }
        let now = self.proxy.borrow().clock;
        let waited = self.threads[vm]
            .died
            .is_some_and(|died| now >= died + RELOAD_BACKOFF);
        // Nobody asks the main thread's VM for a stream, so nothing ever reloads it.
        if vm == MAIN || !waited {
            return false;
        }
        self.enter(vm, 0, Phase::Initialize);
        let Ok(code) = self.new_vm() else {
            return false;
        };
        self.threads[vm].vm = Some(code);
        let configuration = self.configuration.clone();
        match self.add_root(vm, FILTER, &configuration) {
            Some(root) => {
                self.threads[vm].filter = Some(root);
                true
            }
            None => false,
        }
    }

    /// Creates, starts and configures a root context. `None` when the module refuses or dies.
    pub(super) fn add_root(&mut self, vm: usize, root_id: &str, json: &[u8]) -> Option<u32> {
        let context = self.threads[vm].next_context;
        self.threads[vm].next_context += 1;
        let root = RootContext {
            root_id: root_id.to_owned(),
            configuration: json.to_vec(),
        };
        self.proxy.borrow_mut().roots.insert((vm, context), root);
        let created = Callback::ContextCreate {
            parent: 0,
            root_id: root_id.to_owned(),
        };
        self.run(vm, context, &created)?;
        let size = self.proxy.borrow().vm_configuration.len();
        let started = self
            .run(vm, context, &Callback::VmStart { size })?
            .accepted();
        let size = json.len();
        let accepted = started
            && self
                .run(vm, context, &Callback::Configure { size })?
                .accepted();
        if !accepted {
            self.remove_root(vm, context);
        }
        accepted.then_some(context)
    }

    fn remove_root(&mut self, vm: usize, context: u32) {
        {
            let mut proxy = self.proxy.borrow_mut();
            proxy.timers.remove(&(vm, context));
        }
        if self
            .run(vm, context, &Callback::Done)
            .is_some_and(Reply::accepted)
        {
            self.run(vm, context, &Callback::Delete);
        }
        self.proxy.borrow_mut().roots.remove(&(vm, context));
        self.resume_streams();
    }

    /// Tries a configuration on a VM that is thrown away, as Envoy does before every change.
    pub(super) fn canary(&mut self, root_id: &str, json: &[u8]) -> Result<bool, Trap> {
        if !self.profile().canary {
            return Ok(true);
        }
        let before = self.failures.len();
        let vm = self.add_thread()?;
        let accepted = self.add_root(vm, root_id, json).is_some();
        self.bury(vm);
        self.threads.pop();
        match self.failures.get(before) {
            Some(failure) => Err(failure.trap.clone()),
            None => Ok(accepted),
        }
    }

    /// Changes the filter's configuration as an ECDS push does. False: it was refused and the old one keeps serving.
    ///
    /// # Panics
    /// When the module traps on the canary.
    pub fn reconfigure(&mut self, json: &str) -> bool {
        match self.canary(FILTER, json.as_bytes()) {
            Ok(true) => {}
            Ok(false) => return false,
            Err(trap) => panic!("the module trapped on its configuration: {trap}"),
        }
        self.configuration = json.as_bytes().to_vec();
        for vm in 0..self.threads.len() {
            if !self.lives(vm) || self.threads[vm].filter.is_none() {
                continue;
            }
            if let Some(root) = self.add_root(vm, FILTER, json.as_bytes())
                && let Some(old) = self.threads[vm].filter.replace(root)
            {
                self.threads[vm].retired.push(old);
                self.retire(vm);
            }
        }
        true
    }

    /// Lets replaced root contexts go that have no stream any more.
    pub(super) fn retire(&mut self, vm: usize) {
        for root in std::mem::take(&mut self.threads[vm].retired) {
            let used = self
                .proxy
                .borrow()
                .streams
                .iter()
                .any(|((of, _), stream)| *of == vm && stream.root == root);
            if used {
                self.threads[vm].retired.push(root);
            } else {
                self.remove_root(vm, root);
            }
        }
    }

    /// Runs everything that is due within the next `ms` milliseconds of virtual time.
    pub fn run_ms(&mut self, ms: u64) {
        let until = self.proxy.borrow().clock + ms * MILLISECOND;
        while let Some(at) = self.next_due().filter(|at| *at <= until) {
            self.proxy.borrow_mut().clock = at;
            self.step(at);
        }
        self.proxy.borrow_mut().clock = until;
    }

    fn next_due(&self) -> Option<u64> {
        let proxy = self.proxy.borrow();
        let timer = proxy.timers.values().map(|timer| timer.next).min();
        [timer, self.agenda.first()].into_iter().flatten().min()
    }

    fn step(&mut self, now: u64) {
        let timer = self
            .proxy
            .borrow()
            .timers
            .iter()
            .filter(|(_, timer)| timer.next <= now)
            .min_by_key(|(_, timer)| timer.next)
            .map(|(key, timer)| (*key, timer.period_ms));
        if let Some(((vm, root), period_ms)) = timer {
            // Envoy arms the timer again after the tick; a period that the tick sets counts from then too.
            if let Some(timer) = self.proxy.borrow_mut().timers.get_mut(&(vm, root)) {
                timer.next = now + u64::from(period_ms) * MILLISECOND;
            }
            self.run(vm, root, &Callback::Tick);
            self.resume_streams();
            return;
        }
        match self.agenda.take() {
            Some(Event::CallAnswered { call, response }) => self.call_answered(&call, response),
            Some(Event::ResponseHeaders(id)) => self.response_headers(id, false),
            Some(Event::ResponseBody(id, bytes)) => self.response_body(id, &bytes, false),
            Some(Event::ResponseEnd(id)) => self.response_body(id, &[], true),
            Some(Event::ResponseBroken(id)) => self.response_broken(id),
            None => {}
        }
    }

    /// Sends the answers that the filter made for streams which were not in a callback of their own.
    fn answer_streams(&mut self) {
        let answered: Vec<StreamId> = {
            let proxy = self.proxy.borrow();
            let streams = proxy.streams.iter().filter(|(_, stream)| {
                stream.local.is_some() && stream.response.sent_headers.is_none()
            });
            let id = |(vm, context)| StreamId { vm, context };
            streams.map(|(key, _)| id(*key)).collect()
        };
        for id in answered {
            self.answered_locally(id);
        }
    }

    /// Carries out what `proxy_continue_stream` and `proxy_send_local_response` asked for outside of a stream's own callbacks.
    pub(super) fn resume_streams(&mut self) {
        self.answer_streams();
        let resumed: Vec<StreamId> = {
            let mut proxy = self.proxy.borrow_mut();
            proxy
                .streams
                .iter_mut()
                .filter_map(|((vm, context), stream)| {
                    std::mem::take(&mut stream.resume).then_some(StreamId {
                        vm: *vm,
                        context: *context,
                    })
                })
                .collect()
        };
        for id in resumed {
            self.resume(id);
        }
    }
}
