//! How long a request would wait, and when one that is not let in is to come back.

use super::account::Limit;
use super::{Admission, Ask, Shed, ShedReason};
use crate::fixed;
use crate::time::{Instant, Micros};

impl Admission {
    /// Cost a second at which requests of `tenant` leave the queue of tier `rank`; 0 when unknown.
    #[inline(never)]
    pub(super) fn rate(&self, rank: usize, tenant: u64) -> u64 {
        let (mut own, mut all) = (1, 0u64);
        for account in &self.accounts {
            let contends = account.waiting > 0 || account.promised > 0;
            if account.tenant == tenant || (contends && account.rank == rank) {
                all = all.saturating_add(account.weight);
                if account.tenant == tenant {
                    own = account.weight;
                }
            }
        }
        let rate = self.tiers.get(rank).map_or(0, |tier| tier.meter.rate);
        fixed::mul_div(rate, own, all)
    }

    pub(super) fn time_for(&self, cost: u64, rank: usize, tenant: u64) -> Option<Micros> {
        let rate = self.rate(rank, tenant);
        (rate > 0).then(|| Micros::new(fixed::mul_div(cost, 1_000_000, rate)))
    }

    /// How long a request of `cost` would wait; nothing is predicted before the queue has been seen to drain.
    pub(super) fn predicted_wait(&self, rank: usize, tenant: u64, cost: u64) -> Micros {
        let ahead = self
            .place_of(tenant)
            .ok()
            .and_then(|place| self.accounts.get(place))
            .map_or(0, |account| account.waiting_cost);
        self.time_for(ahead.saturating_add(cost), rank, tenant)
            .unwrap_or_default()
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
        let ahead = self.account(tenant).map_or(0, |account| {
            account.waiting_cost.saturating_add(account.promised)
        });
        let longest = self.tiers.get(rank).map_or(Micros::ZERO, |t| t.max_wait);
        let wait = self
            .time_for(ahead.saturating_add(ask.cost), rank, tenant)
            .unwrap_or(longest);
        let shed = Shed::for_now(reason, wait, ask.seed);
        let told = Micros::from_millis(u64::from(shed.retry_after).saturating_mul(1000));
        if self.promises.give(now, tenant, ask.key, told, ask.cost)
            && let Some(account) = self.account(tenant)
        {
            account.rank = rank;
            account.promised = account.promised.saturating_add(ask.cost);
        }
        shed
    }

    #[cold]
    pub(super) fn limited(&self, rank: usize, limit: Limit, wait: Micros, ask: &Ask) -> Shed {
        let reason = match limit {
            Limit::Requests => ShedReason::RequestsPerMinute,
            Limit::Tokens => ShedReason::TokensPerMinute,
            Limit::Concurrent => ShedReason::Concurrent,
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
