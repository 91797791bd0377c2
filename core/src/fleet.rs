//! The hosts of a pool, and what is true of them together.

use alloc::vec::Vec;

use hashbrown::HashMap;

use crate::config::{Config, Priors};
use crate::fixed::{self, ONE};
use crate::health::eject;
use crate::host::{Address, Host, MODELS, Past, Polled, State};
use crate::learn;
use crate::time::Instant;

/// The means of ours and others' requests are over so many snapshots, as a power of two: some seconds, since a fleet holds few requests at a
/// time and their number jumps.
const MEMORY: u32 = 6;

/// A host as the list names it, from configuration or from a snapshot.
#[derive(Clone, Copy, Debug)]
pub struct Listed {
    /// Where it listens.
    pub address: Address,
    /// Static weight.
    pub weight: u32,
    /// Models it serves.
    pub models: [u64; MODELS],
    /// Whether it may be given work.
    pub state: State,
    /// When it joined or came back; zero for a host that was there from the start.
    pub since: Instant,
    /// What the engine said, if it was asked.
    pub polled: Option<Polled>,
}

/// The table of hosts. An index stays with its host for as long as the host is listed or has work of ours.
#[derive(Clone, Debug)]
pub struct Fleet {
    hosts: Vec<Host>,
    /// What each had of ours at the last ticks; not part of [`Host`], which every decision walks through.
    past: Vec<Past>,
    by_key: HashMap<u64, u16, passthrough::BuildMix>,
    capacity: usize,
    ignored: u64,
    /// Hosts that are not gone; every decision asks, and only [`Self::sync`] changes it.
    listed: usize,
    /// Requests (Q16) on all hosts by our books, and by the engines' counters, in the mean of the last snapshots; zeros before any.
    crowd: (u64, u64),
    /// When what was learned last faded.
    faded: Instant,
}

impl Fleet {
    /// An empty fleet of at most `capacity` hosts.
    pub fn new(capacity: usize) -> Self {
        Self {
            hosts: Vec::new(),
            past: Vec::new(),
            by_key: HashMap::with_hasher(passthrough::BuildMix),
            capacity: capacity.min(usize::from(u16::MAX)),
            ignored: 0,
            listed: 0,
            crowd: (0, 0),
            faded: Instant::ZERO,
        }
    }

    /// Every slot, hosts that are gone included.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// Every slot, hosts that are gone included.
    pub fn hosts_mut(&mut self) -> &mut [Host] {
        &mut self.hosts
    }

    /// The host at `index`.
    pub fn get(&self, index: usize) -> Option<&Host> {
        self.hosts.get(index)
    }

    /// The host at `index`.
    pub fn get_mut(&mut self, index: usize) -> Option<&mut Host> {
        self.hosts.get_mut(index)
    }

    /// Index of the host at `address`.
    pub fn find(&self, address: &Address) -> Option<usize> {
        self.find_key(address.key())
    }

    /// Index of the host whose [`Address::key`] is `key`.
    pub fn find_key(&self, key: u64) -> Option<usize> {
        self.by_key.get(&key).map(|index| usize::from(*index))
    }

    /// Hosts that are listed.
    pub fn listed(&self) -> usize {
        self.listed
    }

    /// Hosts that found no room.
    pub fn ignored(&self) -> u64 {
        self.ignored
    }

    /// Share (Q16) of the fleet's requests that other proxies sent; all of them as long as no poll has told.
    pub fn foreign(&self) -> u64 {
        let share = match self.crowd {
            (0, 0) => ONE,
            (ours, all) => fixed::ratio(all.saturating_sub(ours), all),
        };
        // What is on its way between engine and proxy is in one book and not in the other: a sixteenth is noise, not another proxy.
        share.saturating_sub(ONE / 16)
    }

    /// Takes over the list. Hosts that are not on it are gone: no new work, and their place is given to another once nothing of ours
    /// runs there. Calls `reused(index)` for a place that has a new owner.
    pub fn sync(
        &mut self,
        list: impl Iterator<Item = Listed> + Clone,
        mut reused: impl FnMut(usize),
    ) {
        let ours = ONE.saturating_sub(self.foreign());
        for host in &mut self.hosts {
            host.state = State::Gone;
        }
        for listed in list.clone() {
            if let Some(host) = self
                .find(&listed.address)
                .and_then(|index| self.hosts.get_mut(index))
            {
                host.state = listed.state;
                host.weight = listed.weight.max(1);
                host.models = listed.models;
                host.health.on_joined(listed.since);
                if let Some(polled) = listed.polled {
                    host.on_polled(polled, ours);
                }
            }
        }
        // Only when it is clear who stays may a newcomer take the place of one who left.
        for listed in list {
            if self.find(&listed.address).is_none() {
                match self.place(&listed) {
                    Some((index, true)) => reused(index),
                    Some(_) => {}
                    None => self.ignored = self.ignored.saturating_add(1),
                }
            }
        }
        let listed = self.hosts.iter().filter(|host| host.state != State::Gone);
        self.listed = listed.count();
    }

