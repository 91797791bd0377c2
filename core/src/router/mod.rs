//! The facade: everything an adapter calls, and nothing else.
//!
//! A [`Router`] belongs to one worker and one pool. An adapter brings it requests ([`Router::on_request`]), what it sees of responses
//! ([`Router::on_served`], [`Router::on_chunk`], [`Router::on_done`]), the state of the fleet ([`Router::apply_snapshot`]) and of the other workers
//! ([`Router::apply_share`]), and the passing of time ([`Router::on_tick`]). It answers with a [`Verdict`]. The same calls with the same
//! arguments give the same answers on every target.

mod admission;
mod bill;
mod book;
mod decide;
mod exchange;
mod guard;
mod lesson;
#[cfg(test)]
mod tests;
mod verdict;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use crate::admit::Admission;
use crate::config::Config;
use crate::cost::Costs;
pub use crate::explain::{Decision, Line, Step};
use crate::fleet::{Fleet, Listed};
use crate::health::{Events, stall};
use crate::host::{Address, Host, State};
use crate::inflight::Inflight;
pub use crate::inflight::Ticket;
use crate::observe::Seen;
use crate::policy::Classic;
use crate::prefix::{Homes, Index};
use crate::rng;
use crate::tenant::Directory;
use crate::time::{Instant, Micros};
pub use admission::Caller;
pub use bill::Bill;
use exchange::{Peer, Ring};
use guard::is_probe;
pub use verdict::{Outcome, PassReason, Reason, Verdict};

/// The router of one worker.
#[derive(Clone, Debug)]
pub struct Router {
    config: Arc<Config>,
    seed: u64,
    fleet: Fleet,
    index: Index,
    homes: Homes,
    costs: Costs,
    inflight: Inflight,
    classic: Classic,
    /// Memory of the policy that is only asked.
    shadow: Classic,
    scratch: Scratch,
    snapshot: Option<Applied>,
    mean_uncached: u64,
    relearn: bool,
    ring: Ring,
    peers: Vec<Peer>,
    peers_changed: bool,
    /// When the prefix index was last swept.
    swept: Instant,
    /// The last tick.
    ticked: Instant,
    /// What has happened to hosts' health.
    events: Events,
    /// Who waits and who is let through; absent without tiers.
    admission: Option<Box<Admission>>,
    directory: Directory,
}

/// The snapshot that was last applied.
#[derive(Clone, Copy, Debug)]
struct Applied {
    epoch: u64,
    writer: u64,
    stamp: Instant,
    /// When an engine last reported on itself.
    polled: Option<Instant>,
}

/// Working memory of a decision, allocated once.
#[derive(Clone, Debug)]
struct Scratch {
    eligible: Vec<u64>,
    matching: Vec<u64>,
    cached_bytes: Vec<u64>,
    scores: Vec<(usize, u64, u64)>,
}

/// Interval of the walks over the prefix index in which hosts' turnover takes effect.
const SWEEP_EVERY: Micros = Micros::from_millis(500);
/// The host of a flight that is served by a host unknown here.
const NOWHERE: u16 = u16::MAX;

impl Router {
    /// A router that knows the configured hosts. `seed` names this worker and starts its random sequence.
    pub fn new(config: impl Into<Arc<Config>>, seed: u64) -> Self {
        let config = config.into();
        let hosts = config.limits.hosts;
        let words = hosts.div_ceil(64);
        let mut router = Self {
            fleet: Fleet::new(hosts),
            index: Index::new(config.limits.prefix_blocks, hosts),
            homes: Homes::default(),
            costs: Costs::new(&config.priors),
            inflight: Inflight::new(config.limits.inflight),
            classic: Classic::new(seed, hosts),
            shadow: Classic::new(rng::mix(seed), hosts),
            scratch: Scratch {
                eligible: vec![0; words],
                matching: vec![0; words],
                cached_bytes: vec![0; hosts],
                scores: Vec::with_capacity(hosts),
            },
            snapshot: None,
            mean_uncached: 0,
            relearn: true,
            ring: Ring::new(),
            peers: Vec::new(),
            peers_changed: false,
            swept: Instant::ZERO,
            ticked: Instant::ZERO,
            events: Events::default(),
            admission: None,
            directory: Directory::default(),
            seed: seed.max(1),
            config: Arc::clone(&config),
        };
        router.configure(config);
        router
    }

