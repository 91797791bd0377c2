//! The router against the reference scheduler, through long random sequences of calls.

use std::collections::BTreeMap;

use plimsoll_core::config::{Config, ConfiguredHost, Policy};
use plimsoll_core::fixed::ONE;
use plimsoll_core::host::State;
use plimsoll_core::prefix::block_key;
use plimsoll_core::rng::Rng;
use plimsoll_core::router::{Router, Ticket, Verdict};
use plimsoll_core::share::{SharedBlock, WORKERS};
use plimsoll_core::time::{Instant, Micros};

use crate::generate::{self, earlier, one_in};
use crate::recorded;
use crate::reference::{Answer, Plan, Reference, Said};

const OWN_SEED: u64 = 77;

struct World {
    rng: Rng,
    now: Instant,
    hosts: u32,
    epoch: u64,
    router: Router,
    reference: Reference,
    open: Vec<(Ticket, u64)>,
    next_id: u64,
    /// Running number of every other worker's next block.
    numbers: BTreeMap<usize, u64>,
    /// Decisions by ladder step, and those that named no host.
    decided: BTreeMap<&'static str, u32>,
    cached: u32,
    homed: u32,
    /// What was recorded.
    records: Vec<Vec<u8>>,
    /// Decisions in which some host was out for its health or its load, by why, and in which failures counted in the score.
    guarded: [u32; 4],
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let hosts = 1 + rng.below(12);
        let config = config(&mut rng, hosts);
        Self {
            now: generate::start(),
            hosts,
            epoch: 0,
            router: Router::new(config.clone(), OWN_SEED),
            reference: Reference::new(config, OWN_SEED),
            open: Vec::new(),
            next_id: 0,
            numbers: BTreeMap::new(),
            decided: BTreeMap::new(),
            cached: 0,
            homed: 0,
            records: Vec::new(),
            guarded: [0; 4],
            rng,
        }
    }

    fn step(&mut self) {
        self.now = self.now
            + Micros::new(u64::from(match self.rng.below(30) {
                0 => self.rng.below(90_000_000),
                1..3 => self.rng.below(3_000_000),
                _ => self.rng.below(40_000),
            }));
        match self.rng.below(20) {
            0..8 => self.request(),
            8..11 => self.chunk(),
            11..13 => self.done(),
            13 => self.served(),
            14 | 15 => {
                self.router.on_tick(self.now);
                self.reference.on_tick(self.now);
            }
            16 | 17 => self.snapshot(),
            18 => self.share(),
            _ if one_in(&mut self.rng, 4) => {
                let config = config(&mut self.rng, self.hosts);
                self.router.configure(config.clone());
                self.reference.configure(config);
            }
            _ => self.share(),
        }
    }

    fn request(&mut self) {
        let prompt = generate::prompt(&mut self.rng);
        let request = prompt.request();
        let id = self.next_id;
        self.next_id += 1;
        let expected = self.reference.on_request(self.now, id, &request);
        // A copy decides with recording on; now and then, since copies are slow.
        let recorded =
            one_in(&mut self.rng, 5).then(|| recorded::decide(&self.router, self.now, &request));
        let verdict = self.router.on_request(self.now, &request);
        if let Some((recorded, record)) = recorded {
            assert_eq!(recorded, verdict);
            self.records.push(record);
        }
        let found = match &verdict {
            Verdict::Pass(_) => Answer::Pass,
            Verdict::Reject(plimsoll_core::router::Reason::NoHostForModel(why)) => {
                Answer::Reject(*why)
            }
            Verdict::Reject(plimsoll_core::router::Reason::Full(why)) => Answer::Full(*why),
            other @ (Verdict::Reject(_) | Verdict::Queue(_) | Verdict::Shed(_)) => {
                panic!("{other:?}")
            }
            Verdict::Forward(decision) => Answer::Forward(Plan {
                ranked: decision
                    .ranked
                    .iter()
                    .map(|index| self.router.address(index).unwrap())
                    .collect(),
                terms: decision.terms[..decision.ranked.len()].to_vec(),
                step: decision.step,
                eligible: usize::from(decision.eligible),
                ruled_out: decision.ruled_out,
                probe: decision.probe,
                prompt_tokens: decision.prompt_tokens,
                cached_tokens: decision.cached_tokens,
                output_tokens: decision.output_tokens,
                snapshot_age: decision.snapshot_age,
            }),
        };
        assert_eq!(found, expected, "{request:?}");
        let kind = match verdict {
            Verdict::Forward(decision) => {
                self.open.push((decision.ticket, id));
                self.cached += u32::from(decision.cached_tokens > 0);
                let out = decision.ruled_out;
                let fault = decision.terms.iter().any(|terms| terms.fault > 0);
                let why = [out.ejected > 0, out.warming > 0, out.full > 0, fault];
                for (count, why) in self.guarded.iter_mut().zip(why) {
                    *count += u32::from(why);
                }
                let least = decision.terms[0].uncached_tokens;
                self.homed +=
                    u32::from(least > 0 && least < decision.prompt_tokens - decision.cached_tokens);
                match decision.policy {
                    Policy::Plimsoll => decision.step.name(),
                    classic => classic.name(),
                }
            }
            Verdict::Pass(_) => "pass",
            Verdict::Reject(_) | Verdict::Queue(_) | Verdict::Shed(_) => "reject",
        };
        *self.decided.entry(kind).or_default() += 1;
    }

    fn any_open(&mut self) -> Option<(Ticket, u64)> {
        let at = self.rng.below(self.open.len() as u32) as usize;
        self.open.get(at).copied()
    }

    fn chunk(&mut self) {
        if let Some((ticket, id)) = self.any_open() {
            let seen = generate::seen(&mut self.rng);
            self.router.on_chunk(self.now, ticket, seen);
            self.reference.on_chunk(self.now, id, seen);
        }
    }

    fn done(&mut self) {
        if let Some((ticket, id)) = self.any_open() {
            let outcome = generate::outcome(&mut self.rng);
            self.router.on_done(self.now, ticket, outcome);
            self.reference.on_done(self.now, id, outcome);
            self.open.retain(|open| open.1 != id);
        }
    }

    fn served(&mut self) {
        if let Some((ticket, id)) = self.any_open() {
            // One more than there are: sometimes a host that nobody told of.
            let served = generate::address(self.rng.below(self.hosts + 1));
            self.router.on_served(self.now, ticket, served);
            self.reference.on_served(self.now, id, served);
        }
    }

    fn snapshot(&mut self) {
        let list = generate::list(&mut self.rng, self.now, self.hosts);
        self.epoch += u64::from(self.rng.below(3));
        let writer = 1 + u64::from(self.rng.below(8) / 7);
        let stamp = if one_in(&mut self.rng, 10) {
            self.now + Micros::from_millis(700)
        } else {
            earlier(self.now, self.rng.below(1_500_000))
        };
        let bytes = generate::snapshot(self.epoch, stamp, writer, &list);
        assert_eq!(self.router.apply_snapshot(self.now, &bytes), Ok(self.epoch));
        self.reference
            .apply_snapshot(self.now, self.epoch, writer, stamp, &list);
    }

    fn share(&mut self) {
        let slot = [0, 1, WORKERS][self.rng.below(3) as usize];
        // Sometimes the slot has a new owner, and sometimes it is our own.
        let owner = [10, 10, 10, 11, OWN_SEED][self.rng.below(5) as usize];
        let mut parts = Vec::new();
        for host in 0..=self.hosts {
            if one_in(&mut self.rng, 2) {
                parts.push(generate::part(
                    &mut self.rng,
                    self.now,
                    generate::address(host),
                ));
            }
        }
        let prompt = generate::prompt(&mut self.rng);
        let request = prompt.request();
        let blocks: Vec<SharedBlock> = request
            .blocks
            .iter()
            .map(|block| SharedBlock {
                key: block_key(block.hash, request.model, request.salt),
                part: self.rng.below(parts.len() as u32 + 1),
                extent: self.rng.below(30_000),
            })
            .collect();
        let number = self.numbers.entry(slot).or_default();
        *number += u64::from(self.rng.below(6)) + blocks.len() as u64;
        let said = Said {
            owner,
            stamp: match self.rng.below(8) {
                0 => earlier(self.now, 1_400_000),
                1 => self.now + Micros::from_millis(1400),
                _ => earlier(self.now, self.rng.below(100_000)),
            },
            next: *number,
            parts,
            blocks,
        };
        let bytes = generate::share(said.owner, said.stamp, said.next, &said.parts, &said.blocks);
        // Readers may see a value twice.
        for _ in 0..=self.rng.below(2) {
            self.router.apply_share(self.now, slot, &bytes);
            self.reference.apply_share(self.now, slot, &said);
        }
    }
}

