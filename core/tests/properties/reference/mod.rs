//! The reference scheduler: what the router decides, said as plainly as it can be.
//!
//! Nothing here is fast, fixed in size or kept up to date: loads are summed up from the requests in flight, holders are sets, ranking is
//! a sort. Arithmetic is wide and does not saturate, so a sequence that leaves the range of 64 bits fails loudly. Hosts are known by
//! address, never by index.

pub(crate) mod arithmetic;
mod classic;
mod decide;
mod exchange;
mod head;
mod health;
mod homes;
mod learn;
mod prefix;
mod tick;

use std::collections::BTreeMap;

use plimsoll_core::config::Config;
use plimsoll_core::fleet::Listed;
use plimsoll_core::host::{Address, Load, Polled, State};
use plimsoll_core::learn::Sums;
use plimsoll_core::observe::{Seen, Usage};
use plimsoll_core::router::Outcome;
use plimsoll_core::time::{Instant, Micros};

use arithmetic::towards;
pub(crate) use decide::{Answer, Plan};
use health::Health;
use homes::Homes;
use learn::Costs;
use prefix::Blocks;

/// A share or a worker's last word is believed this long.
const SHARE_LIFE: u64 = 1_000_000;

#[derive(Clone, Debug)]
pub(crate) struct Host {
    key: u64,
    weight: u64,
    models: Vec<u64>,
    state: State,
    polled: Option<Polled>,
    /// Ours and the other workers', as the last poll held them.
    at_poll: Load,
    /// When that was.
    polled_at: Instant,
    /// Ours and the other workers', at the last sixteen ticks.
    past: Vec<(Instant, Load)>,
    /// Of our first prefill there, the tokens that must be computed; and when one of ours last ended.
    done: u64,
    ended: Instant,
    peers: Load,
    own_sums: Sums,
    /// What requests that have not ended say so far.
    pending: Sums,
    peer_sums: Sums,
    per_token: u64,
    /// By requests that have ended.
    settled: u64,
    slow_samples: u8,
    octave: u32,
    e2e: u64,
    health: Health,
    drained: bool,
    gap: (Micros, Instant),
    turnover: u64,
}

#[derive(Clone, Debug)]
struct Flight {
    host: Option<Address>,
    stream: bool,
    prefilling: bool,
    sent: Instant,
    last_token: Instant,
    probe: bool,
    stalled: bool,
    tokens: u32,
    prompt_bytes: u64,
    prompt_tokens: u64,
    known: u64,
    credited: u64,
    uncached: u64,
    queued: u64,
    lesson: Option<u64>,
    teaches: bool,
    usage: Option<Usage>,
    kv_tokens: u64,
    class: (u64, u64),
}

/// What another worker said last.
#[derive(Clone, Debug)]
struct Peer {
    owner: u64,
    stamp: Instant,
    next: u64,
    parts: Vec<(Option<Address>, Load, Sums)>,
}

/// A share as its writer meant it.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    pub(crate) owner: u64,
    pub(crate) stamp: Instant,
    pub(crate) next: u64,
    pub(crate) parts: Vec<plimsoll_core::share::Part>,
    pub(crate) blocks: Vec<plimsoll_core::share::SharedBlock>,
}

#[derive(Clone, Copy, Debug)]
struct Applied {
    epoch: u64,
    writer: u64,
    stamp: Instant,
    /// When an engine last reported.
    polled: Option<Instant>,
}

pub(crate) struct Reference {
    config: Config,
    seed: u64,
    hosts: BTreeMap<Address, Host>,
    /// Hosts in the order in which they became known.
    order: Vec<Address>,
    classic: classic::Classic,
    flights: BTreeMap<u64, Flight>,
    peers: BTreeMap<usize, Peer>,
    blocks: Blocks,
    homes: Homes,
    costs: Costs,
    snapshot: Option<Applied>,
    mean_uncached: u64,
    /// Mean requests by our books and by the engines' counters, Q16.
    crowd: (u64, u64),
    /// Mean time of a token over the fleet, Q16.
    fleet_rate: u64,
    faded: Instant,
    swept: Instant,
    ticked: Instant,
}

