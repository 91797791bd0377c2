//! The collector role: one VM of the proxy that polls for all workers.

use alloc::rc::Rc;

use plimsoll_core::time::Micros;

use crate::{
    clock,
    collecting::Collecting,
    host::Host,
    metrics::{Id, Metrics},
    names::Keys,
    root,
};

/// Root of the collector role.
pub struct CollectorRoot<H: Host> {
    host: Rc<H>,
    state: Option<State>,
}

struct State {
    collecting: Collecting,
    metrics: Metrics,
    keys: Keys,
    tick: Micros,
}

impl<H: Host> CollectorRoot<H> {
    /// A collector that waits for its configuration.
    pub fn new(host: H) -> Self {
        Self {
            host: Rc::new(host),
            state: None,
        }
    }

    /// Reads the configuration; false when it is refused, and the one before stays in force.
    pub fn on_configure(&mut self) -> bool {
        let host = &*self.host;
        let metrics = Metrics::define(host);
        let Some(config) = root::read_configuration(host) else {
            metrics.add(host, Id::ConfigRejected, 1);
            return false;
        };
        metrics.add(host, Id::ConfigAccepted, 1);
        let (keys, tick) = (Keys::new(&config.pool), config.tick);
        root::set_tick(host, self.state.as_ref().map(|state| state.tick), tick);
        let collecting = match self.state.take() {
            Some(mut state) => {
                state.collecting.configure(config);
                state.collecting
            }
            None => Collecting::new(config, host.random_seed().max(1)),
        };
        self.state = Some(State {
            collecting,
            metrics,
            keys,
            tick,
        });
        true
    }

    /// Polls what is due and publishes what is new.
    pub fn on_tick(&mut self) {
        let host = &*self.host;
        if let Some(state) = &mut self.state {
            state
                .collecting
                .tick(host, &state.metrics, &mut state.keys, clock(host));
        }
    }

    /// Takes the answer to a call.
    pub fn on_call_response(&mut self, token: u32, headers: usize, body_size: usize) {
        let host = &*self.host;
        #[cfg(feature = "test-hooks")]
        crate::hooks::on_call_response(host, body_size);
        if let Some(state) = &mut self.state {
            state
                .collecting
                .answer(host, &state.metrics, clock(host), token, headers, body_size);
        }
    }
}
