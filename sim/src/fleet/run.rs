//! The event loop.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use plimsoll_core::share::WORKERS;

use super::event::{Change, Faults};
use super::exchange::Inbox;
use super::polls::Polls;
use super::prepare::Prepared;
use super::result::{Record, Result};
use crate::engine::{Engine, Gpu, Job, Token, chain};
use crate::policy::{Policy, Polled, Truth};
use crate::random::Random;

/// A fleet and the proxies in front of it.
#[derive(Clone, Debug)]
pub struct Setting {
    /// One engine a GPU.
    pub fleet: Vec<Gpu>,
    /// Tokens a prefix-cache block.
    pub block_tokens: u32,
    /// Independent proxies.
    pub routers: usize,
    /// Workers a proxy: each routes on its own, but they share polls and tell each other what they do every tick.
    pub workers: usize,
    /// Microseconds between two polls of a router.
    pub poll_micros: u64,
    /// Leading requests that are not counted.
    pub warmup: usize,
    /// Decides which router a request comes to, and when routers poll.
    pub seed: u64,
    /// What goes wrong.
    pub faults: Faults,
}

/// Microseconds between two exchanges of a proxy's workers.
const TICK_MICROS: u64 = 25_000;
/// Times that a request is sent when hosts refuse the connection.
const ATTEMPTS: usize = 3;

/// What happens next; at equal times in this order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    StepEnd(usize),
    Host(usize),
    Poll(usize),
    Told(usize),
    Tick(usize),
    Asked(usize),
    Heard(usize),
    Arrival(usize),
}

/// Runs `requests` (in order of arrival, each fitting every host) through routers that `policy` makes.
pub fn run(
    setting: &Setting,
    requests: &[Prepared],
    policy: impl FnMut(usize) -> Box<dyn Policy>,
) -> Result {
    record(setting, requests, policy).0
}

/// As [`run`], with what became of each request.
pub fn record(
    setting: &Setting,
    requests: &[Prepared],
    policy: impl FnMut(usize) -> Box<dyn Policy>,
) -> (Result, Vec<Record>) {
    let mut fleet = Fleet::new(setting, requests, policy);
    while fleet.left > 0 {
        let Some(Reverse((now, event))) = fleet.events.pop() else {
            break;
        };
        match event {
            Event::StepEnd(host) => fleet.step_end(now, host),
            Event::Host(position) => fleet.change(now, position),
            Event::Poll(proxy) => fleet.poll(now, proxy),
            Event::Told(proxy) => fleet.told(now, proxy),
            Event::Tick(proxy) => fleet.tick(now, proxy),
            Event::Asked(proxy) => fleet.asked(now, proxy),
            Event::Heard(proxy) => fleet.heard(now, proxy),
            Event::Arrival(position) => fleet.arrival(now, position),
        }
    }
    let result = Result::of(
        setting,
        requests,
        &fleet.records,
        &fleet.busy_at_start,
        &fleet.busy_at_end,
    );
    (result, fleet.records)
}

struct Fleet<'a> {
    setting: &'a Setting,
    requests: &'a [Prepared],
    engines: Vec<Engine>,
    /// Which hosts discovery names; one that leaves is not among them but serves what still comes.
    listed: Vec<bool>,
    alive: Vec<bool>,
    /// When each engine's step under way ends; meaningless when none is.
    step_ends: Vec<u64>,
    /// The workers of the first proxy, then those of the next.
    workers: Vec<Box<dyn Policy>>,
    polls: Polls,
    /// What other proxies tell, by the proxy that asked.
    inboxes: Vec<Inbox>,
    /// Which worker each request came to.
    owners: Vec<usize>,
    records: Vec<Record>,
    events: BinaryHeap<Reverse<(u64, Event)>>,
    /// Requests that have arrived.
    arrived: usize,
    /// Requests that have not ended.
    left: usize,
    tokens: Vec<Token>,
    /// Busy microseconds of every engine when the first counted and the last request arrived.
    busy_at_start: Vec<u64>,
    busy_at_end: Vec<u64>,
}

