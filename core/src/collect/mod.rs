//! The collector, without its I/O: which host to ask when, what its answers mean, and the snapshot that comes of it.
//!
//! An adapter calls [`Collector::due`] on every tick, performs the tasks it is given, brings the answers to
//! [`Collector::on_discovered`] and [`Collector::on_polled`], and publishes what [`Collector::publish`] returns. Polls of different hosts
//! run at once, jittered so that they neither come in step nor fall on all hosts together.

mod discovery;
mod exchange;
mod listing;
#[cfg(test)]
mod tests;
mod watched;

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::config::Config;
use crate::fleet::Listed;
use crate::host::{Address, Polled, State};
use crate::rng::Rng;
use crate::scrape::{self, EngineFacts};
use crate::snapshot::{self, View};
use crate::time::{Instant, Micros};
pub use exchange::{Exchange, Heard};
use watched::Watched;

/// Something to ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// The proxy's host list.
    Discover,
    /// A host's metrics.
    Poll(Address),
    /// Whether a host is well.
    Check(Address),
    /// A small completion, so that a host is warm.
    Warm(Address),
    /// What another proxy's workers do.
    Exchange(Address),
}

/// Why a poll brought nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PollFailure {
    /// The host did not answer: refused, reset, timed out.
    Unreachable,
    /// It answered, but not with a metrics page. It serves, so it stays in.
    NoMetrics,
}

/// Pause between two small completions to one host, jittered by a quarter.
const WARM_PAUSE: Micros = Micros::from_millis(100);

/// The collector of one pool.
#[derive(Clone, Debug)]
pub struct Collector {
    config: Arc<Config>,
    rng: Rng,
    hosts: Vec<Watched>,
    /// When there was a first list: who is on a later one has joined.
    began: Option<Instant>,
    next_discovery: Instant,
    discovering_until: Option<Instant>,
    epoch: u64,
    writer: u64,
    published: Option<Instant>,
    /// A host has come, gone, or changed its state: to be told at once.
    changed: bool,
    /// An engine has reported: to be told with the others' reports, a few times in a poll interval.
    news: bool,
    /// When it was last asked what is due.
    looked: Instant,
    exchange: Exchange,
}

/// A time of `every` in the mean, a quarter more or less.
#[inline(never)]
fn jittered(rng: &mut Rng, every: Micros) -> Micros {
    let half = u32::try_from(every.get() / 2).unwrap_or(u32::MAX);
    Micros::new(every.get() - every.get() / 4 + u64::from(rng.below(half)))
}

impl Collector {
    /// A collector that knows the configured hosts; `seed` also names it as a writer.
    pub fn new(config: impl Into<Arc<Config>>, seed: u64) -> Self {
        let config = config.into();
        let mut collector = Self {
            rng: Rng::new(seed),
            hosts: Vec::new(),
            began: None,
            next_discovery: Instant::ZERO,
            discovering_until: None,
            epoch: 0,
            writer: seed.max(1),
            published: None,
            changed: true,
            news: false,
            looked: Instant::ZERO,
            exchange: Exchange::new(config.limits.hosts, seed),
            config: Arc::clone(&config),
        };
        collector.configure(config);
        collector
    }

    /// Takes over a new configuration; hosts that stay keep what is known of them.
    pub fn configure(&mut self, config: impl Into<Arc<Config>>) {
        let config = config.into();
        self.exchange.configure(&config.exchange);
        self.config = Arc::clone(&config);
        self.next_discovery = Instant::ZERO;
        if !config.hosts.is_empty() {
            self.begin_list();
            for host in &config.hosts {
                self.list(host.address, host.weight, State::Ready, Some(&host.models));
            }
            self.end_list();
        }
    }

    /// Who writes these snapshots.
    pub fn writer(&self) -> u64 {
        self.writer
    }

    /// Another proxy has answered with `body`, or has not.
    pub fn on_exchanged(&mut self, now: Instant, address: Address, body: Option<&[u8]>) -> Heard {
        let mut peers = self.config.exchange.peers.iter();
        let place = peers.position(|peer| *peer == address);
        self.exchange.on_answer(now, place, body)
    }

    /// The exchange with other proxies.
    pub fn exchange(&mut self) -> &mut Exchange {
        &mut self.exchange
    }

    /// Hosts watched.
    pub fn len(&self) -> usize {
        self.hosts.len()
    }

