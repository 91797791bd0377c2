//! Random fleets, requests, snapshots and shares, all from a seed.

use plimsoll_core::fleet::Listed;
use plimsoll_core::host::{Address, Load, Polled, State};
use plimsoll_core::learn::Sums;
use plimsoll_core::observe::{Seen, Usage};
use plimsoll_core::request::{Block, Kind, Request};
use plimsoll_core::rng::{Rng, mix};
use plimsoll_core::router::Outcome;
use plimsoll_core::share::{self, Part};
use plimsoll_core::snapshot;
use plimsoll_core::time::{Instant, Micros};

/// Names of models that hosts serve; the last one no host does.
pub(crate) const MODELS: [u64; 3] = [101, 102, 103];

/// The `n`th host of any fleet.
pub(crate) fn address(n: u32) -> Address {
    Address::parse(&format!("10.0.{}.{}:8000", n / 200, n % 200 + 1)).unwrap()
}

pub(crate) fn start() -> Instant {
    Instant::from_micros(1_700_000_000_000_000)
}

pub(crate) fn earlier(now: Instant, micros: u32) -> Instant {
    Instant::from_micros(now.as_micros() - u64::from(micros))
}

pub(crate) fn one_in(rng: &mut Rng, n: u32) -> bool {
    rng.below(n) == 0
}

/// What a request is made of, blocks apart.
#[derive(Clone, Debug)]
pub(crate) struct Prompt {
    pub(crate) blocks: Vec<Block>,
    pub(crate) request: Request<'static>,
}

impl Prompt {
    pub(crate) fn request(&self) -> Request<'_> {
        Request {
            blocks: &self.blocks,
            ..self.request
        }
    }
}

/// A prompt of one of a few families that share their first blocks.
pub(crate) fn prompt(rng: &mut Rng) -> Prompt {
    let family = u64::from(rng.below(6));
    let length = rng.below(9);
    let blocks: Vec<Block> = (1..=length)
        .map(|i| Block {
            hash: mix(if i < 3 { family % 2 } else { family } * 1000 + u64::from(i)),
            end: (i * 256) << (mix(family) % 3),
        })
        .collect();
    let hashed = blocks.last().map_or(0, |block| u64::from(block.end));
    let blocks_complete = !one_in(rng, 3);
    let rest = if blocks_complete { 300 } else { 30_000 };
    Prompt {
        blocks,
        request: Request {
            kind: [Kind::Chat, Kind::Completion, Kind::Other][rng.below(3) as usize],
            model: [0, 0, MODELS[0], MODELS[1], MODELS[2]][rng.below(5) as usize],
            salt: u64::from(rng.below(8) / 7),
            tenant: u64::from(rng.below(3)),
            session: 0,
            prompt_bytes: hashed + u64::from(rng.below(rest)),
            blocks: &[],
            blocks_complete,
            max_tokens: one_in(rng, 3).then(|| rng.below(600)),
            stream: !one_in(rng, 3),
            seed: rng.next(),
        },
    }
}

pub(crate) fn polled(rng: &mut Rng, now: Instant) -> Polled {
    Polled {
        at: earlier(now, rng.below(600_000)),
        running: rng.below(12),
        waiting: rng.below(4),
        kv_used_q16: rng.below(65_537),
        kv_capacity_tokens: [0, 3000, 40_000, 900_000][rng.below(4) as usize],
        // Counts on, for the most part.
        computed_tokens: match rng.below(4) {
            0 => 0,
            1 => u64::from(rng.below(5000)),
            _ => now.as_micros() / 200,
        },
    }
}

/// Some of the first `hosts` hosts in any order and state.
pub(crate) fn list(rng: &mut Rng, now: Instant, hosts: u32) -> Vec<Listed> {
    let polls = !one_in(rng, 4);
    let mut list: Vec<Listed> = (0..hosts)
        .filter_map(|n| {
            if one_in(rng, 8) {
                return None;
            }
            let state = match rng.below(10) {
                0 => State::Draining,
                1 => State::Down,
                2 if one_in(rng, 3) => State::Warming,
                _ => State::Ready,
            };
            let model = if n % 4 == 3 { MODELS[1] } else { MODELS[0] };
            Some(Listed {
                address: address(n),
                weight: rng.below(4),
                models: [if one_in(rng, 6) { 0 } else { model }, 0, 0, 0],
                state,
                since: if one_in(rng, 10) {
                    earlier(now, rng.below(5_000_000))
                } else {
                    Instant::ZERO
                },
                polled: (polls && !one_in(rng, 5)).then(|| polled(rng, now)),
            })
        })
        .collect();
    shuffle(rng, &mut list);
    list
}

pub(crate) fn shuffle<T>(rng: &mut Rng, items: &mut [T]) {
    for i in (1..items.len()).rev() {
        items.swap(i, rng.below(i as u32 + 1) as usize);
    }
}

pub(crate) fn snapshot(epoch: u64, stamp: Instant, writer: u64, list: &[Listed]) -> Vec<u8> {
    let mut out = Vec::new();
    snapshot::write(&mut out, epoch, stamp, writer, list.iter().copied());
    out
}

/// What another worker says of one host.
pub(crate) fn part(rng: &mut Rng, now: Instant, address: Address) -> Part {
    let requests = rng.below(6);
    let samples = u64::from(rng.below(2) * rng.below(20));
    let tokens = samples * u64::from(100 + rng.below(4000));
    Part {
        host: address.key(),
        load: Load {
            requests,
            prefilling: requests / 2,
            queued_tokens: u64::from(requests * rng.below(900)),
            kv_tokens: u64::from(requests * rng.below(2000)),
        },
        sums: Sums {
            ttft: tokens * u64::from(10 + rng.below(60)),
            tokens,
            samples: samples * 256,
            squares: samples * u64::from(rng.below(60_000)),
        },
        ejected_until: match rng.below(12) {
            0 => now + Micros::new(u64::from(rng.below(8_000_000))),
            1 => earlier(now, rng.below(1_000_000)),
            _ => Instant::ZERO,
        },
    }
}

/// A worker with two requests at `address`, that has learned nothing.
pub(crate) fn busy(address: Address) -> Part {
    Part {
        host: address.key(),
        load: Load {
            requests: 2,
            prefilling: 1,
            queued_tokens: 500,
            kv_tokens: 900,
        },
        sums: Sums::default(),
        ejected_until: Instant::ZERO,
    }
}

pub(crate) fn share(
    owner: u64,
    stamp: Instant,
    next: u64,
    parts: &[Part],
    blocks: &[share::SharedBlock],
) -> Vec<u8> {
    let mut out = Vec::new();
    let (parts, blocks) = (parts.iter().copied(), blocks.iter().copied());
    share::write(&mut out, owner, stamp, next, parts, blocks);
    out
}

pub(crate) fn seen(rng: &mut Rng) -> Seen {
    let usage = one_in(rng, 3).then(|| Usage {
        prompt_tokens: rng.below(3000),
        completion_tokens: rng.below(700),
        cached_tokens: one_in(rng, 2).then(|| rng.below(2000)),
    });
    Seen {
        tokens: rng.below(3),
        usage,
        done: false,
    }
}

pub(crate) fn outcome(rng: &mut Rng) -> Outcome {
    Outcome {
        status: [200, 200, 200, 404, 503, 0][rng.below(6) as usize],
        aborted: one_in(rng, 8),
        failed: one_in(rng, 8),
    }
}
