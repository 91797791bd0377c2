//! The event loop.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use plimsoll_core::admit::{Release, Shed, Waiting};
use plimsoll_core::config::Config;
use plimsoll_core::fleet::Listed;
use plimsoll_core::host::{self, Address, State};
use plimsoll_core::observe::{Seen, Usage};
use plimsoll_core::request::{Kind, Request};
use plimsoll_core::router::{self, Caller, Router, Ticket, Verdict};
use plimsoll_core::snapshot;
use plimsoll_core::tenant::Claims;
use plimsoll_core::time::Instant;

use super::scenario::{Scenario, TENANTS};
use crate::engine::{Engine, Job, Token, chain};
use crate::fleet::{Prepared, prepare};
use crate::random::Random;

const POLL_MICROS: u64 = 200_000;
/// A client gives up after this many tries.
const TRIES: u32 = 5;

/// What became of one request, times in microseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcome {
    /// Place of its tenant.
    pub tenant: usize,
    /// When it was first sent.
    pub asked: u64,
    /// When it was sent last.
    pub last_asked: u64,
    /// Times that it was sent.
    pub tries: u32,
    /// Longest that it waited in the filter in one try.
    pub waited: u64,
    /// Status of the last answer: 200, or why it was not served.
    pub status: u16,
    /// When it was let through.
    pub sent: Option<u64>,
    /// When its first token came.
    pub first_token: Option<u64>,
    /// When its last token came.
    pub end: Option<u64>,
    /// What serving it takes: its prompt tokens, and its output tokens twice.
    pub cost: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    StepEnd(usize),
    Poll,
    Tick(usize),
    Arrival(usize),
}

/// Runs `scenario` through `workers` routers of one proxy, configured as `config` says but for the hosts.
#[must_use]
pub fn run(scenario: &Scenario, config: &Config, workers: usize, seed: u64) -> Vec<Outcome> {
    let requests = prepare(&scenario.rows, scenario.block_tokens);
    let mut world = World::new(scenario, &requests, config, workers, seed);
    while world.left > 0 {
        let Some(Reverse((now, event))) = world.events.pop() else {
            break;
        };
        match event {
            Event::StepEnd(host) => world.step_end(now, host),
            Event::Poll => world.poll(now),
            Event::Tick(worker) => world.tick(now, worker),
            Event::Arrival(position) => world.arrival(now, position),
        }
    }
    world.outcomes
}

struct World<'a> {
    requests: &'a [Prepared],
    engines: Vec<Engine>,
    routers: Vec<Router>,
    /// Which router has each request, and under which ticket.
    tickets: HashMap<usize, (usize, Ticket)>,
    waiting: HashMap<usize, (usize, Waiting, u64)>,
    /// What each worker told the others last: its work, and its tenants.
    said: Vec<(Vec<u8>, Vec<u8>)>,
    outcomes: Vec<Outcome>,
    events: BinaryHeap<Reverse<(u64, Event)>>,
    left: usize,
    random: Random,
    seed: u64,
    epoch: u64,
}

fn address(host: usize) -> Address {
    let [.., high, low] = (host as u32).to_be_bytes();
    let ip = std::net::Ipv4Addr::new(10, 0, high, low);
    Address::new(ip.into(), 8000)
}

