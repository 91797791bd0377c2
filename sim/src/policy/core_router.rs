//! The core's router, driven as the filter drives it.

use plimsoll_core::config::{Config, ConfiguredHost, Policy as CorePolicy};
use plimsoll_core::fleet::Listed;
use plimsoll_core::host::{self, State};
use plimsoll_core::observe::{Seen, Usage};
use plimsoll_core::request::{Kind, Request};
use plimsoll_core::router::{Outcome, Router, Ticket, Verdict};
use plimsoll_core::snapshot;
use plimsoll_core::time::{Instant, Micros};

use super::{Conditions, Decisions, Policy, Polled, Truth, address, host_of, pick};
use crate::engine::{HashKeyed, Token, chain};
use crate::fleet::Prepared;
use crate::random::Random;

/// What the configuration says of the hosts' speeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// Nothing: the router has to learn.
    Nothing,
    /// Weights as an operator would set them.
    Weights,
    /// How many times as fast as the slowest each host is.
    Rates,
}

/// Adapter of one `plimsoll_core` router.
pub(super) struct CoreRouter {
    router: Router,
    tickets: HashKeyed<Ticket>,
    weights: Vec<u32>,
    /// When each host joined; nothing for one that is not listed.
    joined: Vec<Option<Instant>>,
    epoch: u64,
    snapshot: Vec<u8>,
    next_tick: Instant,
    tick: Micros,
    seed: u64,
    /// Interval at which its proxy asks the others what they do, if it does.
    exchange: Option<Micros>,
    decisions: Option<Decisions>,
    record: Vec<u8>,
    /// For the choice that the proxy itself would make when the router names no host.
    random: Random,
}

impl CoreRouter {
    /// `exchanges` says that its proxy asks the others what they do.
    pub(super) fn new(
        policy: CorePolicy,
        told: Told,
        exchanges: bool,
        conditions: &Conditions<'_>,
    ) -> Self {
        let slowest = conditions.fleet.iter().map(|gpu| gpu.weight()).min();
        let weights: Vec<u32> = conditions
            .fleet
            .iter()
            .map(|gpu| match told {
                Told::Nothing => 1,
                Told::Weights => gpu.weight(),
                Told::Rates => {
                    (f64::from(gpu.weight()) / f64::from(slowest.unwrap_or(1))).round() as u32
                }
            })
            .collect();
        let mut config = Config {
            policy,
            ..conditions.config.clone()
        };
        if exchanges {
            config.exchange.peers = vec![address(0)];
        }
        if conditions.decisions.is_some() {
            config.record.every = 1;
        }
        config.hosts = weights
            .iter()
            .enumerate()
            .map(|(host, &weight)| ConfiguredHost {
                address: address(host),
                weight,
                models: Vec::new(),
            })
            .collect();
        config.limits.hosts = config.limits.hosts.max(weights.len());
        config.poll.every = Micros::new(conditions.poll_micros);
        // Whoever polls slowly also believes longer.
        config.stale_after = config
            .stale_after
            .max(Micros::new(conditions.poll_micros * 5 / 2));
        Self {
            tick: config.tick,
            exchange: exchanges.then_some(config.exchange.every),
            router: Router::new(config, conditions.seed),
            tickets: HashKeyed::default(),
            joined: vec![None; weights.len()],
            weights,
            epoch: 0,
            snapshot: Vec::new(),
            next_tick: Instant::from_micros(0),
            seed: conditions.seed,
            decisions: conditions.decisions.cloned(),
            record: Vec::new(),
            random: Random::new(conditions.seed),
        }
    }

    /// Ticks change nothing between requests, so the one that is due is made up for just before the next.
    fn tick(&mut self, now: Instant) {
        if now >= self.next_tick {
            self.router.on_tick(now);
            self.next_tick = now + self.tick;
        }
    }
}

