//! The filter role: one root for each worker and configuration.

use alloc::{rc::Rc, sync::Arc};

use plimsoll_core::{config::Config, time::Micros};

use crate::{
    clock,
    host::{Buffer, Host, Level},
    metrics::{Id, Metrics},
    registry::{Registry, SharedWorker},
    stream::Stream,
    worker::{Turn, Worker},
};

/// Largest configuration that is read.
const CONFIGURATION_BYTES: usize = 1 << 24;

/// Root of the filter role.
pub struct Root<H: Host> {
    host: Rc<H>,
    registry: Registry,
    worker: Option<SharedWorker>,
    tick: Option<Micros>,
}

impl<H: Host> Root<H> {
    /// A root in a VM of its own.
    pub fn new(host: H) -> Self {
        Self::with_registry(host, Registry::default())
    }

    /// A root in a VM that may have had others before it.
    pub fn with_registry(host: H, registry: Registry) -> Self {
        Self {
            host: Rc::new(host),
            registry,
            worker: None,
            tick: None,
        }
    }

    /// Reads the configuration; false when it is refused, and the one before stays in force.
    pub fn on_configure(&mut self) -> bool {
        let host = &*self.host;
        let metrics = Metrics::define(host);
        let Some(config) = read_configuration(host) else {
            metrics.add(host, Id::ConfigRejected, 1);
            return false;
        };
        metrics.add(host, Id::ConfigAccepted, 1);
        let tick = config.tick;
        let worker = match self.registry.find(&config.pool) {
            Some(worker) => {
                if let Ok(mut worker) = worker.try_borrow_mut() {
                    worker.configure(config);
                }
                worker
            }
            None => {
                let pool = config.pool.clone();
                let worker = Worker::new(config, metrics, host.random_seed(), clock(host));
                self.registry.insert(&pool, worker)
            }
        };
        if let Ok(mut worker) = worker.try_borrow_mut() {
            worker.catch_up(host);
            worker.count_root(self.worker.is_none());
        }
        self.worker = Some(worker);
        set_tick(host, self.tick.replace(tick), tick);
        true
    }

    /// A new HTTP stream.
    pub fn stream(&self, context: u32) -> Stream<H> {
        Stream::new(Rc::clone(&self.host), self.worker.clone(), context)
    }

    /// Takes over what the collector and the other workers say. [`Self::release`] follows, and then [`Self::tell`].
    pub fn on_tick(&mut self) {
        if let Some(Ok(mut worker)) = self.worker.as_ref().map(|worker| worker.try_borrow_mut()) {
            worker.on_tick(&*self.host);
        }
    }

    /// Tells the other workers what this one does.
    pub fn tell(&mut self) {
        if let Some(Ok(mut worker)) = self.worker.as_ref().map(|worker| worker.try_borrow_mut()) {
            worker.tell(&*self.host);
        }
    }

    /// Tells the streams whose requests need not wait any longer; `stream(context, turn)` runs [`Stream::on_release`] of one.
    pub fn release(&mut self, mut stream: impl FnMut(u32, Turn)) {
        let Some(worker) = &self.worker else { return };
        loop {
            let next = match worker.try_borrow_mut() {
                Ok(mut worker) => worker.next_turn(&*self.host),
                Err(_) => None,
            };
            let Some(turn) = next else { return };
            let _ = self.host.enter(turn.tag());
            stream(turn.tag(), turn);
            // A stream that is gone cannot have taken it.
            if let (Turn::Queue(release), Ok(mut worker)) = (turn, worker.try_borrow_mut()) {
                worker.leave(release.waiting);
            }
        }
    }

    /// The proxy is about to delete this root: takes back what it has published, which the proxy would keep for ever. [`Self::release`]
    /// then lets go whoever waits, if no other root of the pool is there to do it.
    pub fn on_done(&mut self) {
        if let Some(Ok(mut worker)) = self.worker.as_ref().map(|worker| worker.try_borrow_mut()) {
            worker.withdraw(&*self.host);
        }
    }

    /// Takes the answer to a call that this worker made while it held the lease.
    pub fn on_call_response(&mut self, token: u32, headers: usize, body_size: usize) {
        if let Some(Ok(mut worker)) = self.worker.as_ref().map(|worker| worker.try_borrow_mut()) {
            worker.on_call_response(&*self.host, token, headers, body_size);
        }
    }
}

/// Reads and checks the plugin's configuration; logs every error.
pub(crate) fn read_configuration<H: Host>(host: &H) -> Option<Arc<Config>> {
    // Hosts tell a plugin without configuration in different ways; none of them is an error.
    let json = host
        .buffer(Buffer::PluginConfiguration, 0, CONFIGURATION_BYTES)
        .unwrap_or_default();
    match Config::parse(&json) {
        Ok(config) => Some(Arc::new(config)),
        Err(errors) => {
            for message in errors.messages() {
                host.log(Level::Error, &["plimsoll: ", message].concat());
            }
            None
        }
    }
}

/// Asks for ticks, unless they come as asked already: some hosts take this call only once.
pub(crate) fn set_tick<H: Host>(host: &H, before: Option<Micros>, tick: Micros) {
    if before == Some(tick) {
        return;
    }
    let ms = u32::try_from(tick.get() / 1000).unwrap_or(u32::MAX);
    if let Err(status) = host.set_tick_ms(ms) {
        host.log(
            Level::Warn,
            &[
                "plimsoll: no ticks, so no exchange between workers: ",
                &status.text(),
            ]
            .concat(),
        );
    }
}
