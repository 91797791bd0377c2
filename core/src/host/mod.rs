//! What is known about one host.
//!
//! Two words are kept apart: *in flight* is what we sent and has not ended; *running* and *waiting* are what the engine reports, which
//! includes ours and everybody else's.

mod address;
mod head;
mod past;

pub use address::{ADDRESS_BYTES, Address};
pub use head::Head;
pub use past::Past;

use crate::fixed;
use crate::health::Health;
use crate::learn::Speed;
use crate::time::{Instant, Micros};

/// KV capacity assumed of an engine that does not report it, in tokens: the smallest card in the calibration set.
const ASSUMED_KV_TOKENS: u64 = 40_000;
/// Models a host is known to serve, as keys; the first few count.
pub const MODELS: usize = 4;

/// The first few of `models`, as records keep them.
pub fn first_models(models: &[u64]) -> [u64; MODELS] {
    let mut first = [0; MODELS];
    for (to, from) in first.iter_mut().zip(models) {
        *to = *from;
    }
    first
}

/// Whether a host may be given work, as the proxy or the collector sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// Takes requests.
    #[default]
    Ready = 0,
    /// Finishes what it has, gets nothing new.
    Draining = 1,
    /// Failed its checks.
    Down = 2,
    /// No longer listed; kept until what is in flight there has ended.
    Gone = 3,
    /// Well, but its warm-up requests have not been answered yet.
    Warming = 4,
}

/// Work in requests and tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Requests sent and not ended.
    pub requests: u32,
    /// Of those, requests without a first token.
    pub prefilling: u32,
    /// Uncached prompt tokens of the requests without a first token.
    pub queued_tokens: u64,
    /// KV tokens that the requests will hold: prompt and half the expected output.
    pub kv_tokens: u64,
}

impl Load {
    /// Adds `other` to this load.
    pub const fn add(&mut self, other: &Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.prefilling = self.prefilling.saturating_add(other.prefilling);
        self.queued_tokens = self.queued_tokens.saturating_add(other.queued_tokens);
        self.kv_tokens = self.kv_tokens.saturating_add(other.kv_tokens);
    }
}

/// What the engine said of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Polled {
    /// When it said so.
    pub at: Instant,
    /// Requests in its batch.
    pub running: u32,
    /// Requests in its queue.
    pub waiting: u32,
    /// Share of its KV cache in use, Q16.
    pub kv_used_q16: u32,
    /// Size of its KV cache in tokens; 0 when it does not say.
    pub kv_capacity_tokens: u64,
    /// Tokens it has put into its KV cache since it started: prompt tokens computed and tokens generated; 0 when it does not say.
    pub computed_tokens: u64,
}

/// One host.
#[derive(Clone, Debug)]
pub struct Host {
    /// Where it listens.
    pub address: Address,
    /// [`Address::key`], kept because every decision needs it.
    pub key: u64,
    /// Speed relative to the others, until learned.
    pub weight: u32,
    /// Keys of the models it serves; zeros where unknown.
    pub models: [u64; MODELS],
    /// Whether it may be given work.
    pub state: State,
    /// The engine's own counters, as old as [`Polled::at`].
    pub polled: Option<Polled>,
    /// Our work there: this worker's.
    pub own: Load,
    /// The first of our prefills there.
    pub head: Head,
    /// Tokens of it that must be computed by now.
    pub done: u64,
    /// The other workers' of this proxy, a tick old.
    pub peers: Load,
    /// Ours and the other workers' when the engine was polled, so that it is not counted twice.
    pub at_poll: Load,
    /// How fast it is.
    pub speed: Speed,
    /// Whether it may be trusted with requests, by how ours have ended.
    pub health: Health,
    /// The configuration says that it is to be drained.
    pub drained: bool,
    /// Largest recent gap between tokens of a stream of ours, and when it was seen: the token clock.
    pub gap: (Micros, Instant),
    /// New tokens taken in since its half of the prefix index last turned.
    pub turnover: u64,
}