impl Policy for CoreRouter {
    fn poll(&mut self, now: u64, hosts: &[Polled]) {
        let now = Instant::from_micros(now);
        self.epoch += 1;
        for (joined, polled) in self.joined.iter_mut().zip(hosts) {
            // Whoever is on the first list was always there; later ones start slowly, as the collector would have it.
            let since = if self.epoch == 1 { Instant::ZERO } else { now };
            *joined = polled.listed.then(|| joined.unwrap_or(since));
        }
        let joined = &self.joined;
        let listed = hosts
            .iter()
            .zip(&self.weights)
            .enumerate()
            .filter(|(_, (polled, _))| polled.listed)
            .map(|(host, (polled, &weight))| Listed {
                address: address(host),
                weight,
                models: [0; host::MODELS],
                state: State::Ready,
                since: joined.get(host).copied().flatten().unwrap_or_default(),
                polled: Some(host::Polled {
                    at: Instant::from_micros(polled.at),
                    running: polled.running,
                    waiting: polled.waiting,
                    kv_used_q16: (polled.kv_used * 65_536.0) as u32,
                    kv_capacity_tokens: polled.kv_capacity_tokens,
                    computed_tokens: polled.computed_tokens,
                }),
            });
        snapshot::write(&mut self.snapshot, self.epoch, now, self.seed, listed);
        let applied = self.router.apply_snapshot(now, &self.snapshot);
        debug_assert!(applied.is_ok());
    }

    fn choose(&mut self, now: u64, request: &Prepared, truth: &Truth<'_>) -> usize {
        let now = Instant::from_micros(now);
        self.tick(now);
        let asked = Request {
            kind: Kind::Chat,
            tenant: request.tenant,
            session: request.session,
            prompt_bytes: request.prompt_bytes,
            blocks: &request.blocks,
            blocks_complete: request.blocks_complete,
            max_tokens: None,
            stream: true,
            seed: chain(self.seed, request.id),
            ..Request::default()
        };
        let verdict = match &self.decisions {
            None => self.router.on_request(now, &asked),
            Some(decisions) => {
                let record = &mut self.record;
                let verdict = self.router.on_request_recorded(now, &asked, record);
                decisions.add(record);
                verdict
            }
        };
        if let Verdict::Forward(decision) = verdict
            && let Some(first) = decision.ranked.first()
            && let Some(host) = self.router.address(first).as_ref().map(host_of)
        {
            self.tickets.insert(request.id, decision.ticket);
            return host;
        }
        pick::listed(&mut self.random, truth)
    }

    fn token(&mut self, now: u64, _host: usize, token: &Token, request: &Prepared) {
        let Some(&ticket) = self.tickets.get(&token.id) else {
            return;
        };
        let now = Instant::from_micros(now);
        let usage = token.last.then_some(Usage {
            prompt_tokens: request.prompt.tokens,
            completion_tokens: token.ordinal,
            cached_tokens: Some(token.cached_tokens),
        });
        self.router.on_chunk(
            now,
            ticket,
            Seen {
                tokens: 1,
                usage,
                done: token.last,
            },
        );
        if token.last {
            self.tickets.remove(&token.id);
            self.router.on_done(
                now,
                ticket,
                Outcome {
                    status: 200,
                    aborted: false,
                    failed: false,
                },
            );
        }
    }

    fn failed(&mut self, now: u64, _host: usize, request: &Prepared) {
        if let Some(ticket) = self.tickets.remove(&request.id) {
            self.router.on_done(
                Instant::from_micros(now),
                ticket,
                Outcome {
                    status: 503,
                    aborted: false,
                    failed: true,
                },
            );
        }
    }

    fn say(&mut self, now: u64) -> Option<Vec<u8>> {
        let now = Instant::from_micros(now);
        self.tick(now);
        let mut said = Vec::new();
        self.router.write_share(now, &mut said);
        Some(said)
    }

    fn hear(&mut self, now: u64, slot: usize, said: &[u8]) {
        self.router
            .apply_share(Instant::from_micros(now), slot, said);
    }

    fn exchanged(&self) -> Option<u64> {
        self.exchange.map(Micros::get)
    }
}