    /// Takes over a new configuration. What is in flight and what has been learned stays; table sizes are fixed at the start of a worker.
    pub fn configure(&mut self, config: impl Into<Arc<Config>>) {
        let config = config.into();
        if !config.hosts.is_empty() {
            let (index, ring, peers) = (&mut self.index, &mut self.ring, &mut self.peers);
            let listed = config.hosts.iter().map(|host| Listed {
                address: host.address,
                weight: host.weight,
                models: crate::host::first_models(&host.models),
                state: State::Ready,
                since: Instant::ZERO,
                polled: None,
            });
            self.fleet.sync(listed, |reused| {
                index.forget(reused);
                exchange::forget(ring, peers, reused);
            });
        }
        self.config = config;
        self.fleet.obey(&self.config);
        self.configure_admission();
        self.fleet.relearn(&self.config.priors);
    }

    /// The configuration in force.
    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// Decides where `request` goes, and books it there.
    pub fn on_request(&mut self, now: Instant, request: &crate::request::Request<'_>) -> Verdict {
        decide::decide(self, now, request, None)
    }

    /// As [`Self::on_request`], and writes the [`crate::record`] of the decision into `record`, which is left empty when no host is known. The same
    /// is decided, recorded or not.
    pub fn on_request_recorded(
        &mut self,
        now: Instant,
        request: &crate::request::Request<'_>,
        record: &mut Vec<u8>,
    ) -> Verdict {
        record.clear();
        decide::decide(self, now, request, Some(record))
    }

    /// The response of `ticket` begins, and comes from `served`: books the request there if that was not the first choice, and remembers
    /// that the first choice failed, unless it has given signs of life since: then it was only slower than the proxy's patience. Returns
    /// whether it was booked anew.
    pub fn on_served(&mut self, now: Instant, ticket: Ticket, served: Address) -> bool {
        let served = self.fleet.find(&served);
        let Some(flight) = self.inflight.get_mut(ticket) else {
            return false;
        };
        let booked = usize::from(flight.host);
        if served == Some(booked) || (served.is_none() && flight.host == NOWHERE) {
            return false;
        }
        let mut moved = *flight;
        moved.host = served
            .and_then(|index| u16::try_from(index).ok())
            .unwrap_or(NOWHERE);
        // The time spent on the failed attempt says nothing of the host that answers.
        moved.teaches = false;
        moved.known_tokens = 0;
        moved.credited_tokens = 0;
        moved.probe = is_probe(&self.fleet, usize::from(moved.host));
        let before = core::mem::replace(flight, moved);
        self.unbook(now, &before);
        self.book(&moved);
        let alive = self
            .fleet
            .get(booked)
            .is_some_and(|host| host.health.alive > before.sent);
        if !alive {
            self.on_failure(now, &before);
        }
        true
    }

    /// A piece of the response has been read. Returns the time to first token when this is it.
    pub fn on_chunk(&mut self, now: Instant, ticket: Ticket, seen: Seen) -> Option<Micros> {
        let flight = self.inflight.get_mut(ticket)?;
        let mut ttft = None;
        if seen.tokens > 0 {
            let gap = now.since(flight.last_token);
            let first = flight.tokens == 0;
            flight.tokens = flight.tokens.saturating_add(seen.tokens);
            flight.last_token = now;
            if first {
                ttft = Some(now.since(flight.sent));
                // A stall that ends says nothing of the host's speed.
                let sick = is_probe(&self.fleet, usize::from(flight.host)) && !flight.probe;
                let teaches = flight.teaches && !flight.stalled && !sick;
                flight.lesson = ttft.filter(|_| teaches);
            }
            flight.stalled = false;
            let was_prefilling = core::mem::replace(&mut flight.prefilling, false);
            let before = *flight;
            flight.probe = false;
            let flight = before;
            if let Some(host) = self.fleet.get_mut(usize::from(flight.host)) {
                if was_prefilling {
                    host.end_prefill(now, flight.uncached_tokens);
                }
                if !first {
                    host.gap = (gap, now);
                    host.health.on_gap(gap);
                }
                host.health.alive = now;
                if flight.probe {
                    host.health.breaker.end_probe();
                    self.events.recovered += u64::from(host.health.on_probe(now, true));
                }
            }
        }
        // Some engines report usage with every event, and some the prompt's first: what counts is the last word.
        if let (Some(usage), Some(flight)) = (seen.usage, self.inflight.get_mut(ticket)) {
            flight.usage = Some(usage);
        }
        ttft
    }

