//! A fleet: workers with the filter, a main thread with the collector, scripted engines, and virtual time.
//!
//! ```no_run
//! use plimsoll_host::scenario::{Fleet, Request, Runtime};
//!
//! let mut fleet = Fleet::builder(Runtime::Wasm).workers(2).engines(3).start().unwrap();
//! fleet.run_ms(500); // the collector polls, the workers read the snapshot
//! let chat = Request::chat(r#"{"model":"m","messages":[{"role":"user","content":"hello"}]}"#);
//! let stream = fleet.send(chat.worker(1));
//! fleet.run_ms(2_000);
//! assert_eq!(fleet.record(stream).status, Some(200));
//! fleet.check();
//! ```

mod builder;
mod engine;
mod events;
mod exchange;
mod flow;
mod record;
mod request;
mod response;
mod thread;
mod upstream;

use std::cell::{Ref, RefCell, RefMut};
use std::collections::BTreeMap;
use std::rc::Rc;

pub use self::builder::Builder;
pub use self::engine::{Engine, Scrape, Script};
pub use self::events::Event;
pub use self::exchange::Peer;
pub use self::record::Record;
pub use self::request::Request;
pub use self::thread::{Failure, Runtime};

use self::events::Agenda;
use self::thread::Thread;
use crate::proxy::{Profile, Proxy, Stream};

/// A stream of the scenario: VM and context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamId {
    /// VM that serves it.
    pub vm: usize,
    /// Context in that VM.
    pub context: u32,
}

/// Number of the main thread's VM.
pub const MAIN: usize = 0;

/// The proxy with its threads, and the engines behind it.
pub struct Fleet {
    proxy: Rc<RefCell<Proxy>>,
    runtime: Runtime,
    threads: Vec<Thread>,
    configuration: Vec<u8>,
    engines: Vec<Engine>,
    agenda: Agenda,
    /// Streams that are over.
    over: BTreeMap<StreamId, Stream>,
    /// Streams in the order in which they were opened.
    opened: Vec<StreamId>,
    /// What each open stream still expects from its engine.
    serving: BTreeMap<StreamId, upstream::Serving>,
    /// Request bytes that a host without body callbacks in paused headers keeps from the filter.
    unseen: BTreeMap<StreamId, flow::Unseen>,
    failures: Vec<Failure>,
    fallback: usize,
    peak_pages: u64,
    /// Linear memory of each VM after its last callback, in pages.
    pages: BTreeMap<usize, u64>,
    fuel: BTreeMap<crate::proxy::Phase, u64>,
    /// Body of the admin interface's answers, when it is scripted.
    admin: Option<Vec<u8>>,
    /// Calls made by each VM.
    calls_made: BTreeMap<usize, u64>,
    /// Other proxies by their address.
    peers: BTreeMap<String, Peer>,
}

impl Fleet {
    /// Starts to describe a fleet.
    pub fn builder(runtime: Runtime) -> Builder {
        Builder::new(runtime)
    }

    /// The emulated proxy.
    pub fn proxy(&self) -> Ref<'_, Proxy> {
        self.proxy.borrow()
    }

    /// The emulated proxy, to script.
    pub fn proxy_mut(&self) -> RefMut<'_, Proxy> {
        self.proxy.borrow_mut()
    }

    /// Engine by number, to script.
    pub fn engine(&mut self, number: usize) -> &mut Engine {
        &mut self.engines[number]
    }

    /// All engines.
    pub fn engines(&self) -> &[Engine] {
        &self.engines
    }

    /// Traps so far.
    pub fn failures(&self) -> &[Failure] {
        &self.failures
    }

    /// Largest linear memory of any VM after any callback, in pages of 64 KiB.
    pub const fn peak_pages(&self) -> u64 {
        self.peak_pages
    }

    /// Linear memory of each VM after its last callback, in pages of 64 KiB.
    pub const fn pages(&self) -> &BTreeMap<usize, u64> {
        &self.pages
    }

    /// Most instructions that one callback of a phase executed.
    pub fn peak_fuel(&self, phase: crate::proxy::Phase) -> u64 {
        self.fuel.get(&phase).copied().unwrap_or(0)
    }

    /// Forgets the peaks of fuel, so that a scenario can leave its warm-up out.
    pub fn reset_fuel(&mut self) {
        self.fuel.clear();
    }

    /// Scripts what the proxy's admin interface answers; `None` for the truth.
    pub fn set_admin(&mut self, body: Option<Vec<u8>>) {
        self.admin = body;
    }

    /// HTTP calls that a VM made.
    pub fn calls_made(&self, vm: usize) -> u64 {
        self.calls_made.get(&vm).copied().unwrap_or(0)
    }

    /// Kind of host.
    pub fn profile(&self) -> Profile {
        self.proxy.borrow().profile
    }

    /// Fails the test when the module trapped, or did what would hang or mislead a real proxy.
    ///
    /// # Panics
    /// In those cases.
    pub fn check(&self) {
        assert!(self.failures.is_empty(), "traps: {:?}", self.failures);
        let proxy = self.proxy.borrow();
        assert!(proxy.breaches.is_empty(), "breaches: {:?}", proxy.breaches);
        assert_eq!(proxy.metrics.underflows(), 0, "a gauge went below zero");
    }
}