    /// Applies what `config` says of hosts, whoever lists them: after every change of either.
    pub fn obey(&mut self, config: &Config) {
        for host in &mut self.hosts {
            host.drained = config.draining.contains(&host.address);
        }
        eject::keep_cap(&mut self.hosts, &config.health);
    }

    fn place(&mut self, listed: &Listed) -> Option<(usize, bool)> {
        let mut host = Host::new(listed.address, listed.weight, listed.models);
        host.state = listed.state;
        host.polled = listed.polled;
        host.health.on_joined(listed.since);
        let key = host.key;
        let free = if self.hosts.len() < self.capacity {
            None
        } else {
            Some(
                self.hosts
                    .iter()
                    .position(|host| host.state == State::Gone && host.own.requests == 0)?,
            )
        };
        let (index, again) = match free {
            Some(index) => {
                let slot = self.hosts.get_mut(index)?;
                self.by_key.remove(&slot.key);
                *slot = host;
                *self.past.get_mut(index)? = Past::default();
                (index, true)
            }
            None => {
                self.hosts.push(host);
                self.past.push(Past::default());
                (self.hosts.len() - 1, false)
            }
        };
        self.by_key
            .insert(key, u16::try_from(index).unwrap_or(u16::MAX));
        Some((index, again))
    }

    /// Works out speeds from what has been seen.
    pub fn relearn(&mut self, priors: &Priors) {
        let prior = fixed::mul_div(priors.prefill_ns_per_token, ONE, 1000);
        learn::relearn(prior, &mut self.hosts);
    }

    /// Lets what was learned of speeds fade with time. True when it did.
    pub fn fade(&mut self, now: Instant) -> bool {
        // A clock that is set back must not stop it until it has caught up.
        self.faded = self.faded.min(now);
        if now.since(self.faded) < learn::FADE_EVERY {
            return false;
        }
        self.faded = now;
        for host in &mut self.hosts {
            host.speed.own.fade();
        }
        true
    }

    /// Notes what every host has of ours at `now`, against which the counters of its next poll will be held.
    pub fn note_loads(&mut self, now: Instant) {
        for (past, host) in self.past.iter_mut().zip(&self.hosts) {
            past.note(now, host.load());
        }
    }

    /// Forgets what hosts had of ours: the clock was set back.
    pub fn forget_loads(&mut self) {
        self.past.fill(Past::default());
    }

    /// Works out what of ours the engines' new counters held, and how much of all that they held.
    pub fn settle_polls(&mut self) {
        let (mut ours, mut all) = (0u64, 0u64);
        for (past, host) in self.past.iter_mut().zip(&mut self.hosts) {
            let Some(polled) = host.polled else { continue };
            if let Some(load) = past.settle(polled.at, host.load()) {
                host.at_poll = load;
            }
            if host.state != State::Gone {
                ours += u64::from(host.at_poll.requests) * ONE;
                all += (u64::from(polled.running) + u64::from(polled.waiting)) * ONE;
            }
        }
        // Means first and the difference then: of single snapshots every chance excess of the engines' would count and no shortfall. Both
        // begin at zero, so the first samples weigh no more than others. An idle fleet tells nothing.
        if ours + all > 0 {
            let (ours_before, all_before) = self.crowd;
            self.crowd = (
                fixed::ewma(ours_before, ours, MEMORY),
                fixed::ewma(all_before, all, MEMORY),
            );
        }
    }
}

/// The hasher of [`Fleet`]'s table: keys are hashes already.
mod passthrough {
    use core::hash::{BuildHasher, Hasher};

    #[derive(Clone, Copy, Debug, Default)]
    pub(super) struct BuildMix;

    impl BuildHasher for BuildMix {
        type Hasher = Mix;
        fn build_hasher(&self) -> Mix {
            Mix(0)
        }
    }

    #[derive(Debug)]
    pub(super) struct Mix(u64);

    impl Hasher for Mix {
        fn write(&mut self, bytes: &[u8]) {
            for byte in bytes {
                self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
            }
        }
        fn write_u64(&mut self, value: u64) {
            self.0 ^= value;
        }
        fn finish(&self) -> u64 {
            self.0
        }
    }
}