impl Host {
    /// A host of which nothing is known but where it listens.
    pub fn new(address: Address, weight: u32, models: [u64; MODELS]) -> Self {
        Self {
            address,
            key: address.key(),
            weight: weight.max(1),
            models,
            state: State::Ready,
            polled: None,
            own: Load::default(),
            head: Head::default(),
            done: 0,
            peers: Load::default(),
            at_poll: Load::default(),
            speed: Speed::default(),
            health: Health::default(),
            drained: false,
            gap: (Micros::ZERO, Instant::ZERO),
            turnover: 0,
        }
    }

    /// Takes over what the engine said. Of the fleet's requests `ours` (Q16) came by us: those of others renew what they use in the
    /// engine's cache without our seeing it, so what we placed is forgotten by our own part of the new tokens.
    pub fn on_polled(&mut self, polled: Polled, ours: u64) {
        let before = self.polled.map_or(0, |polled| polled.computed_tokens);
        // An engine that starts again counts from zero, and has an empty cache.
        if before > 0 && polled.computed_tokens > 0 {
            let new = match polled.computed_tokens.checked_sub(before) {
                Some(new) => fixed::mul_q16(new, ours),
                None => u64::MAX,
            };
            self.turnover = self.turnover.saturating_add(new);
        }
        self.polled = Some(polled);
    }

    /// We sent a request that takes in `tokens`: counts where the engine does not count itself.
    pub fn on_taken_in(&mut self, tokens: u64) {
        if self.polled.is_none_or(|polled| polled.computed_tokens == 0) {
            self.turnover = self.turnover.saturating_add(tokens);
        }
    }

    /// How many halves of its KV cache new tokens have filled since this was last asked with an answer above zero; two are all of it.
    pub fn turns(&mut self) -> u64 {
        let capacity = self.polled.map_or(0, |polled| polled.kv_capacity_tokens);
        let capacity = if capacity == 0 {
            ASSUMED_KV_TOKENS
        } else {
            capacity
        };
        let turns = (self.turnover / (capacity / 2).max(1)).min(2);
        if turns > 0 {
            self.turnover = 0;
        }
        turns
    }

    /// Predicted time to prefill `tokens`, by requests that have ended.
    pub fn predict(&self, tokens: u64) -> Micros {
        Micros::new(fixed::mul_q16(tokens, self.speed.settled))
    }

    /// Time passes: the engine goes on with the first of our prefills.
    pub fn go_on(&mut self, now: Instant) {
        self.done = self.head.computed(now, &self.speed);
    }

    /// A prefill of ours is over, and the next one's turn has come.
    pub fn end_prefill(&mut self, now: Instant, tokens: u64) {
        self.head.ended = now;
        self.done = 0;
        self.own.prefilling = self.own.prefilling.saturating_sub(1);
        self.own.queued_tokens = self.own.queued_tokens.saturating_sub(tokens);
    }

    /// Of our uncached tokens queued there, those that are left to be computed.
    #[inline]
    pub const fn left(&self) -> u64 {
        self.own.queued_tokens.saturating_sub(self.done)
    }

    /// The same over all workers of this proxy.
    #[inline]
    pub const fn queued(&self) -> u64 {
        self.left().saturating_add(self.peers.queued_tokens)
    }

    /// Adds what somebody else of ours had there `age` ago: the engine has gone on with what was queued.
    pub fn add_peer(&mut self, load: &Load, age: Micros) {
        let computed = self.speed.tokens_in(age);
        self.peers.add(&Load {
            queued_tokens: load.queued_tokens.saturating_sub(computed),
            ..*load
        });
    }

    /// Whether it is known to serve `model`.
    #[inline]
    pub fn serves(&self, model: u64) -> bool {
        self.models.contains(&model)
    }

    /// Our work there, over all workers of this proxy.
    pub const fn load(&self) -> Load {
        let mut load = self.own;
        load.add(&self.peers);
        load
    }

    /// Our requests there, over all workers of this proxy.
    #[inline]
    pub const fn ours(&self) -> u32 {
        self.own.requests.saturating_add(self.peers.requests)
    }

    /// Requests of other proxies there, by the engine's counters.
    #[inline]
    pub fn others(&self) -> u32 {
        self.polled.map_or(0, |polled| {
            polled
                .running
                .saturating_add(polled.waiting)
                .saturating_sub(self.at_poll.requests)
        })
    }
}