impl<'a> World<'a> {
    fn new(
        scenario: &Scenario,
        requests: &'a [Prepared],
        config: &Config,
        workers: usize,
        seed: u64,
    ) -> Self {
        let outcomes = scenario.rows.iter().map(|row| Outcome {
            tenant: row.tenant as usize,
            asked: row.at_micros,
            cost: u64::from(row.input_tokens()) + 2 * u64::from(row.output_tokens),
            ..Outcome::default()
        });
        let routers =
            (0..workers).map(|worker| Router::new(config.clone(), chain(seed, worker as u64)));
        let mut world = Self {
            requests,
            engines: scenario
                .fleet
                .iter()
                .map(|&gpu| Engine::new(gpu, scenario.block_tokens))
                .collect(),
            routers: routers.collect(),
            tickets: HashMap::new(),
            waiting: HashMap::new(),
            said: vec![(Vec::new(), Vec::new()); workers],
            outcomes: outcomes.collect(),
            events: BinaryHeap::new(),
            left: requests.len(),
            random: Random::new(seed),
            seed,
            epoch: 0,
        };
        world.poll(0);
        // Each worker of a proxy has a timer of its own.
        for worker in 0..workers {
            let first = config.tick.get() * worker as u64 / workers as u64;
            world.events.push(Reverse((first, Event::Tick(worker))));
        }
        for (position, request) in requests.iter().enumerate() {
            let event = Event::Arrival(position);
            world.events.push(Reverse((request.at_micros, event)));
        }
        world
    }

    fn poll(&mut self, now: u64) {
        let at = Instant::from_micros(now);
        self.epoch += 1;
        let listed: Vec<Listed> = self
            .engines
            .iter()
            .enumerate()
            .map(|(host, engine)| Listed {
                address: address(host),
                weight: 1,
                models: [0; host::MODELS],
                state: State::Ready,
                since: Instant::ZERO,
                polled: Some(host::Polled {
                    at,
                    running: engine.running() as u32,
                    waiting: engine.waiting() as u32,
                    kv_used_q16: (65_536 * engine.used_blocks() / engine.block_count().max(1))
                        as u32,
                    kv_capacity_tokens: engine.block_count() as u64
                        * u64::from(engine.block_tokens()),
                    computed_tokens: engine.totals().computed_tokens
                        + engine.totals().output_tokens,
                }),
            })
            .collect();
        let mut bytes = Vec::new();
        snapshot::write(&mut bytes, self.epoch, at, self.seed, listed.into_iter());
        for router in &mut self.routers {
            let applied = router.apply_snapshot(at, &bytes);
            debug_assert!(applied.is_ok());
        }
        self.events.push(Reverse((now + POLL_MICROS, Event::Poll)));
    }

    fn tick(&mut self, now: u64, worker: usize) {
        let at = Instant::from_micros(now);
        let others = self.said.iter().enumerate();
        for (slot, (share, tenants)) in others.filter(|(slot, _)| *slot != worker) {
            self.routers[worker].apply_share(at, slot, share);
            self.routers[worker].apply_tenants(at, slot, tenants);
        }
        self.routers[worker].on_tick(at);
        while let Some(release) = self.routers[worker].next_release(at) {
            self.release(now, worker, release);
        }
        let (share, tenants) = &mut self.said[worker];
        self.routers[worker].write_share(at, share);
        self.routers[worker].write_tenants(at, tenants);
        let next = Event::Tick(worker);
        self.events.push(Reverse((
            now + self.routers[worker].config().tick.get(),
            next,
        )));
    }

    fn release(&mut self, now: u64, worker: usize, release: Release) {
        let at = Instant::from_micros(now);
        let position = release.tag as usize;
        let (.., since) = self
            .waiting
            .remove(&position)
            .unwrap_or((worker, release.waiting, now));
        let outcome = &mut self.outcomes[position];
        outcome.waited = outcome.waited.max(now - since);
        if let Some(shed) = release.shed {
            return self.refused(now, position, shed);
        }
        let request = self.request(position);
        let verdict = self.routers[worker].on_release(at, release.waiting, &request, None);
        self.act(now, position, worker, verdict);
    }

