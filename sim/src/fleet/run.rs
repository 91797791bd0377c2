//! The event loop.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

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
}

/// Microseconds between two exchanges of a proxy's workers.
const TICK_MICROS: u64 = 25_000;

/// What happens next; at equal times in this order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    StepEnd(usize),
    Poll(usize),
    Tick(usize),
    Arrival(usize),
}

/// Runs `requests` (in order of arrival, each fitting every host) through routers that `policy` makes.
pub fn run(
    setting: &Setting,
    requests: &[Prepared],
    policy: impl FnMut(usize) -> Box<dyn Policy>,
) -> Result {
    let mut fleet = Fleet::new(setting, requests, policy);
    while fleet.left > 0 {
        let Some(Reverse((now, event))) = fleet.events.pop() else {
            break;
        };
        match event {
            Event::StepEnd(host) => fleet.step_end(now, host),
            Event::Poll(proxy) => fleet.poll(now, proxy),
            Event::Tick(proxy) => fleet.tick(now, proxy),
            Event::Arrival(position) => fleet.arrival(now, position),
        }
    }
    Result::of(
        setting,
        requests,
        &fleet.records,
        &fleet.busy_at_start,
        &fleet.busy_at_end,
    )
}

struct Fleet<'a> {
    setting: &'a Setting,
    requests: &'a [Prepared],
    engines: Vec<Engine>,
    /// When each engine's step under way ends; meaningless when none is.
    step_ends: Vec<u64>,
    /// The workers of the first proxy, then those of the next.
    workers: Vec<Box<dyn Policy>>,
    /// Which worker each request came to.
    owners: Vec<usize>,
    records: Vec<Record>,
    events: BinaryHeap<Reverse<(u64, Event)>>,
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
        let mut fleet = Self {
            setting,
            requests,
            engines: setting
                .fleet
                .iter()
                .map(|&gpu| Engine::new(gpu, setting.block_tokens))
                .collect(),
            step_ends: vec![0; setting.fleet.len()],
            workers: (0..workers).map(policy).collect(),
            owners,
            records: vec![Record::default(); requests.len()],
            events: BinaryHeap::new(),
            left: requests.len(),
            tokens: Vec::new(),
            busy_at_start: Vec::new(),
            busy_at_end: Vec::new(),
        };
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
        }
        if let Some(first) = requests.first() {
            fleet
                .events
                .push(Reverse((first.at_micros, Event::Arrival(0))));
        }
        fleet
    }

    fn polled(&self) -> Vec<Polled> {
        let polled = self.engines.iter().map(|engine| Polled {
            running: engine.running() as u32,
            waiting: engine.waiting() as u32,
            kv_used: engine.used_blocks() as f64 / engine.block_count() as f64,
            kv_capacity_tokens: engine.block_count() as u64 * u64::from(engine.block_tokens()),
            queued_tokens: engine.queued_prefill_tokens(),
            output_tokens: engine.totals().output_tokens,
        });
        polled.collect()
    }

    fn workers_of(&self, proxy: usize) -> core::ops::Range<usize> {
        proxy * self.setting.workers..(proxy + 1) * self.setting.workers
    }

    fn tell(&mut self, now: u64, proxy: usize) {
        let polled = self.polled();
        for worker in self.workers_of(proxy) {
            self.workers[worker].poll(now, &polled);
        }
    }

    fn poll(&mut self, now: u64, proxy: usize) {
        self.tell(now, proxy);
        self.events.push(Reverse((
            now + self.setting.poll_micros,
            Event::Poll(proxy),
        )));
    }

    fn tick(&mut self, now: u64, proxy: usize) {
        let workers = &mut self.workers[proxy * self.setting.workers..][..self.setting.workers];
        let said: Vec<_> = workers.iter_mut().map(|worker| worker.say(now)).collect();
        for (listener, worker) in workers.iter_mut().enumerate() {
            for (slot, said) in said
                .iter()
                .enumerate()
                .filter(|&(slot, _)| slot != listener)
            {
                if let Some(said) = said {
                    worker.hear(now, slot, said);
                }
            }
        }
        self.events
            .push(Reverse((now + TICK_MICROS, Event::Tick(proxy))));
    }

    fn arrival(&mut self, now: u64, position: usize) {
        let requests = self.requests;
        let request = &requests[position];
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
        let truth = Truth {
            engines: &self.engines,
            step_ends: &self.step_ends,
        };
        let host = self.workers[self.owners[position]].choose(now, request, &truth);
        self.records[position].host = host;
        let job = Job {
            id: request.id,
            prompt: request.prompt.clone(),
            output_tokens: request.output_tokens,
        };
        if self.engines[host].submit(job).is_err() {
            // Nothing will come of it: the record stays without an end and counts as failed.
            self.left -= 1;
            return;
        }
        if !self.engines[host].stepping() {
            self.begin_step(now, host);
        }
    }

    fn begin_step(&mut self, now: u64, host: usize) {
        if let Some(micros) = self.engines[host].begin_step() {
            self.step_ends[host] = now + micros;
            self.events
                .push(Reverse((now + micros, Event::StepEnd(host))));
        }
    }

    fn step_end(&mut self, now: u64, host: usize) {
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