fn config(rng: &mut Rng, hosts: u32) -> Config {
    let mut config = Config::default();
    if one_in(rng, 3) {
        config.policy = Policy::NAMES[rng.below(6) as usize].1;
    }
    if config.policy == Policy::Plimsoll && one_in(rng, 2) {
        // It is asked, and changes nothing.
        config.shadow.enabled = true;
        config.shadow.policy = Policy::NAMES[rng.below(6) as usize].1;
        config.shadow.weights.stall = u64::from(rng.below(1 << 18));
    }
    config.limits.hosts = 64;
    config.limits.inflight = 256;
    config.limits.prefix_blocks = 4096;
    config.tie_band = u64::from(rng.below(3) * rng.below(4000));
    config.stale_after = Micros::from_millis(u64::from(1000 + rng.below(3000)));
    config.priors.prefill_ns_per_token = u64::from(1000 + rng.below(90_000));
    config.health.consecutive_failures = 1 + rng.below(4);
    config.health.min_requests = 1 + rng.below(4);
    config.health.open = Micros::from_millis(u64::from(20 + rng.below(400)));
    config.health.max_open = config.health.open.times(u64::from(1 + rng.below(20)));
    config.health.probes = 1 + rng.below(2);
    config.health.max_ejected = u64::from(rng.below(5)) * ONE / 4;
    config.health.slow_start = Micros::from_millis(u64::from(rng.below(3) * rng.below(20_000)));
    config.health.slow_start_curve = 1 + rng.below(3);
    config.health.stall = Micros::from_millis(u64::from(200 + rng.below(20_000)));
    if one_in(rng, 6) {
        config.limits.host_inflight = 1 + rng.below(6);
        config.limits.pool_inflight = rng.below(60);
    }
    if one_in(rng, 4) {
        config.draining = vec![generate::address(rng.below(hosts))];
    }
    config.priors.output_tokens = u64::from(1 + rng.below(500));
    config.weights.prefill = u64::from(rng.below(5)) * ONE;
    config.weights.stall = u64::from(rng.below(1 << 17));
    config.weights.crowding = u64::from(rng.below(1 << 16));
    config.weights.kv_pressure = u64::from(rng.below(8)) * ONE;
    if !one_in(rng, 3) {
        let mut list = generate::list(rng, generate::start(), hosts);
        list.retain(|listed| listed.state == State::Ready);
        config.hosts = list
            .iter()
            .map(|listed| ConfiguredHost {
                address: listed.address,
                weight: listed.weight,
                models: listed.models.to_vec(),
            })
            .collect();
    }
    config
}

