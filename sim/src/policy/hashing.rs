//! Consistent hashing with bounded load.
//!
//! `session_hash`: Envoy's Maglev (table of 65,537) with `hash_balance_factor` 125. The key is the session, else the
//! tenant, else the request. A host is overloaded above 1.25 times its share of the requests in flight and this one,
//! rounded up; then a shuffle seeded with the key is walked to the first that is not, and the least overloaded serves if
//! all are. Source: envoyproxy/envoy, `thread_aware_lb_impl.cc`, `maglev_lb.cc`.
//!
//! `ring_hash`: the same key and bound on Envoy's ring (`ring_hash_lb.cc`; at least 1,024 points, so 1,024 over the hosts each, at least
//! one), walked to the first host that is not overloaded.
//!
//! `prefix_hash`: SMG's. The first 256 tokens are hashed to a ring, which is walked to the first host within 1.25 times
//! the mean; else least load. Source: lightseekorg/smg, `model_gateway/src/policies/prefix_hash.rs`.
//!
//! In flight are the router's own requests.

use super::loads::Loads;
use super::rival::Rival;
use super::{Conditions, Truth};
use crate::engine::{chain, mix};
use crate::fleet::Prepared;
use crate::random::Random;

const BALANCE: f64 = 1.25;
const MAGLEV: usize = 65_537;
const PREFIX_RING_POINTS: u64 = 160;
const SESSION_RING: u64 = 1024;
const PREFIX_TOKENS: u32 = 256;

/// Where a key leads.
enum Lookup {
    Maglev(Vec<u16>),
    /// Points with their hosts, ascending.
    Ring(Vec<(u64, usize)>),
}

/// What a request is hashed by, and what a host may have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// Envoy's: the session, else the tenant, else at random; so many requests, rounded up.
    Session,
    /// SMG's: the first tokens of the prompt; so many times the mean.
    Prefix,
}

impl Lookup {
    fn maglev(hosts: usize) -> Self {
        let mut table = vec![u16::MAX; MAGLEV];
        let mut next = vec![0; hosts];
        let mut filled = 0;
        while filled < MAGLEV && hosts > 0 {
            for (host, next) in next.iter_mut().enumerate() {
                let offset = mix(chain(1, host as u64)) as usize % MAGLEV;
                let skip = mix(chain(2, host as u64)) as usize % (MAGLEV - 1) + 1;
                let slot = loop {
                    let slot = (offset + *next * skip) % MAGLEV;
                    *next += 1;
                    if table[slot] == u16::MAX {
                        break slot;
                    }
                };
                table[slot] = host as u16;
                filled += 1;
                if filled == MAGLEV {
                    break;
                }
            }
        }
        Self::Maglev(table)
    }

    fn ring(hosts: usize, points: u64) -> Self {
        let points = (0..hosts).flat_map(|host| {
            (0..points).map(move |point| (chain(chain(3, host as u64), point), host))
        });
        let mut ring: Vec<_> = points.collect();
        ring.sort_unstable();
        Self::Ring(ring)
    }
}

pub(super) struct Hashing {
    loads: Loads,
    lookup: Lookup,
    rule: Rule,
    block_tokens: u32,
}

impl Hashing {
    pub(super) fn session(conditions: &Conditions<'_>) -> Self {
        let lookup = Lookup::maglev(conditions.fleet.len());
        Self::new(conditions, lookup, Rule::Session)
    }

    pub(super) fn ring(conditions: &Conditions<'_>) -> Self {
        let hosts = conditions.fleet.len();
        let points = SESSION_RING.div_ceil(hosts.max(1) as u64);
        Self::new(conditions, Lookup::ring(hosts, points), Rule::Session)
    }

    pub(super) fn prefix(conditions: &Conditions<'_>) -> Self {
        let lookup = Lookup::ring(conditions.fleet.len(), PREFIX_RING_POINTS);
        Self::new(conditions, lookup, Rule::Prefix)
    }

