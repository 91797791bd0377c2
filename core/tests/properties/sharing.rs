//! Shared answers under any order of calls: each follower is freed once and with the answer of whom it followed, nothing grows beyond its
//! bound, and nothing is kept for too long.

use std::collections::{BTreeMap, BTreeSet};

use plimsoll_core::config;
use plimsoll_core::observe::Body;
use plimsoll_core::reuse::{Asked, Flight, Found, Freed, Key, Reuse};
use plimsoll_core::rng::Rng;
use plimsoll_core::time::{Instant, Micros};

use crate::generate::{earlier, start};

/// A request whose answer is on its way, as far as it has come.
struct Flying {
    flight: Flight,
    key: u64,
    content: Vec<u8>,
    done: bool,
    /// It was said that it takes no more.
    over: bool,
}

struct World {
    rng: Rng,
    now: Instant,
    config: config::Reuse,
    reuse: Reuse,
    flying: Vec<Flying>,
    /// The last whole answer of each key, and when it was whole.
    whole: BTreeMap<u64, (Vec<u8>, Instant)>,
    /// Those that wait, with what they asked for and since when.
    waiting: BTreeMap<u32, (u64, Instant)>,
    /// Keys of which a request has failed since the last tick.
    failed: BTreeSet<u64>,
    tags: u32,
    answered: usize,
}

fn config(rng: &mut Rng) -> config::Reuse {
    config::Reuse {
        coalesce: rng.below(4) > 0,
        ttl: Micros::new(u64::from(rng.below(3) * rng.below(60_000))),
        bytes: 1200 + rng.below(3000) as usize,
        answer_bytes: 1024,
        followers: 1 + rng.below(5) as usize,
        max_wait: Micros::new(u64::from(1 + rng.below(50_000))),
    }
}

fn key(n: u64) -> Key {
    let asked = Asked {
        tenant: 1 + n % 2,
        ..Asked::default()
    };
    asked.key([1, 2], vec![n as u8 / 2]).unwrap()
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let config = config(&mut rng);
        let mut reuse = Reuse::default();
        reuse.configure(&config);
        Self {
            now: start(),
            config,
            reuse,
            flying: Vec::new(),
            whole: BTreeMap::new(),
            waiting: BTreeMap::new(),
            failed: BTreeSet::new(),
            tags: 0,
            answered: 0,
            rng,
        }
    }

    fn step(&mut self) {
        self.now = match self.rng.below(60) {
            0 => earlier(self.now, self.rng.below(90_000)),
            _ => self.now + Micros::new(u64::from(self.rng.below(3_000))),
        };
        match self.rng.below(24) {
            0..9 => self.arrive(),
            9..15 => self.push(),
            15..18 => self.end(),
            18 => self.leave(),
            19 if self.rng.below(8) == 0 => self.configure(),
            _ => self.tick(),
        }
        assert!(self.reuse.bytes() <= self.config.bytes);
        assert_eq!(self.reuse.following(), self.waiting.len());
    }

    fn arrive(&mut self) {
        let n = u64::from(self.rng.below(6));
        self.tags += 1;
        match self.reuse.arrive(self.now, key(n), self.tags) {
            Found::Kept => {
                let (_, since) = self.whole[&n];
                assert!(self.now.since(since) < self.config.ttl && since <= self.now);
                self.check_answer(n);
            }
            Found::Follows => {
                assert!(self.config.coalesce && self.waiting.len() < self.config.followers);
                assert!(self.flying.iter().any(|f| f.key == n && !f.over));
                self.waiting.insert(self.tags, (n, self.now));
            }
            Found::Leads(flight) => {
                assert!(!self.flying.iter().any(|f| f.key == n && !f.over));
                self.whole.remove(&n);
                self.flying.push(Flying {
                    flight,
                    key: n,
                    content: Vec::new(),
                    done: false,
                    over: false,
                });
            }
            Found::Alone => {}
        }
    }

    /// What is there for `n` is its last whole answer.
    fn check_answer(&mut self, n: u64) {
        let answer = self.reuse.answer(self.now, &key(n)).unwrap();
        assert_eq!(answer.content, self.whole[&n].0);
        self.answered += 1;
    }

    fn any_flying(&mut self) -> Option<usize> {
        let at = self.rng.below(self.flying.len() as u32) as usize;
        (!self.flying.is_empty()).then_some(at)
    }

    fn push(&mut self) {
        let Some(at) = self.any_flying() else { return };
        let piece = vec![self.rng.below(256) as u8; self.rng.below(300) as usize];
        let done = self.rng.below(3) == 0;
        let flying = &mut self.flying[at];
        let taken = self.reuse.push(flying.flight, Body::Json, &piece, done);
        assert!(!taken || !flying.over, "taken after it was over");
        flying.over |= !taken;
        if taken {
            flying.content.extend(piece);
            flying.done |= done;
            assert!(flying.content.len() <= self.config.answer_bytes);
        } else {
            self.failed.insert(flying.key);
        }
    }

    fn end(&mut self) {
        let Some(at) = self.any_flying() else { return };
        let flying = self.flying.swap_remove(at);
        self.reuse.end(self.now, flying.flight);
        if !flying.over && flying.done {
            self.whole.insert(flying.key, (flying.content, self.now));
        } else {
            self.failed.insert(flying.key);
        }
    }

    fn leave(&mut self) {
        // A tag that nobody has, that of one that went before, or one that waits.
        let tag = self.rng.below(self.tags + 2);
        self.reuse.leave(tag);
        self.waiting.remove(&tag);
    }

    fn configure(&mut self) {
        self.config = config(&mut self.rng);
        self.reuse.configure(&self.config);
        assert_eq!(self.reuse.bytes(), 0);
        self.whole.clear();
        for flying in &mut self.flying {
            flying.over = true;
        }
        self.failed.extend(self.waiting.values().map(|(n, _)| *n));
        self.tick();
        assert!(self.waiting.is_empty());
    }

    fn tick(&mut self) {
        for (_, since) in self.waiting.values_mut() {
            *since = self.now.min(*since);
        }
        self.reuse.on_tick(self.now);
        while let Some(Freed { tag, answer }) = self.reuse.next(self.now) {
            let (n, since) = self.waiting.remove(&tag).expect("freed once");
            match answer {
                Some(of) => {
                    assert_eq!(of, key(n));
                    self.check_answer(n);
                }
                // Whom it followed has failed, or it has waited long enough.
                None => {
                    let waited = self.now.since(since) >= self.config.max_wait;
                    assert!(waited || self.failed.contains(&n));
                }
            }
        }
        self.failed.clear();
        for (_, since) in self.waiting.values() {
            assert!(self.now.since(*since) < self.config.max_wait);
        }
    }
}

#[test]
fn answers_are_shared_once_in_time_and_within_bounds() {
    let mut answered = 0;
    for seed in 0..300 {
        let mut world = World::new(seed);
        for _ in 0..400 {
            world.step();
        }
        while !world.flying.is_empty() {
            world.end();
        }
        world.tick();
        assert!(
            world.waiting.is_empty(),
            "seed {seed}: somebody waits for nobody"
        );
        answered += world.answered;
    }
    assert!(answered > 3_000, "{answered}");
}
