//! The workers of one proxy share every tenant's budgets, its requests at once, its attained service and its promises.
//!
//! Each tells the others what it has done since its start, every tick; whoever listens counts the difference to what was said before. So all books agree
//! but for what happened since the last tick, and in that time each worker takes no more than its part of what is left.
//!
//! # Limits
//! A worker that begins knows only what the others still have left, not what was promised. What the workers together take beyond a limit is at most one
//! request each.

use alloc::vec::Vec;

use super::account::Account;
use super::wire::{self, TenantRow, TierRow, Value};
use super::{Admission, owed};
use crate::fixed::ONE;
use crate::time::{Instant, Micros};

/// Promises told in one value.
const MOST_TOLD: usize = 256;
/// So long is a promise told: whoever listens may be late, and finds only what was written last.
const TELLING: Micros = Micros::from_millis(250);
/// Whoever has said nothing for this long does not count.
const LIFE: Micros = Micros::from_millis(1000);

/// A promise that was given or kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    /// Its running number, so that others take it once, and when it was given or kept.
    number: u64,
    at: Instant,
    key: u64,
    tenant: u64,
    due: Instant,
    cost: u64,
}

/// What another worker said last.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    slot: usize,
    owner: u64,
    stamp: u64,
    heard: Instant,
    /// Number of the last promise that was taken over.
    told: u64,
    tiers: Vec<TierRow>,
    /// In the order of their tenants.
    tenants: Vec<TenantRow>,
}

/// What one of the books is elsewhere.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Elsewhere {
    pub(super) live: u64,
    pub(super) waiting_cost: u64,
}

impl Account {
    fn row(&self) -> TenantRow {
        let [requests, at_requests] = self.requests.said();
        let [tokens, at_tokens] = self.tokens.said();
        let [gpu, at_gpu] = self.gpu.said();
        [
            self.tenant,
            self.live,
            self.served as u64,
            self.waiting_cost,
            self.promised,
            requests,
            at_requests,
            tokens,
            at_tokens,
            gpu,
            at_gpu,
        ]
    }

    /// Another worker says `row`, and said `before`.
    fn follow(&mut self, now: Instant, row: &TenantRow, before: Option<&TenantRow>) {
        let since = |place: usize| {
            let at = |row: &TenantRow| row.get(place).copied().unwrap_or(0);
            before.map(|before| at(row).wrapping_sub(at(before)) as i64)
        };
        for (bucket, place) in self.buckets().into_iter().zip((5..).step_by(2)) {
            // What has flowed in until now must not hide what is taken.
            bucket.refill(now);
            match since(place) {
                Some(taken) => bucket.follow(taken),
                None => bucket.adopt(row.get(place + 1).map_or(0, |level| *level as i64)),
            }
        }
        self.attain_signed(since(2).unwrap_or(0));
    }
}

impl Admission {
    /// Writes what the other workers are to know into `out`, which is emptied first.
    pub fn tell(&mut self, now: Instant, owner: u64, out: &mut Vec<u8>) {
        wire::begin(out);
        let tiers = self
            .tiers
            .iter()
            .map(|tier| [tier.meter.rate, tier.served, tier.waiting as u64]);
        let tiers = wire::push(out, tiers);
        let tenants = wire::push(out, self.accounts.iter().map(Account::row));
        self.told
            .retain(|told| told.at <= now && now.since(told.at) <= TELLING);
        let told = self.told.iter().map(|told| {
            let wait = told.due.since(now).get();
            [told.number, told.key, told.tenant, wait, told.cost]
        });
        let promises = wire::push(out, told);
        wire::seal(out, owner, now.as_micros(), [tiers, tenants, promises]);
    }