    /// Whether no host is watched.
    pub fn is_empty(&self) -> bool {
        self.hosts.is_empty()
    }

    /// Makes the next epoch larger than `epoch`: another writer's, whose place this collector takes.
    pub fn outrun(&mut self, epoch: u64) {
        self.epoch = self.epoch.max(epoch);
    }

    /// Takes over from the collector that wrote `snapshot`, so that a change of collectors changes no decision.
    pub fn resume(&mut self, snapshot: &View<'_>) {
        for record in snapshot.records() {
            let known = self.hosts.iter().any(|host| host.address == record.address);
            if !known && self.config.hosts.is_empty() {
                let state = match record.state {
                    State::Draining => State::Draining,
                    _ => State::Ready,
                };
                self.list(record.address, record.weight, state, None);
            }
            let mut hosts = self.hosts.iter_mut();
            if let Some(host) = hosts.find(|host| host.address == record.address) {
                host.resume(record.state, record.since, record.polled);
                if !host.configured_models {
                    host.models = record.models;
                }
            }
        }
        self.begin();
        self.outrun(snapshot.epoch());
    }

    /// Calls `ask` for everything that is due. An `ask` that returns false could not be sent and is tried again on the next tick.
    pub fn due(&mut self, now: Instant, mut ask: impl FnMut(Task, Micros) -> bool) {
        if now < self.looked {
            self.on_clock_set_back(now);
        }
        self.looked = now;
        let timeout = self.config.poll.timeout;
        // An answer that never came is a failure, and must not stop the next question.
        let overdue = timeout.times(2);
        if self.config.hosts.is_empty() {
            if self.discovering_until.is_some_and(|until| now >= until) {
                self.discovering_until = None;
            }
            if self.discovering_until.is_none()
                && now >= self.next_discovery
                && ask(Task::Discover, timeout)
            {
                self.discovering_until = Some(now + overdue);
                self.next_discovery = now + self.config.discovery.every;
            }
        }
        self.run_errands(now, &mut ask);
    }

    fn run_errands(&mut self, now: Instant, ask: &mut dyn FnMut(Task, Micros) -> bool) {
        let Self {
            config,
            rng,
            changed,
            hosts,
            exchange,
            ..
        } = self;
        let timeout = config.poll.timeout;
        let mut jittered = |every| jittered(rng, every);
        let checks = config.checks.every > Micros::ZERO;
        for host in hosts {
            let (address, before) = (host.address, host.shown());
            if host.poll.is_lost(now) && !checks {
                host.on_check(now, false, config);
            }
            if host.poll.is_due(now) && ask(Task::Poll(address), timeout) {
                host.poll.asked(now, timeout, jittered(config.poll.every));
            }
            if host.check.is_lost(now) {
                host.on_check(now, false, config);
            }
            if checks && host.check.is_due(now) && ask(Task::Check(address), timeout) {
                let every = jittered(config.checks.every);
                host.check.asked(now, timeout, every);
            }
            if host.warm.is_lost(now) {
                host.on_warmed(now);
            }
            let patience = config.warmup.timeout;
            if host.warm.is_due(now)
                && host.wants_warmth(now, config)
                && ask(Task::Warm(address), patience)
            {
                host.warm.asked(now, patience, jittered(WARM_PAUSE));
            }
            *changed |= host.shown() != before;
        }
        let peers = &config.exchange.peers;
        exchange.due(now, peers, timeout, jittered, |address| {
            ask(Task::Exchange(address), timeout)
        });
    }

    /// What was due at a time that is now far ahead would not be asked for until then, while old counters looked fresh.
    fn on_clock_set_back(&mut self, now: Instant) {
        self.next_discovery = Instant::ZERO;
        self.discovering_until = None;
        for host in &mut self.hosts {
            host.on_clock_set_back(now);
        }
    }

    /// A host has answered a poll, with a whole page, or has not. Returns whether metrics were read.
    pub fn on_polled(
        &mut self,
        now: Instant,
        address: Address,
        answer: Result<&[u8], PollFailure>,
    ) -> bool {
        let Some(at) = self.place(address) else {
            return false;
        };
        let mut facts = EngineFacts::default();
        let read = answer.map(|page| scrape::read(page, &mut facts));
        if let (Ok(found), Some(host)) = (&read, self.hosts.get_mut(at)) {
            host.head.on_whole(found);
        }
        self.on_read(now, at, read.map(|found| found.samples), &facts)
    }