impl Reference {
    pub(crate) fn new(config: Config, seed: u64) -> Self {
        let mut reference = Self {
            seed,
            hosts: BTreeMap::new(),
            order: Vec::new(),
            classic: classic::Classic::new(seed),
            flights: BTreeMap::new(),
            peers: BTreeMap::new(),
            blocks: Blocks::default(),
            homes: Homes::default(),
            costs: Costs::new(&config.priors),
            snapshot: None,
            mean_uncached: 0,
            crowd: (0, 0),
            fleet_rate: 0,
            faded: Instant::ZERO,
            swept: Instant::ZERO,
            ticked: Instant::ZERO,
            config: Config::default(),
        };
        reference.configure(config);
        reference
    }

    pub(crate) fn configure(&mut self, config: Config) {
        if !config.hosts.is_empty() {
            let list: Vec<Listed> = config
                .hosts
                .iter()
                .map(|host| Listed {
                    address: host.address,
                    weight: host.weight,
                    models: plimsoll_core::host::first_models(&host.models),
                    state: State::Ready,
                    since: Instant::ZERO,
                    polled: None,
                })
                .collect();
            self.list(&list);
        }
        self.config = config;
        self.obey();
        self.relearn();
    }

    fn obey(&mut self) {
        for (address, host) in &mut self.hosts {
            host.drained = self.config.draining.contains(address);
        }
        self.keep_cap();
    }

    /// Returns whether there are hosts that were not known before.
    fn list(&mut self, list: &[Listed]) -> bool {
        let ours = arithmetic::ONE - self.foreign();
        for host in self.hosts.values_mut() {
            host.state = State::Gone;
        }
        let before = self.hosts.len();
        for listed in list {
            if !self.order.contains(&listed.address) {
                self.order.push(listed.address);
            }
            let host = self.hosts.entry(listed.address).or_insert_with(|| Host {
                key: listed.address.key(),
                weight: 1,
                models: Vec::new(),
                state: State::Ready,
                polled: None,
                at_poll: Load::default(),
                polled_at: Instant::ZERO,
                past: Vec::new(),
                done: 0,
                ended: Instant::ZERO,
                peers: Load::default(),
                own_sums: Sums::default(),
                pending: Sums::default(),
                peer_sums: Sums::default(),
                per_token: 0,
                settled: 0,
                slow_samples: 0,
                octave: 0,
                e2e: 0,
                health: Health::default(),
                drained: false,
                gap: (Micros::ZERO, Instant::ZERO),
                turnover: 0,
            });
            host.weight = u64::from(listed.weight.max(1));
            host.models = listed.models.to_vec();
            host.state = listed.state;
            host.health.joins(listed.since);
            if let Some(polled) = listed.polled {
                let before = host.polled.map_or(0, |polled| polled.computed_tokens);
                let after = polled.computed_tokens;
                if before > 0 && after > 0 {
                    // Counting from zero again: it was restarted, and its cache is empty.
                    let new = if after < before {
                        u64::MAX
                    } else {
                        arithmetic::times(after - before, ours)
                    };
                    host.turnover = host.turnover.saturating_add(new);
                }
                host.polled = Some(polled);
            }
        }
        self.hosts.len() > before
    }

    /// Our load on a host: the sum of what is in flight there.
    fn own(&self, address: Address) -> Load {
        let mut load = Load::default();
        for flight in self.flights.values().filter(|f| f.host == Some(address)) {
            load.requests += 1;
            load.kv_tokens += flight.kv_tokens;
            if flight.prefilling {
                load.prefilling += 1;
                load.queued_tokens += flight.uncached;
            }
        }
        load
    }

    /// Share of the fleet's requests that are not ours; a sixteenth is noise. As long as nothing is known all are.
    fn foreign(&self) -> u64 {
        let share = match self.crowd {
            (0, 0) => arithmetic::ONE,
            (ours, all) if all > ours => arithmetic::ratio(all - ours, all),
            _ => 0,
        };
        share.saturating_sub(arithmetic::ONE / 16)
    }