    /// Another worker, in `slot`, says `bytes`. What is no such value is ignored.
    pub fn hear(&mut self, now: Instant, slot: usize, bytes: &[u8]) {
        let Some(value) = Value::new_checked(bytes) else {
            return;
        };
        let place = match self.peers.iter().position(|peer| peer.slot == slot) {
            Some(place) => place,
            None => {
                self.peers.push(Peer {
                    slot,
                    owner: 0,
                    stamp: 0,
                    heard: now,
                    told: 0,
                    tiers: Vec::new(),
                    tenants: Vec::new(),
                });
                self.peers.len() - 1
            }
        };
        let Some(peer) = self.peers.get_mut(place) else {
            return;
        };
        if (peer.owner, peer.stamp) == (value.owner(), value.stamp()) {
            return;
        }
        if peer.owner != value.owner() {
            peer.told = 0;
            peer.tiers.clear();
            peer.tenants.clear();
        }
        (peer.owner, peer.stamp, peer.heard) = (value.owner(), value.stamp(), now);
        let known = peer.told;
        peer.told = value
            .promises()
            .fold(known, |last, [number, ..]| last.max(number));
        let tiers = core::mem::replace(&mut peer.tiers, value.tiers().collect());
        let tenants = core::mem::replace(&mut peer.tenants, value.tenants().collect());
        for row in value.tenants() {
            let [tenant, ..] = row;
            let before = tenants.binary_search_by_key(&tenant, |[tenant, ..]| *tenant);
            let before = before.ok().and_then(|place| tenants.get(place));
            if let Some(account) = self.account(tenant) {
                account.follow(now, &row, before);
            }
        }
        for (rank, ([_, served, _], [_, before, _])) in value.tiers().zip(&tiers).enumerate() {
            self.count_towards(rank, served.saturating_sub(*before));
        }
        for [number, key, tenant, wait, cost] in value.promises() {
            if number <= known || key == 0 {
                continue;
            }
            if cost > 0 {
                self.promise(now, tenant, key, Micros::new(wait), cost);
            } else if let Some(promise) = self.promises.find(tenant, key) {
                self.keep(&promise);
            }
        }
    }

    /// Sums up what the others said last, and begins anew to count what they do not know.
    pub(super) fn sum_elsewhere(&mut self, now: Instant) {
        self.peers.retain(|peer| now.since(peer.heard) <= LIFE);
        self.workers = 1 + self.peers.len() as u64;
        for (rank, tier) in self.tiers.iter_mut().enumerate() {
            let rows = self.peers.iter().filter_map(|peer| peer.tiers.get(rank));
            (tier.rate_elsewhere, tier.waiting_elsewhere) =
                rows.fold((0, 0), |(rate, waiting), [r, _, w]| {
                    (
                        u64::saturating_add(rate, *r),
                        u64::saturating_add(waiting, *w),
                    )
                });
        }
        let waiting = self.tiers.iter().map(|tier| tier.waiting_elsewhere);
        self.round.begin(waiting.fold(0, u64::saturating_add));
        for account in &mut self.accounts {
            account.elsewhere = Elsewhere::default();
            for peer in &self.peers {
                let place = peer
                    .tenants
                    .binary_search_by_key(&account.tenant, |[tenant, ..]| *tenant);
                if let Some([_, live, _, waiting, ..]) =
                    place.ok().and_then(|place| peer.tenants.get(place))
                {
                    let elsewhere = &mut account.elsewhere;
                    elsewhere.live = elsewhere.live.saturating_add(*live);
                    elsewhere.waiting_cost = elsewhere.waiting_cost.saturating_add(*waiting);
                }
            }
            account.begin_round(self.workers);
        }
    }

    /// `cost` of the tier `rank` was let through, here or elsewhere: counts it towards what tiers that wait are owed.
    pub(super) fn count_towards(&mut self, rank: usize, cost: u64) {
        let whole = owed(cost, ONE);
        for (place, tier) in self.tiers.iter_mut().enumerate() {
            if place == rank {
                tier.owed = tier.owed.saturating_sub(whole).max(whole.saturating_neg());
            }
            if tier.waiting > 0 {
                tier.owed = tier.owed.saturating_add(owed(cost, tier.guaranteed));
            }
        }
    }

    /// Notes what the others are to know of a promise (no cost: it was kept); what does not fit is known here alone.
    pub(super) fn tell_later(
        &mut self,
        now: Instant,
        key: u64,
        tenant: u64,
        due: Instant,
        cost: u64,
    ) {
        if self.told.len() < MOST_TOLD {
            self.last_told += 1;
            self.told.push(Told {
                number: self.last_told,
                at: now,
                key,
                tenant,
                due,
                cost,
            });
        }
    }
}
