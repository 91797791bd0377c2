//! How long a request would wait, and when one that is not let in is to come back.

use super::account::Limit;
use super::{Admission, Ask, Promise, Shed, ShedReason};
use crate::fixed;
use crate::time::{Instant, Micros};

impl Admission {
    /// The part of `tenant` in the cost a second that leaves the queues of tier `rank`, all workers' together; 0 when unknown.
    #[inline(never)]
    fn rate(&self, rank: usize, tenant: u64) -> u64 {
        let (mut own, mut all) = (1, 0u64);
        for account in &self.accounts {
            let contends =
                account.waiting > 0 || account.promised > 0 || account.elsewhere.waiting_cost > 0;
            if account.tenant == tenant || (contends && account.rank == rank) {
                all = all.saturating_add(account.weight);
                if account.tenant == tenant {
                    own = account.weight;
                }
            }
        }
        let rate = self.tiers.get(rank).map_or(0, |tier| {
            tier.meter.rate.saturating_add(tier.rate_elsewhere)
        });
        fixed::mul_div(rate, own, all)
    }

    /// The time in which all workers serve `cost` of `tenant`; nothing is predicted before a queue has been seen to drain.
    pub(super) fn time_for(&self, cost: u64, rank: usize, tenant: u64) -> Option<Micros> {
        let rate = self.rate(rank, tenant);
        (rate > 0).then(|| Micros::new(fixed::mul_div(cost, 1_000_000, rate)))
    }

    /// What waits of `tenant`, here and elsewhere.
    fn ahead(&self, tenant: u64) -> u64 {
        let place = self.place_of(tenant).ok();
        let account = place.and_then(|place| self.accounts.get(place));
        account.map_or(0, |account| {
            let elsewhere = account.elsewhere.waiting_cost;
            account.waiting_cost.saturating_add(elsewhere)
        })
    }

    /// How long a request of `cost` would wait.
    pub(super) fn predicted_wait(&self, rank: usize, tenant: u64, cost: u64) -> Micros {
        let cost = self.ahead(tenant).saturating_add(cost);
        self.time_for(cost, rank, tenant).unwrap_or_default()
    }

    /// Whether a request that would wait for `wait` is shed: never below half of what its tier allows, always above three quarters.
    pub(super) fn drawn(&self, rank: usize, wait: Micros, seed: u64) -> bool {
        let longest = self.tiers.get(rank).map_or(0, |tier| tier.max_wait.get());
        if !self.queueing || longest == 0 {
            return true;
        }
        let over = wait.get().saturating_sub(longest / 2);
        let lot = crate::rng::mix(seed) >> 48;
        over > 0 && lot < fixed::ratio(over, longest / 4)
    }

    /// Tells a request when its turn would come, and keeps its place.
    #[cold]
    pub(super) fn come_back(
        &mut self,
        now: Instant,
        reason: ShedReason,
        rank: usize,
        ask: &Ask,
        due: Option<Instant>,
    ) -> Shed {
        if let Some(due) = due {
            return Shed::for_now(reason, due.since(now), 0);
        }
        let tenant = ask.member.tenant;
        let promised = self.account(tenant).map_or(0, |account| account.promised);
        let ahead = self.ahead(tenant).saturating_add(promised);
        let longest = self.tiers.get(rank).map_or(Micros::ZERO, |t| t.max_wait);
        let wait = self
            .time_for(ahead.saturating_add(ask.cost), rank, tenant)
            .unwrap_or(longest);
        let shed = Shed::for_now(reason, wait, ask.seed);
        let told = Micros::from_millis(u64::from(shed.retry_after).saturating_mul(1000));
        if self.promise(now, tenant, ask.key, told, ask.cost) {
            if let Some(account) = self.account(tenant) {
                account.rank = rank;
            }
            self.tell_later(now, ask.key, tenant, now + told, ask.cost.max(1));
        }
        shed
    }

    /// Keeps a place for the request of `key`; false when there is no room.
    pub(super) fn promise(
        &mut self,
        now: Instant,
        tenant: u64,
        key: u64,
        wait: Micros,
        cost: u64,
    ) -> bool {
        let room = self.promises.give(now, tenant, key, wait, cost);
        if room && let Some(account) = self.account(tenant) {
            account.promised = account.promised.saturating_add(cost);
        }
        room
    }

    /// Forgets a promise, since it is kept.
    pub(super) fn keep(&mut self, promise: &Promise) {
        self.promises.keep(promise);
        if let Some(account) = self.account(promise.tenant) {
            account.promised = account.promised.saturating_sub(promise.cost);
        }
    }

    #[cold]
    pub(super) fn limited(&self, rank: usize, limit: Limit, wait: Micros, ask: &Ask) -> Shed {
        let reason = match limit {
            Limit::Requests => ShedReason::RequestsPerMinute,
            Limit::Tokens => ShedReason::TokensPerMinute,
            Limit::Concurrent => ShedReason::Concurrent,
            Limit::Gpu => ShedReason::GpuSecondsPerDay,
        };
        let wait = if wait == Micros::ZERO {
            self.time_for(ask.cost, rank, ask.member.tenant)
                .unwrap_or_default()
        } else {
            wait
        };
        Shed::for_now(reason, wait, ask.seed)
    }
}