    /// The request of `ticket` has ended, however it did: what it used. Calling it again does nothing.
    pub fn on_done(&mut self, now: Instant, ticket: Ticket, outcome: Outcome) -> Option<Bill> {
        let flight = self.inflight.end(ticket)?;
        let bill = bill::of(&flight, &self.fleet, now, outcome);
        self.unbook(now, &flight);
        self.settle(&flight, outcome, bill.gpu);
        let uncached = match flight.usage {
            Some(usage) => self.on_usage(&flight, usage, outcome),
            None => flight.prompt_tokens.saturating_sub(flight.known_tokens),
        };
        if !outcome.failed {
            self.learn(&flight, uncached);
        }
        let Some(host) = self.fleet.get_mut(usize::from(flight.host)) else {
            return Some(bill);
        };
        let waited = now.since(flight.last_token);
        if outcome.failed
            || (outcome.aborted && stall::gave_up(&flight, host, &self.config, waited))
        {
            self.on_failure(now, &flight);
        } else if !outcome.aborted && (200..500).contains(&outcome.status) {
            let settings = &self.config.health;
            let recovered = host.health.on_success(now, flight.probe, settings);
            self.events.recovered += u64::from(recovered);
            if outcome.status < 300 {
                host.speed.on_end(now.since(flight.sent));
            }
        }
        Some(bill)
    }

    /// Time passes: sums up what other workers said, lets go of prefills that must be over, works out speeds.
    pub fn on_tick(&mut self, now: Instant) {
        self.tick_admission(now);
        self.sum_peers(now);
        self.fleet.note_loads(now);
        self.watch(now);
        for flight in self.inflight.iter_mut().filter(|flight| flight.prefilling) {
            let Some(host) = self.fleet.get_mut(usize::from(flight.host)) else {
                continue;
            };
            // An answer that is not streamed shows no first token; its prefill is taken to be over in twice the predicted time.
            let limit = host.predict(flight.ahead()).times(2);
            if !flight.stream && now.since(flight.sent) > limit {
                flight.prefilling = false;
                host.end_prefill(now, flight.uncached_tokens);
            } else {
                host.head.meet(flight);
            }
        }
        for host in self.fleet.hosts_mut() {
            host.go_on(now);
        }
        if now < self.swept {
            self.on_clock_set_back(now);
        }
        if now.since(self.swept) >= SWEEP_EVERY {
            self.swept = now;
            self.index.sweep();
        }
        self.relearn |= self.fleet.fade(now);
        self.learn_pending(now);
        if self.relearn {
            self.relearn = false;
            self.fleet.relearn(&self.config.priors);
        }
    }

    /// Whether the model must be known before a host can be named: hosts differ in what they serve.
    pub fn needs_model(&self) -> bool {
        let mut models = self
            .listed_hosts()
            .filter_map(|host| host.models.first())
            .filter(|model| **model != 0);
        let first = models.next();
        first.is_some_and(|first| models.any(|model| model != first))
    }

    /// The hosts that are listed, with their indices.
    pub fn hosts(&self) -> impl Iterator<Item = (usize, &Host)> {
        self.fleet
            .hosts()
            .iter()
            .enumerate()
            .filter(|(_, host)| host.state != State::Gone)
    }

    fn listed_hosts(&self) -> impl Iterator<Item = &Host> {
        self.hosts().map(|(_, host)| host)
    }

    /// The address of the host at `index`, even if it is no longer listed.
    pub fn address(&self, index: usize) -> Option<Address> {
        self.fleet.get(index).map(|host| host.address)
    }

    /// The address of the host whose [`Address::key`] is `key`.
    pub fn address_of(&self, key: u64) -> Option<Address> {
        self.address(self.fleet.find_key(key)?)
    }

    /// How many hosts are listed.
    pub fn host_count(&self) -> usize {
        self.fleet.listed()
    }

    /// Requests of this worker in flight.
    pub fn in_flight(&self) -> usize {
        self.inflight.len()
    }

    /// Age of the last snapshot, if there has been one.
    pub fn snapshot_age(&self, now: Instant) -> Option<Micros> {
        self.snapshot.map(|snapshot| now.since(snapshot.stamp))
    }

    /// What did not fit into fixed tables: hosts ignored, requests untracked, prefix blocks evicted, blocks of other workers missed.
    pub fn overflows(&self) -> [u64; 4] {
        [
            self.fleet.ignored(),
            self.inflight.untracked(),
            self.index.evictions(),
            self.ring.missed(),
        ]
    }
}

/// Rendezvous key of a request that has no block to be known by.
const fn fallback_key(seed: u64) -> u64 {
    rng::mix(seed)
}