    /// Requests of other proxies there.
    fn others(&self, address: Address) -> u64 {
        let host = &self.hosts[&address];
        host.polled.map_or(0, |polled| {
            let there = u64::from(polled.running) + u64::from(polled.waiting);
            there.saturating_sub(u64::from(host.at_poll.requests))
        })
    }

    pub(crate) fn on_served(&mut self, now: Instant, id: u64, served: Address) {
        let known = self.hosts.contains_key(&served).then_some(served);
        let Some(flight) = self.flights.get_mut(&id) else {
            return;
        };
        if flight.host == known {
            return;
        }
        let (failed, probe, sent) = (flight.host, flight.probe, flight.sent);
        if flight.prefilling {
            self.ends(now, failed);
        }
        let flight = self.flights.get_mut(&id).unwrap();
        flight.host = known;
        flight.probe = known.is_some_and(|served| self.hosts[&served].health.is_open());
        flight.teaches = false;
        flight.known = 0;
        flight.credited = 0;
        if let Some(address) = failed
            && self.hosts[&address].health.alive() <= sent
        {
            self.on_failure(now, address, probe);
        }
    }

    pub(crate) fn on_chunk(&mut self, now: Instant, id: u64, seen: Seen) {
        let Some(flight) = self.flights.get_mut(&id) else {
            return;
        };
        if seen.tokens > 0 {
            let gap = now.since(flight.last_token);
            let first = flight.tokens == 0;
            flight.tokens += seen.tokens;
            flight.last_token = now;
            let prefilled = std::mem::take(&mut flight.prefilling);
            if first {
                let open = |host: Address| self.hosts[&host].health.is_open();
                let sick = flight.host.is_some_and(open) && !flight.probe;
                let teaches = flight.teaches && !flight.stalled && !sick;
                flight.lesson = teaches.then(|| now.since(flight.sent).get());
            }
            flight.stalled = false;
            let probe = std::mem::take(&mut flight.probe);
            if let Some(host) = flight.host.and_then(|host| self.hosts.get_mut(&host)) {
                if prefilled {
                    (host.ended, host.done) = (now, 0);
                }
                if !first {
                    host.gap = (gap, now);
                }
                host.health.on_token(now, (!first).then_some(gap));
                if probe {
                    host.health.recovers(now);
                }
            }
        }
        flight.usage = seen.usage.or(flight.usage);
    }

    pub(crate) fn on_done(&mut self, now: Instant, id: u64, outcome: Outcome) {
        let Some(flight) = self.flights.remove(&id) else {
            return;
        };
        if flight.prefilling {
            self.ends(now, flight.host);
        }
        let mut uncached = flight.prompt_tokens.saturating_sub(flight.known);
        if let Some(usage) = flight.usage {
            let prompt = u64::from(usage.prompt_tokens);
            let completion = u64::from(usage.completion_tokens);
            if !outcome.aborted && !outcome.failed {
                self.costs
                    .on_usage(flight.class, flight.prompt_bytes, prompt, completion);
            }
            let cached = usage.cached_tokens.map(u64::from);
            if let Some(cached) = cached {
                let beyond = cached.saturating_sub(flight.known);
                self.homes
                    .on_confirmed(flight.prompt_tokens, flight.credited, beyond);
            }
            uncached = prompt.saturating_sub(cached.unwrap_or(flight.known));
        }
        if !outcome.failed {
            self.learn(&flight, uncached);
        }
        let Some(address) = flight.host else { return };
        let patience = Micros::new(self.config.health.stall.get() / 4);
        let limit = self.limit(&flight, &self.hosts[&address], patience);
        let gave_up = outcome.aborted && now.since(flight.last_token) > limit;
        if outcome.failed || gave_up {
            self.on_failure(now, address, flight.probe);
        } else if !outcome.aborted && (200..500).contains(&outcome.status) {
            let host = self.hosts.get_mut(&address).unwrap();
            host.health.on_success(now, flight.probe);
            if outcome.status < 300 {
                let time = now.since(flight.sent).get();
                host.e2e = if host.e2e == 0 {
                    time
                } else {
                    towards(host.e2e, time, 5)
                };
            }
        }
    }
}

fn seconds(now: Instant) -> u64 {
    now.as_micros() / 1_000_000
}