impl<'a> Fleet<'a> {
    fn new(
        setting: &'a Setting,
        requests: &'a [Prepared],
        policy: impl FnMut(usize) -> Box<dyn Policy>,
    ) -> Self {
        let mut random = Random::new(chain(setting.seed, 1));
        let workers = setting.routers * setting.workers;
        let owners = requests
            .iter()
            .map(|_| random.below(workers as u64) as usize)
            .collect();
        let hosts = 0..setting.fleet.len();
        let listed: Vec<bool> = hosts
            .map(|host| setting.faults.present_at_start(host))
            .collect();
        let mut fleet = Self {
            setting,
            requests,
            engines: setting
                .fleet
                .iter()
                .map(|&gpu| Engine::new(gpu, setting.block_tokens))
                .collect(),
            alive: listed.clone(),
            listed,
            step_ends: vec![0; setting.fleet.len()],
            polls: Polls::new(0, &[], &setting.faults, 0),
            inboxes: vec![Inbox::new(setting.fleet.len()); setting.routers],
            workers: (0..workers).map(policy).collect(),
            owners,
            records: vec![Record::default(); requests.len()],
            events: BinaryHeap::new(),
            arrived: 0,
            left: requests.len(),
            tokens: Vec::new(),
            busy_at_start: Vec::new(),
            busy_at_end: Vec::new(),
        };
        let answers = fleet.answers(0);
        let seed = chain(setting.seed, u64::MAX);
        fleet.polls = Polls::new(setting.routers, &answers, &setting.faults, seed);
        for proxy in 0..setting.routers {
            // Everyone knows the fleet from the start; after that the proxies' polls are out of step.
            fleet.tell(0, proxy);
            let phase = 1 + random.below(setting.poll_micros);
            fleet.events.push(Reverse((phase, Event::Poll(proxy))));
            if setting.workers > 1 {
                fleet
                    .events
                    .push(Reverse((1 + random.below(TICK_MICROS), Event::Tick(proxy))));
            }
            if let Some(every) = fleet.exchanged(proxy) {
                let phase = 1 + random.below(every);
                fleet.events.push(Reverse((phase, Event::Asked(proxy))));
            }
        }
        for (position, event) in setting.faults.events.iter().enumerate() {
            fleet
                .events
                .push(Reverse((event.at_micros, Event::Host(position))));
        }
        if let Some(first) = requests.first() {
            fleet
                .events
                .push(Reverse((first.at_micros, Event::Arrival(0))));
        }
        fleet
    }

    /// What the engines answer at this moment.
    fn answers(&self, now: u64) -> Vec<Polled> {
        let answers = self.engines.iter().zip(&self.listed);
        let answers = answers.map(|(engine, &listed)| Polled {
            at: now,
            listed,
            running: engine.running() as u32,
            waiting: engine.waiting() as u32,
            kv_used: engine.used_blocks() as f64 / engine.block_count() as f64,
            kv_capacity_tokens: engine.block_count() as u64 * u64::from(engine.block_tokens()),
            computed_tokens: engine.totals().computed_tokens + engine.totals().output_tokens,
            queued_tokens: engine.queued_prefill_tokens(),
            output_tokens: engine.totals().output_tokens,
        });
        answers.collect()
    }

    fn workers_of(&self, proxy: usize) -> core::ops::Range<usize> {
        proxy * self.setting.workers..(proxy + 1) * self.setting.workers
    }

    fn tell(&mut self, now: u64, proxy: usize) {
        for worker in self.workers_of(proxy) {
            self.workers[worker].poll(now, self.polls.known(proxy));
        }
    }

    fn poll(&mut self, now: u64, proxy: usize) {
        self.polls.answered(proxy, self.answers(now));
        let delay = self.setting.faults.poll_delay_micros;
        if delay == 0 {
            self.told(now, proxy);
        } else {
            self.events.push(Reverse((now + delay, Event::Told(proxy))));
        }
        self.events.push(Reverse((
            now + self.setting.poll_micros,
            Event::Poll(proxy),
        )));
    }

    fn told(&mut self, now: u64, proxy: usize) {
        self.polls.arrived(proxy);
        self.tell(now, proxy);
    }

    /// Something happens to a host.
    fn change(&mut self, now: u64, position: usize) {
        let event = &self.setting.faults.events[position];
        let host = event.host;
        match event.change {
            Change::Speed(factor) => self.engines[host].set_speed(factor),
            Change::Join => (self.listed[host], self.alive[host]) = (true, true),
            Change::Leave => self.listed[host] = false,
            Change::Die => self.die(now, host),
        }
    }

    fn die(&mut self, now: u64, host: usize) {
        (self.listed[host], self.alive[host]) = (false, false);
        self.engines[host] = Engine::new(self.setting.fleet[host], self.setting.block_tokens);
        self.step_ends[host] = u64::MAX;
        for position in 0..self.arrived {
            let record = &self.records[position];
            if record.host == Some(host) && record.end.is_none() {
                // It stays without an end, and counts as failed.
                self.records[position].host = None;
                self.left -= 1;
                let request = &self.requests[position];
                self.workers[self.owners[position]].failed(now, host, request);
            }
        }
    }

