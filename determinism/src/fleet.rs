//! A toy fleet: each host prefills one prompt after the other and then decodes all at once, in whole microseconds.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use plimsoll_core::config::ConfiguredHost;
use plimsoll_core::fleet::Listed;
use plimsoll_core::host::{Address, Polled, State};
use plimsoll_core::observe::{Seen, Usage};
use plimsoll_core::router::{Outcome, Ticket};
use plimsoll_core::snapshot;
use plimsoll_core::time::{Instant, Micros};

use crate::WORKERS;
use crate::worker::Worker;

const HOSTS: u8 = 16;
const POLL_EVERY: Micros = Micros::from_millis(200);
const TICK_EVERY: Micros = Micros::from_millis(25);
/// KV cache of a host, tokens.
const CAPACITY: u64 = 400_000;
/// Blocks that a host remembers to have seen.
const CACHED: usize = 2000;

/// What becomes of a request, in the order in which it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Next {
    First,
    Second,
    End,
}

/// A request under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job {
    pub(crate) ticket: Ticket,
    pub(crate) worker: usize,
    pub(crate) prompt_tokens: u32,
    pub(crate) output_tokens: u32,
    pub(crate) number: u64,
}

struct Host {
    address: Address,
    /// Nanoseconds of prefill a token.
    nanos: u64,
    free_at: Instant,
    cache: BTreeSet<u64>,
    running: u32,
    tokens: u64,
}

pub(crate) struct Fleet {
    hosts: Vec<Host>,
    events: BinaryHeap<Reverse<(Instant, Next, usize)>>,
    jobs: Vec<(usize, u32, Job)>,
    polled: Instant,
    ticked: Instant,
    epoch: u64,
}

impl Fleet {
    pub(crate) fn new() -> Self {
        let host = |n: u8| Host {
            address: Address::new([10, 0, 0, n + 1].into(), 8000),
            // Three kinds, the fastest three times as fast as the slowest.
            nanos: [20_000, 30_000, 60_000][usize::from(n % 3)],
            free_at: Instant::ZERO,
            cache: BTreeSet::new(),
            running: 0,
            tokens: 0,
        };
        Self {
            hosts: (0..HOSTS).map(host).collect(),
            events: BinaryHeap::new(),
            jobs: Vec::new(),
            polled: Instant::ZERO,
            ticked: Instant::ZERO,
            epoch: 0,
        }
    }

    pub(crate) fn configured(&self) -> Vec<ConfiguredHost> {
        let host = |host: &Host| ConfiguredHost {
            address: host.address,
            weight: 1 + u32::from(host.nanos < 30_000),
            models: Vec::new(),
        };
        self.hosts.iter().map(host).collect()
    }

    /// Takes in a request whose first choice is `address`.
    pub(crate) fn send(&mut self, now: Instant, address: Address, job: Job, blocks: &[u64]) {
        let place = self.hosts.iter().position(|host| host.address == address);
        let Some((at, host)) = place.and_then(|at| Some((at, self.hosts.get_mut(at)?))) else {
            return;
        };
        let held = blocks.iter().take_while(|block| host.cache.contains(block));
        let cached = (held.count() as u32 * 512).min(job.prompt_tokens.saturating_sub(16));
        host.cache.extend(blocks);
        while host.cache.len() > CACHED {
            host.cache.pop_first();
        }
        let work = u64::from(job.prompt_tokens - cached) * host.nanos / 1000;
        let first = host.free_at.max(now) + Micros::new(work);
        host.free_at = first;
        host.running += 1;
        host.tokens += u64::from(job.prompt_tokens + job.output_tokens);
        let pace = Micros::from_millis(8 + u64::from(host.running) / 4);
        let id = self.jobs.len();
        self.events.push(Reverse((first, Next::First, id)));
        let second = first + pace;
        self.events.push(Reverse((second, Next::Second, id)));
        let end = second + pace.times(u64::from(job.output_tokens));
        self.events.push(Reverse((end, Next::End, id)));
        self.jobs.push((at, cached, job));
    }

    /// Lets time pass until `now`: tokens, ends, polls, ticks. Polls and ticks fall together with the next request.
    pub(crate) fn until(&mut self, now: Instant, workers: &mut [Worker; WORKERS]) {
        while let Some(Reverse((at, next, id))) = self.events.peek().copied()
            && at <= now
        {
            self.events.pop();
            self.event(at, next, id, workers);
        }
        if now.since(self.polled) >= POLL_EVERY {
            self.polled = now;
            self.poll(now, workers);
        }
        if now.since(self.ticked) >= TICK_EVERY {
            self.ticked = now;
            let said: Vec<Vec<u8>> = workers.iter_mut().map(|worker| worker.say(now)).collect();
            for worker in workers {
                for (slot, said) in said.iter().enumerate() {
                    worker.router.apply_share(now, slot, said);
                }
                worker.router.on_tick(now);
            }
        }
    }

    fn event(&mut self, at: Instant, next: Next, id: usize, workers: &mut [Worker; WORKERS]) {
        let Some((host, cached, job)) = self.jobs.get(id).copied() else {
            return;
        };
        let Some(worker) = workers.get_mut(job.worker) else {
            return;
        };
        let token = Seen {
            tokens: 1,
            ..Seen::default()
        };
        if next != Next::End {
            worker.router.on_chunk(at, job.ticket, token);
            return;
        }
        if let Some(host) = self.hosts.get_mut(host) {
            host.running -= 1;
            host.tokens -= u64::from(job.prompt_tokens + job.output_tokens);
        }
        let usage = Usage {
            prompt_tokens: job.prompt_tokens,
            completion_tokens: job.output_tokens,
            cached_tokens: Some(cached),
        };
        let last = Seen {
            usage: Some(usage),
            done: true,
            ..token
        };
        worker.router.on_chunk(at, job.ticket, last);
        // Now and then a client leaves or a host breaks off.
        let outcome = Outcome {
            status: 200,
            aborted: job.number.is_multiple_of(97),
            failed: job.number.is_multiple_of(211),
        };
        worker.router.on_done(at, job.ticket, outcome);
    }

    fn poll(&mut self, now: Instant, workers: &mut [Worker; WORKERS]) {
        self.epoch += 1;
        let listed = self.hosts.iter().map(|host| {
            let waiting = host.free_at.since(now).get() / 300_000;
            let waiting = u32::try_from(waiting).unwrap_or(u32::MAX).min(host.running);
            let used = host.tokens.saturating_mul(65_536) / CAPACITY;
            Listed {
                address: host.address,
                weight: 1,
                models: [0; 4],
                state: State::Ready,
                since: Instant::ZERO,
                polled: Some(Polled {
                    at: now,
                    running: host.running - waiting,
                    waiting,
                    kv_used_q16: u32::try_from(used.min(65_536)).unwrap_or(65_536),
                    kv_capacity_tokens: CAPACITY,
                    // Any count that goes on will do.
                    computed_tokens: now.as_micros() / 100,
                }),
            }
        });
        // Every fiftieth poll a host is missing, and comes back.
        let gone = self
            .epoch
            .is_multiple_of(50)
            .then_some(self.epoch / 50 % u64::from(HOSTS));
        let listed = listed
            .zip(0..)
            .filter(|(_, at)| Some(*at) != gone)
            .map(|(listed, _)| listed);
        let mut bytes = Vec::new();
        snapshot::write(&mut bytes, self.epoch, now, 1, listed);
        for worker in workers {
            let _ = worker.router.apply_snapshot(now, &bytes);
        }
    }
}