/// Records of every kind of decision.
pub(crate) fn records() -> Vec<Vec<u8>> {
    let worlds = (0..24).map(|seed| {
        let mut world = World::new(7000 + seed);
        for _ in 0..80 {
            world.step();
        }
        world.records
    });
    let some = worlds.flat_map(|records| records.into_iter().skip(2).step_by(2));
    some.filter(|record| !record.is_empty()).collect()
}

#[test]
fn every_decision_is_the_references() {
    let mut decided: BTreeMap<&str, u32> = BTreeMap::new();
    let (mut cached, mut homed, mut guarded, mut opened) = (0, 0, [0; 4], [0; 5]);
    for seed in 0..1200 {
        let mut world = World::new(seed);
        for _ in 0..80 {
            world.step();
        }
        assert_eq!(world.router.overflows()[2], 0, "the table is large enough");
        for (kind, count) in world.decided {
            *decided.entry(kind).or_default() += count;
        }
        cached += world.cached;
        homed += world.homed;
        for (sum, count) in guarded.iter_mut().zip(world.guarded) {
            *sum += count;
        }
        let events = world.router.health_events();
        for (sum, count) in opened.iter_mut().zip(events.opened) {
            *sum += count;
        }
    }
    // The sequences reach every rung, and both kinds of cached prefix.
    for kind in ["full", "local", "hash", "pass", "reject"] {
        assert!(decided[kind] > 200, "{decided:?}");
    }
    for (name, policy) in Policy::NAMES {
        assert!(
            policy == Policy::Plimsoll || decided[name] > 200,
            "{decided:?}"
        );
    }
    // So are the guards, and every cause of an ejection.
    assert!(guarded.iter().all(|n| *n > 400), "{guarded:?}");
    assert!(opened.iter().all(|n| *n > 10), "{opened:?}");
    assert!(cached > 2000 && homed > 2000, "{cached} {homed}");
}