    fn tick(&mut self, now: u64, proxy: usize) {
        let own = self.workers_of(proxy);
        let said: Vec<_> = own
            .clone()
            .map(|slot| self.workers[slot].say(now))
            .collect();
        for listener in own.clone() {
            for (slot, said) in own.clone().zip(&said).filter(|&(slot, _)| slot != listener) {
                if let Some(said) = said {
                    self.workers[listener].hear(now, slot, said);
                }
            }
        }
        self.events
            .push(Reverse((now + TICK_MICROS, Event::Tick(proxy))));
    }

    /// Microseconds between two times that the proxy asks the others what they do, if it does.
    fn exchanged(&self, proxy: usize) -> Option<u64> {
        let worker = self.workers_of(proxy).next()?;
        self.workers[worker].exchanged()
    }

    /// The proxy asks the others. What their workers say now is heard half an interval and a tick later: proxies write down what they would
    /// answer, and read what they have heard, at intervals of their own.
    fn asked(&mut self, now: u64, proxy: usize) {
        let Some(every) = self.exchanged(proxy) else {
            return;
        };
        let own = self.workers_of(proxy);
        let workers = self.workers.iter_mut().enumerate();
        let others = workers.filter(|(slot, _)| !own.contains(slot));
        let shares = others.filter_map(|(_, worker)| worker.say(now)).collect();
        self.inboxes[proxy].send(shares);
        let heard = now + every / 2 + TICK_MICROS;
        self.events.push(Reverse((heard, Event::Heard(proxy))));
        self.events
            .push(Reverse((now + every, Event::Asked(proxy))));
    }

    /// What the others said when they were asked has come to the proxy's workers.
    fn heard(&mut self, now: u64, proxy: usize) {
        let others = self.inboxes[proxy].receive(now);
        for worker in self.workers_of(proxy) {
            self.workers[worker].hear(now, WORKERS, &others);
        }
    }

    fn arrival(&mut self, now: u64, position: usize) {
        let requests = self.requests;
        let busy = || {
            self.engines
                .iter()
                .map(|engine| engine.totals().busy_micros)
                .collect()
        };
        if position == self.setting.warmup {
            self.busy_at_start = busy();
        }
        match requests.get(position + 1) {
            Some(next) => self
                .events
                .push(Reverse((next.at_micros, Event::Arrival(position + 1)))),
            None => self.busy_at_end = busy(),
        }
        self.arrived = position + 1;
        let Some(host) = self.send(now, position) else {
            // Nothing will come of it: the record stays without an end and counts as failed.
            self.left -= 1;
            return;
        };
        if !self.engines[host].stepping() {
            self.begin_step(now, host);
        }
    }

    /// Lets the request's router choose until a host takes it; `None` when none does.
    fn send(&mut self, now: u64, position: usize) -> Option<usize> {
        let request = &self.requests[position];
        let worker = &mut self.workers[self.owners[position]];
        for _ in 0..ATTEMPTS {
            let truth = Truth {
                engines: &self.engines,
                step_ends: &self.step_ends,
                listed: &self.listed,
            };
            let host = worker.choose(now, request, &truth);
            let job = Job {
                id: request.id,
                prompt: request.prompt.clone(),
                output_tokens: request.output_tokens,
            };
            if !self.alive[host] {
                worker.failed(now, host, request);
            } else if self.engines[host].submit(job).is_ok() {
                self.records[position].host = Some(host);
                return Some(host);
            } else {
                return None;
            }
        }
        None
    }

    fn begin_step(&mut self, now: u64, host: usize) {
        if let Some(micros) = self.engines[host].begin_step() {
            self.step_ends[host] = now + micros;
            self.events
                .push(Reverse((now + micros, Event::StepEnd(host))));
        }
    }

    fn step_end(&mut self, now: u64, host: usize) {
        if self.step_ends[host] != now {
            // The step of an engine that has died since.
            return;
        }
        let mut tokens = core::mem::take(&mut self.tokens);
        tokens.clear();
        self.engines[host].finish_step(&mut tokens);
        for token in &tokens {
            let position = token.id as usize;
            let record = &mut self.records[position];
            if token.ordinal == 1 {
                record.first_token = Some(now);
                record.cached_tokens = token.cached_tokens;
            }
            if token.last {
                record.end = Some(now);
                self.left -= 1;
            }
            self.workers[self.owners[position]].token(now, host, token, &self.requests[position]);
        }
        self.tokens = tokens;
        self.begin_step(now, host);
    }
}
