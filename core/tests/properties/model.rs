//! The router's books under any order of calls, tables of the smallest size, damage and clocks that jump.

use std::collections::BTreeMap;

use plimsoll_core::config::{Config, Policy};
use plimsoll_core::fixed::ONE;
use plimsoll_core::host::{Address, Host, Load, State};
use plimsoll_core::pick::RANKS;
use plimsoll_core::rng::Rng;
use plimsoll_core::router::{Outcome, Reason, Router, Ticket, Verdict};
use plimsoll_core::time::{Instant, Micros};

use crate::generate::{self, address, earlier, start};
use crate::recorded;

/// Where a request in flight is booked, and whether its prefill is known to be over.
#[derive(Clone, Copy, Debug)]
struct Booked {
    ticket: Ticket,
    host: Option<Address>,
    first_token: bool,
}

struct World {
    rng: Rng,
    now: Instant,
    router: Router,
    capacity: u32,
    epoch: u64,
    open: Vec<Booked>,
    ended: Vec<Ticket>,
    untracked: u64,
}

fn config(rng: &mut Rng, capacity: u32) -> Config {
    let mut config = Config {
        policy: Policy::NAMES[rng.below(6) as usize].1,
        tie_band: ONE / 64,
        ..Config::default()
    };
    config.shadow.enabled = generate::one_in(rng, 2);
    config.shadow.policy = Policy::NAMES[rng.below(6) as usize].1;
    config.shadow.weights.stall = u64::from(rng.below(1 << 18));
    config.limits.hosts = capacity as usize;
    config.limits.inflight = 16;
    config.limits.prefix_blocks = 64;
    config.limits.host_inflight = rng.below(2) * rng.below(8);
    config.limits.pool_inflight = rng.below(2) * rng.below(40);
    config.health.consecutive_failures = 1 + rng.below(4);
    config.health.min_requests = 1 + rng.below(6);
    config.health.max_ejected = u64::from(rng.below(5)) * ONE / 4;
    config.health.probes = 1 + rng.below(3);
    config.health.slow_start = Micros::from_millis(u64::from(rng.below(2) * rng.below(60_000)));
    config.health.slow_start_curve = 1 + rng.below(4);
    config.health.stall = Micros::from_millis(u64::from(100 + rng.below(40_000)));
    if rng.below(3) == 0 {
        config.draining = vec![address(rng.below(8))];
    }
    config
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let capacity = 1 + rng.below(6);
        let config = config(&mut rng, capacity);
        let mut world = Self {
            now: start(),
            router: Router::new(config, seed),
            capacity,
            epoch: 0,
            open: Vec::new(),
            ended: vec![Ticket::NONE],
            untracked: 0,
            rng,
        };
        world.snapshot();
        world
    }

    fn step(&mut self) {
        match self.rng.below(40) {
            0 => self.now = self.now + Micros::from_millis(u64::from(self.rng.below(90_000))),
            1 => self.now = earlier(self.now, self.rng.below(90_000_000)),
            _ => self.now = self.now + Micros::new(u64::from(self.rng.below(30_000))),
        }
        match self.rng.below(18) {
            0..7 => self.request(),
            7 | 8 => self.chunk(),
            9 => self.served(),
            10..13 => self.done(),
            13 => self.router.on_tick(self.now),
            14 => self.snapshot(),
            15 => self.share(),
            16 => {
                let config = config(&mut self.rng, self.capacity);
                self.router.configure(config);
            }
            _ => self.nothing(),
        }
        self.check();
    }

    fn request(&mut self) {
        let prompt = generate::prompt(&mut self.rng);
        let before: BTreeMap<usize, Host> = self
            .router
            .hosts()
            .map(|(index, host)| (index, host.clone()))
            .collect();
        let model = prompt.request.model;
        let constrained = model != 0 && before.values().any(|host| host.serves(model));
        let may = |host: &Host| {
            !matches!(host.state, State::Draining | State::Gone)
                && !host.drained
                && (!constrained || host.serves(model))
        };
        let config = self.router.config().clone();
        let most = config.limits.host_inflight;
        let full = |host: &Host| most > 0 && host.ours() >= most;
        let trusted = |host: &Host| {
            let reachable = matches!(host.state, State::Ready | State::Warming);
            may(host)
                && !full(host)
                && reachable
                && host.health.breaker.admits(self.now, &config.health)
        };
        // Who need not wait for its turn.
        let steady = |host: &Host| {
            trusted(host) && host.state == State::Ready && !host.health.ramp.is_rising()
        };
        let nobody_trusted = !before.values().any(trusted);
        let steady_hosts = before.values().filter(|host| steady(host)).count();
        let ours: u64 = before.values().map(|host| u64::from(host.ours())).sum();
        let pool = u64::from(config.limits.pool_inflight);
        let (recorded, _) = recorded::decide(&self.router, self.now, &prompt.request());
        let verdict = self.router.on_request(self.now, &prompt.request());
        assert_eq!(recorded, verdict);
        match verdict {
            Verdict::Forward(decision) => {
                let ranked: Vec<usize> = decision.ranked.iter().collect();
                let eligible = usize::from(decision.eligible);
                assert!(eligible >= steady_hosts);
                assert!(pool == 0 || ours < pool);
                assert!(!ranked.is_empty() && ranked.len() <= RANKS.min(eligible));
                for (rank, index) in ranked.iter().enumerate() {
                    let host = &before[index];
                    assert!(trusted(host) || nobody_trusted && may(host), "{host:?}");
                    assert!(!full(host), "{host:?}");
                    assert!(!ranked[..rank].contains(index), "{ranked:?}");
                }
                if decision.ticket == Ticket::NONE {
                    self.untracked += 1;
                    assert_eq!(self.open.len(), 16);
                } else {
                    self.open.push(Booked {
                        ticket: decision.ticket,
                        host: self.router.address(ranked[0]),
                        first_token: false,
                    });
                }
            }
            Verdict::Pass(_) => assert!(!before.values().any(may)),
            Verdict::Reject(Reason::Full(_)) => {
                let room = |host: &Host| may(host) && !full(host);
                assert!(pool > 0 || !before.values().any(room));
            }
            Verdict::Reject(_) => assert!(constrained && !before.values().any(may)),
            Verdict::Queue(_) | Verdict::Shed(_) => panic!("nobody waits without tiers"),
        }
    }

    fn any_open(&mut self) -> Option<usize> {
        let at = self.rng.below(self.open.len() as u32) as usize;
        (!self.open.is_empty()).then_some(at)
    }

    fn chunk(&mut self) {
        let Some(at) = self.any_open() else { return };
        let seen = generate::seen(&mut self.rng);
        let ttft = self.router.on_chunk(self.now, self.open[at].ticket, seen);
        let first = seen.tokens > 0 && !self.open[at].first_token;
        assert_eq!(ttft.is_some(), first);
        self.open[at].first_token |= first;
    }

    fn served(&mut self) {
        let Some(at) = self.any_open() else { return };
        let served = address(self.rng.below(12));
        // A host that has left is known as long as its place has no new owner, which only the router can tell.
        let known = (0..self.capacity as usize)
            .find(|index| self.router.address(*index) == Some(served))
            .map(|_| served);
        let moved = self
            .router
            .on_served(self.now, self.open[at].ticket, served);
        assert_eq!(moved, self.open[at].host != known);
        self.open[at].host = known;
        assert!(
            !self
                .router
                .on_served(self.now, self.open[at].ticket, served),
            "once"
        );
    }

    fn done(&mut self) {
        let Some(at) = self.any_open() else { return };
        let booked = self.open.swap_remove(at);
        let outcome = generate::outcome(&mut self.rng);
        self.router.on_done(self.now, booked.ticket, outcome);
        self.ended.push(booked.ticket);
    }

    fn snapshot(&mut self) {
        let hosts = 1 + self.rng.below(11);
        let list = generate::list(&mut self.rng, self.now, hosts);
        self.epoch += 1;
        let bytes = generate::snapshot(self.epoch, self.now, 1, &list);
        assert_eq!(self.router.apply_snapshot(self.now, &bytes), Ok(self.epoch));
        let listed: Vec<Address> = self.router.hosts().map(|(_, host)| host.address).collect();
        assert!(listed.len() <= list.len().min(self.capacity as usize));
        for address in listed {
            assert!(list.iter().any(|listed| listed.address == address));
        }
    }

    fn share(&mut self) {
        let slot = self.rng.below(3);
        let part = generate::part(&mut self.rng, self.now, address(slot));
        let stamp = earlier(self.now, self.rng.below(1_100_000));
        let bytes = generate::share(900 + u64::from(slot), stamp, 0, &[part], &[]);
        self.router.apply_share(self.now, slot as usize, &bytes);
    }

    /// Calls that must change nothing at all.
    fn nothing(&mut self) {
        let before = format!("{:?}", self.router);
        let ticket = self.ended[self.rng.below(self.ended.len() as u32) as usize];
        let outcome = generate::outcome(&mut self.rng);
        let seen = generate::seen(&mut self.rng);
        self.router.on_done(self.now, ticket, outcome);
        self.router.on_chunk(self.now, ticket, seen);
        self.router.on_served(self.now, ticket, address(0));

        let list = generate::list(&mut self.rng, self.now, 5);
        let mut bytes = generate::snapshot(self.epoch + 9, self.now, 1, &list);
        bytes[24] ^= 1;
        assert!(self.router.apply_snapshot(self.now, &bytes).is_err());
        let bytes = generate::snapshot(self.epoch, self.now, 1, &list);
        assert_eq!(
            self.router.apply_snapshot(self.now, &bytes),
            Ok(self.epoch),
            "an epoch is applied once"
        );
        let part = generate::part(&mut self.rng, self.now, address(0));
        let mut bytes = generate::share(5, self.now, 0, &[part], &[]);
        bytes[50] ^= 1;
        self.router.apply_share(self.now, 7, &bytes);
        assert_eq!(format!("{:?}", self.router), before);
    }

    /// Never more ejected than the cap allows, whatever fails, whoever leaves.
    fn check_cap(&self) {
        let cap = self.router.config().health.max_ejected;
        let allowed = (self.router.host_count() as u64 * cap) >> 16;
        assert!(self.router.ejected() as u64 <= allowed);
    }

    /// Every request in flight is booked at exactly the host that serves it.
    fn check(&self) {
        self.check_cap();
        assert_eq!(self.router.in_flight(), self.open.len());
        assert_eq!(self.router.overflows()[1], self.untracked);
        for (_, host) in self.router.hosts() {
            let there = self.open.iter().filter(|f| f.host == Some(host.address));
            let waiting = there.clone().filter(|flight| !flight.first_token).count();
            assert_eq!(host.own.requests as usize, there.count());
            // The prefill of an answer that is not streamed may be over without a token.
            assert!(host.own.prefilling as usize <= waiting);
            assert!(host.own.prefilling > 0 || host.own.queued_tokens == 0);
            assert!(host.health.breaker.probing() <= host.own.requests);
            let share = host
                .health
                .ramp
                .share(self.now, &self.router.config().health);
            assert!((ONE / 10..=ONE).contains(&share), "{share}");
        }
    }

    fn end(mut self) {
        for booked in std::mem::take(&mut self.open) {
            self.router
                .on_done(self.now, booked.ticket, Outcome::default());
        }
        // Hosts that are gone come back into view with the list.
        let list: Vec<_> = generate::list(&mut self.rng, self.now, 12);
        let bytes = generate::snapshot(self.epoch + 1, self.now, 1, &list);
        self.router.apply_snapshot(self.now, &bytes).unwrap();
        assert_eq!(self.router.in_flight(), 0);
        for (_, host) in self.router.hosts() {
            assert_eq!(host.own, Load::default());
        }
    }
}

#[test]
fn books_balance_under_any_order_of_calls() {
    for seed in 0..400 {
        let mut world = World::new(seed);
        for _ in 0..150 {
            world.step();
        }
        world.end();
    }
}
