//! Describing and starting a fleet.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::events::Agenda;
use super::thread::{COLLECTOR, EXCHANGE, FILTER};
use super::{Engine, Fleet, Runtime};
use crate::proxy::{Profile, Proxy};

/// Prepares the proxy before the module starts.
type Script = Box<dyn FnOnce(&mut Proxy)>;

/// A fleet that is being described.
pub struct Builder {
    runtime: Runtime,
    profile: Profile,
    workers: usize,
    engines: Vec<Engine>,
    filter: Option<String>,
    collector: Option<String>,
    without_singleton: bool,
    exchange: bool,
    script: Vec<Script>,
}

impl Builder {
    pub(super) fn new(runtime: Runtime) -> Self {
        Self {
            runtime,
            profile: Profile::ENVOY,
            workers: 1,
            engines: Vec::new(),
            filter: None,
            collector: None,
            without_singleton: false,
            exchange: false,
            script: Vec::new(),
        }
    }

    /// Kind of host.
    pub const fn profile(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }

    /// Number of workers.
    pub const fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// This many idle engines, `10.0.0.1:8000` and on.
    pub fn engines(mut self, count: usize) -> Self {
        self.engines = (1..=count)
            .map(|n| Engine::new(format!("10.0.{}.{}:8000", n / 250, n % 250)))
            .collect();
        self
    }

    /// Configuration of the filter and of the collector; by default they list the engines.
    pub fn configuration(mut self, json: &str) -> Self {
        self.filter = Some(json.to_owned());
        self.collector = Some(json.to_owned());
        self
    }

    /// Configuration of the collector alone.
    pub fn collector_configuration(mut self, json: &str) -> Self {
        self.collector = Some(json.to_owned());
        self
    }

    /// Leaves the collector service out.
    pub const fn without_collector(mut self) -> Self {
        self.without_singleton = true;
        self
    }

    /// Adds the listener that answers other proxies.
    pub const fn exchange(mut self) -> Self {
        self.exchange = true;
        self
    }

    /// Scripts the proxy before the module starts.
    pub fn script(mut self, script: impl FnOnce(&mut Proxy) + 'static) -> Self {
        self.script.push(Box::new(script));
        self
    }

    /// Configuration that lists the hosts, with further fields (`"field":value,…`).
    pub fn listing(engines: &[Engine], further: &str) -> String {
        let hosts: Vec<String> = engines
            .iter()
            .map(|engine| format!("\"{}\"", engine.address))
            .collect();
        let comma = if further.is_empty() { "" } else { "," };
        format!("{{\"hosts\":[{}]{comma}{further}}}", hosts.join(","))
    }

    /// Lists the engines in the configuration, with further fields.
    pub fn fields(self, further: &str) -> Self {
        let json = Self::listing(&self.engines, further);
        self.configuration(&json)
    }

    /// Starts it. `Err` tells why the proxy would not start: a trap, or a refused configuration.
    ///
    /// Order as in Envoy: the filter's configuration on a canary and on every thread, then the singleton service.
    pub fn start(self) -> Result<Fleet, String> {
        let listing = Self::listing(&self.engines, "");
        let filter = self.filter.unwrap_or_else(|| listing.clone());
        let collector = self.collector.unwrap_or(listing);
        let mut proxy = Proxy::new(self.profile);
        proxy.clusters = ["pool", "plimsoll_poll", "envoy_admin"]
            .map(str::to_owned)
            .into();
        for script in self.script {
            script(&mut proxy);
        }
        let mut fleet = Fleet {
            proxy: Rc::new(RefCell::new(proxy)),
            runtime: self.runtime,
            threads: Vec::new(),
            configuration: filter.clone().into_bytes(),
            engines: self.engines,
            agenda: Agenda::default(),
            over: BTreeMap::new(),
            opened: Vec::new(),
            serving: BTreeMap::new(),
            unseen: BTreeMap::new(),
            failures: Vec::new(),
            fallback: 0,
            peak_pages: 0,
            pages: BTreeMap::new(),
            fuel: BTreeMap::new(),
            admin: None,
            calls_made: BTreeMap::new(),
            peers: BTreeMap::new(),
        };
        let refused = |role: &str| format!("{role} refused its configuration");
        let text = |trap: crate::vm::Trap| trap.to_string();
        if !fleet.canary(FILTER, filter.as_bytes()).map_err(text)? {
            return Err(refused("the filter"));
        }
        let threads = self.workers + usize::from(self.profile.singleton);
        for _ in 0..threads {
            let vm = fleet.add_thread().map_err(text)?;
            let root = fleet.add_root(vm, FILTER, filter.as_bytes());
            fleet.threads[vm].filter = Some(root.ok_or_else(|| refused("the filter"))?);
            if self.exchange {
                let root = fleet.add_root(vm, EXCHANGE, filter.as_bytes());
                fleet.threads[vm].exchange = Some(root.ok_or_else(|| refused("the exchange"))?);
            }
        }
        if self.profile.singleton && !self.without_singleton {
            if !fleet
                .canary(COLLECTOR, collector.as_bytes())
                .map_err(text)?
            {
                return Err(refused("the collector"));
            }
            fleet
                .add_root(super::MAIN, COLLECTOR, collector.as_bytes())
                .ok_or_else(|| refused("the collector"))?;
        }
        Ok(fleet)
    }
}