    fn new(conditions: &Conditions<'_>, lookup: Lookup, rule: Rule) -> Self {
        Self {
            loads: Loads::new(conditions.fleet.len()),
            lookup,
            rule,
            block_tokens: conditions.block_tokens,
        }
    }

    fn key(&self, request: &Prepared) -> u64 {
        let own = mix(request.id.wrapping_add(0x5EED));
        match self.rule {
            Rule::Session => [request.session, request.tenant]
                .into_iter()
                .find(|&key| key != 0)
                .map_or(own, mix),
            Rule::Prefix => {
                let blocks = &request.prompt.blocks;
                let last = (PREFIX_TOKENS / self.block_tokens).max(1) as usize - 1;
                blocks
                    .get(last.min(blocks.len().saturating_sub(1)))
                    .map_or(own, |&hash| mix(hash))
            }
        }
    }

    /// Own requests over what the host may have.
    fn overload(&self, host: usize) -> f64 {
        let hosts = self.loads.listed().count();
        let total: f64 = self.loads.listed().map(|host| self.loads.own(host)).sum();
        match self.rule {
            Rule::Session => {
                let slots = ((total + 1.0) * BALANCE).ceil() / hosts as f64;
                self.loads.own(host) / slots.ceil().max(1.0)
            }
            Rule::Prefix => self.loads.own(host) / ((total + 1.0) / hosts as f64 * BALANCE),
        }
    }

    fn host(&self, key: u64) -> Option<usize> {
        let listed = |host: usize| self.loads.hosts[host].polled.listed;
        let fits = |host: &usize| listed(*host) && self.overload(*host) <= 1.0;
        let hosts = self.loads.hosts.len();
        match &self.lookup {
            Lookup::Maglev(table) => {
                let first = usize::from(table[(key % MAGLEV as u64) as usize]);
                if fits(&first) {
                    return Some(first);
                }
                let mut random = Random::new(key);
                let mut order: Vec<usize> = (0..hosts).collect();
                for position in 0..hosts {
                    let other = position + random.below((hosts - position) as u64) as usize;
                    order.swap(position, other);
                }
                let least = order
                    .iter()
                    .copied()
                    .filter(|&host| listed(host))
                    .min_by(|&a, &b| self.overload(a).total_cmp(&self.overload(b)));
                order.into_iter().find(fits).or(least)
            }
            Lookup::Ring(ring) => {
                let start = ring.partition_point(|&(point, _)| point < key);
                ring.iter()
                    .cycle()
                    .skip(start)
                    .take(ring.len())
                    .map(|&(_, host)| host)
                    .find(fits)
                    .or_else(|| self.loads.first_least_own())
            }
        }
    }
}

impl Rival for Hashing {
    fn loads(&mut self) -> &mut Loads {
        &mut self.loads
    }

    fn pick(&mut self, _now: u64, request: &Prepared, _truth: &Truth<'_>) -> Option<usize> {
        self.host(self.key(request))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::script::Script;

    #[test]
    fn sessions_and_prefixes_stay_until_the_bound() {
        for name in ["session_hash", "ring_hash", "prefix_hash"] {
            let mut script = Script::new(name, 4);
            script.session = 7;
            let home = script.choose(0, &[1, 2, 3, 4, 5]);
            script.end(0, home);
            assert_eq!(script.choose(1, &[1, 2, 3, 4, 6]), home, "{name}");
            let mut elsewhere = 0;
            for id in 2..40 {
                elsewhere += usize::from(script.choose(id, &[1, 2, 3, 4, 5]) != home);
            }
            // 1.25 / 4 of 39 requests are 12.
            assert!((25..=27).contains(&elsewhere), "{name}: {elsewhere}");
        }
    }

    #[test]
    fn maglev_gives_equal_shares() {
        let Lookup::Maglev(table) = Lookup::maglev(7) else {
            unreachable!()
        };
        for host in 0..7 {
            let share = table.iter().filter(|&&slot| slot == host).count();
            assert!((9000..9700).contains(&share), "{host}: {share}");
        }
    }
}