    fn request(&self, position: usize) -> Request<'a> {
        let request = &self.requests[position];
        Request {
            kind: Kind::Chat,
            tenant: request.tenant + 1,
            prompt_bytes: request.prompt_bytes,
            blocks: &request.blocks,
            blocks_complete: request.blocks_complete,
            stream: true,
            seed: chain(
                chain(self.seed, request.id),
                u64::from(self.outcomes[position].tries),
            ),
            ..Request::default()
        }
    }

    fn arrival(&mut self, now: u64, position: usize) {
        let worker = self.random.below(self.routers.len() as u64) as usize;
        let outcome = &mut self.outcomes[position];
        outcome.tries += 1;
        outcome.last_asked = now;
        let tenant = outcome.tenant;
        let request = self.request(position);
        let router = &mut self.routers[worker];
        let at = Instant::from_micros(now);
        let claims = Claims {
            proxy: Some(TENANTS[tenant].name.as_bytes()),
            ..Claims::default()
        };
        let verdict = match router.identifies().then(|| router.identify(&claims)) {
            None => router.on_request(at, &request),
            Some(Err(denied)) => unreachable!("{denied:?}: the scenario's tenants are configured"),
            Some(Ok(member)) => {
                let caller = Caller {
                    member,
                    slo: None,
                    tag: position as u32,
                };
                router.on_arrival(at, &request, &caller, None)
            }
        };
        self.act(now, position, worker, verdict);
    }

    fn act(&mut self, now: u64, position: usize, worker: usize, verdict: Verdict) {
        match verdict {
            Verdict::Forward(decision) => {
                let host = decision.ranked.first().unwrap_or_default();
                self.tickets.insert(position, (worker, decision.ticket));
                self.outcomes[position].sent = Some(now);
                let request = &self.requests[position];
                let job = Job {
                    id: request.id,
                    prompt: request.prompt.clone(),
                    output_tokens: request.output_tokens,
                };
                if self.engines[host].submit(job).is_err() {
                    self.outcomes[position].status = 400;
                    self.left -= 1;
                    return;
                }
                if !self.engines[host].stepping() {
                    self.begin_step(now, host);
                }
            }
            Verdict::Queue(waiting) => {
                self.waiting.insert(position, (worker, waiting, now));
            }
            Verdict::Shed(shed) => self.refused(now, position, shed),
            Verdict::Pass(_) | Verdict::Reject(_) => {
                self.outcomes[position].status = 503;
                self.left -= 1;
            }
        }
    }

    /// A client that is told when to come back does.
    fn refused(&mut self, now: u64, position: usize, shed: Shed) {
        let outcome = &mut self.outcomes[position];
        outcome.status = shed.reason.status();
        if shed.retry_after == 0 || outcome.tries >= TRIES {
            self.left -= 1;
            return;
        }
        // Clients and networks are not punctual to the millisecond.
        let late = self.random.below(200_000);
        let again = now + u64::from(shed.retry_after) * 1_000_000 + late;
        self.events.push(Reverse((again, Event::Arrival(position))));
    }

    fn begin_step(&mut self, now: u64, host: usize) {
        if let Some(micros) = self.engines[host].begin_step() {
            self.events
                .push(Reverse((now + micros, Event::StepEnd(host))));
        }
    }

    fn step_end(&mut self, now: u64, host: usize) {
        let mut tokens: Vec<Token> = Vec::new();
        self.engines[host].finish_step(&mut tokens);
        let at = Instant::from_micros(now);
        for token in &tokens {
            let position = token.id as usize;
            let outcome = &mut self.outcomes[position];
            if token.ordinal == 1 {
                outcome.first_token = Some(now);
            }
            if token.last {
                outcome.end = Some(now);
                outcome.status = 200;
                self.left -= 1;
            }
            let Some(&(worker, ticket)) = self.tickets.get(&position) else {
                continue;
            };
            let usage = token.last.then_some(Usage {
                prompt_tokens: self.requests[position].prompt.tokens,
                completion_tokens: token.ordinal,
                cached_tokens: Some(token.cached_tokens),
            });
            let seen = Seen {
                tokens: 1,
                usage,
                done: token.last,
            };
            let router = &mut self.routers[worker];
            router.on_chunk(at, ticket, seen);
            if token.last {
                self.tickets.remove(&position);
                let outcome = router::Outcome {
                    status: 200,
                    ..router::Outcome::default()
                };
                router.on_done(at, ticket, outcome);
            }
        }
        self.begin_step(now, host);
    }
}