    /// How many bytes of a host's next metrics page are worth reading before the whole; `None` when the whole is needed.
    pub fn head_of(&self, address: Address) -> Option<usize> {
        let host = self.hosts.get(self.place(address)?)?;
        host.polled.and_then(|_| host.head.bytes())
    }

    /// A host has answered a poll; `head` is the beginning of its page. False when that says too little, and [`Self::on_polled`] is to be
    /// called with the whole.
    pub fn on_polled_head(&mut self, now: Instant, address: Address, head: &[u8]) -> bool {
        let Some(at) = self.place(address) else {
            return false;
        };
        let Some(host) = self.hosts.get_mut(at) else {
            return false;
        };
        // What the beginning does not tell is as the last whole page said.
        let mut facts = EngineFacts {
            kv_capacity_tokens: host.polled.map_or(0, |polled| polled.kv_capacity_tokens),
            ..EngineFacts::default()
        };
        // The last line is cut anywhere, and half a figure is another one.
        let lines = head.iter().rposition(|byte| *byte == b'\n').unwrap_or(0);
        let found = scrape::read(head.get(..lines).unwrap_or_default(), &mut facts);
        host.head.on_beginning(&found) && self.on_read(now, at, Ok(found.samples), &facts)
    }

    fn place(&self, address: Address) -> Option<usize> {
        self.hosts.iter().position(|host| host.address == address)
    }

    /// `samples` of the page of the host at `at` told `facts`, or it did not answer.
    fn on_read(
        &mut self,
        now: Instant,
        at: usize,
        samples: Result<usize, PollFailure>,
        facts: &EngineFacts,
    ) -> bool {
        let Some(host) = self.hosts.get_mut(at) else {
            return false;
        };
        host.poll.answered();
        if self.config.checks.every == Micros::ZERO {
            let before = host.shown();
            let well = !matches!(samples, Err(PollFailure::Unreachable));
            host.on_check(now, well, &self.config);
            self.changed |= host.shown() != before;
        }
        let Ok(samples) = samples else { return false };
        self.news = true;
        if samples == 0 {
            return false;
        }
        self.changed |= host.polled.is_none();
        host.on_report(Polled {
            at: now,
            running: facts.running,
            waiting: facts.waiting,
            kv_used_q16: facts.kv_used_q16,
            kv_capacity_tokens: facts.kv_capacity_tokens,
            computed_tokens: facts.computed_tokens(),
        });
        if !host.configured_models
            && let Some(first) = host.models.first_mut()
        {
            *first = facts.model;
        }
        true
    }

    /// A host has answered a check, or has not; `well` says that it answered 200.
    pub fn on_checked(&mut self, now: Instant, address: Address, well: bool) {
        if let Some(host) = self.hosts.iter_mut().find(|host| host.address == address) {
            host.check.answered();
            let before = host.shown();
            host.on_check(now, well, &self.config);
            self.changed |= host.shown() != before;
        }
    }

    /// A host has answered a small completion, well or not.
    pub fn on_warmed(&mut self, now: Instant, address: Address) {
        if let Some(host) = self.hosts.iter_mut().find(|host| host.address == address) {
            host.warm.answered();
            let before = host.shown();
            host.on_warmed(now);
            self.changed |= host.shown() != before;
        }
    }

    /// Writes a snapshot into `out`: at once when a host has changed its state, four times in a poll interval when engines have reported,
    /// once in one when nothing has. Nothing is published before hosts are known.
    pub fn publish(&mut self, now: Instant, out: &mut Vec<u8>) -> bool {
        let every = self.config.poll.every.get();
        let age = match self.published {
            Some(at) if now >= at => now.since(at).get(),
            // Never published, or the clock was set back.
            _ => u64::MAX,
        };
        let due = self.changed || age >= every || (self.news && age >= every / 4);
        if !due || (self.hosts.is_empty() && self.published.is_none()) {
            return false;
        }
        self.news = false;
        self.changed = false;
        self.published = Some(now);
        // Readers look for another epoch, not for a larger one, so running over is harmless.
        self.epoch = self.epoch.wrapping_add(1);
        let listed = self.hosts.iter().map(|host| Listed {
            address: host.address,
            weight: host.weight,
            models: host.models,
            state: host.shown(),
            since: host.since(),
            polled: host.polled,
        });
        snapshot::write(out, self.epoch, now, self.writer, listed);
        true
    }
}
