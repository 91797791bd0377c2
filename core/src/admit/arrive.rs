//! A request at the door.

use super::queue::{Entry, Standing};
use super::{Admission, Arrival, Ask, Hold, Micros, ONE, Shed, ShedReason};
use crate::time::Instant;

impl Admission {
    /// A request arrives while the fleet is saturated to `saturation` (Q16).
    pub fn arrive(&mut self, now: Instant, ask: &Ask, saturation: u64) -> Arrival {
        let member = ask.member;
        let hold = Hold {
            tenant: member.tenant,
            tokens: ask.tokens,
            cost: ask.cost,
        };
        let rank = usize::from(member.tier).min(self.tiers.len().saturating_sub(1));
        let promise = self.promises.find(member.tenant, ask.key);
        let on_time = promise.filter(|promise| promise.is_due(now));
        let reserved = match self.account(member.tenant).filter(|account| account.listed) {
            None => return Arrival::Shed(Shed::flat(ShedReason::TenantRemoved)),
            Some(account) => account.reserve(now, &hold),
        };
        if let Err((limit, wait)) = reserved {
            return Arrival::Shed(self.limited(rank, limit, wait, ask));
        }
        if let Some(promise) = &on_time {
            self.keep(promise);
            self.tell_later(now, promise.key, promise.tenant, now, 0);
        }
        let mut before = self.tiers.iter().take(rank + 1);
        let first = before.all(|tier| tier.waiting == 0 && tier.waiting_elsewhere == 0);
        let here = self.queue.in_line;
        let saturation = self.round.foresee(ask.model, saturation, here);
        let ceiling = self.tiers.get(rank).map_or(ONE, |tier| tier.ceiling);
        if self.open || (first && saturation < ceiling) {
            self.let_through(&hold, rank);
            return Arrival::Go(hold);
        }
        let wait = self.predicted_wait(rank, member.tenant, ask.cost);
        let shed = match on_time {
            None if self.drawn(rank, wait, ask.seed) => Some(ShedReason::Overloaded),
            _ => (!self.make_room(rank, member.tenant, ask.bytes)).then_some(ShedReason::QueueFull),
        };
        if let Some(reason) = shed {
            if let Some(account) = self.account(member.tenant) {
                account.refund(&hold, false);
            }
            // Who comes back too early is told the time he has been told before.
            let due = promise.filter(|_| on_time.is_none()).map(|p| p.due);
            return Arrival::Shed(self.come_back(now, reason, rank, ask, due));
        }
        let longest = self.tiers.get(rank).map_or(Micros::ZERO, |t| t.max_wait);
        let due = match on_time {
            Some(promise) => promise.due.min(now),
            None => now + ask.slo.unwrap_or(longest),
        };
        let entry = Entry {
            hold,
            tier: u8::try_from(rank).unwrap_or(u8::MAX),
            standing: Standing::InLine,
            bytes: ask.bytes,
            model: ask.model,
            entered: now,
            due,
            number: 0,
            tag: ask.tag,
        };
        match self.queue.push(entry) {
            Some(waiting) => {
                self.joined_line(&hold, rank);
                Arrival::Queue(waiting)
            }
            // So many have given way since the last release that even their places are taken.
            None => {
                if let Some(account) = self.account(member.tenant) {
                    account.refund(&hold, false);
                }
                Arrival::Shed(self.come_back(now, ShedReason::QueueFull, rank, ask, None))
            }
        }
    }

    pub(super) fn joined_line(&mut self, hold: &Hold, rank: usize) {
        // A tenant that comes back from a pause has no claim on what the others attained meanwhile.
        let least = self.tiers.get(rank).map_or(0, |tier| tier.attained);
        if let Some(tier) = self.tiers.get_mut(rank) {
            tier.waiting += 1;
        }
        if let Some(account) = self.account(hold.tenant) {
            if account.waiting == 0 {
                account.attained = account.attained.max(least);
            }
            account.rank = rank;
            account.waiting += 1;
            account.waiting_cost = account.waiting_cost.saturating_add(hold.cost);
        }
    }

    /// A request of `hold` and tier `rank` goes: counts it as attained, and towards what tiers that wait are owed.
    #[inline(never)]
    pub(super) fn let_through(&mut self, hold: &Hold, rank: usize) {
        let mut attained = 0;
        if let Some(account) = self.account(hold.tenant) {
            attained = account.attained;
            account.attain(hold.cost);
        }
        if let Some(tier) = self.tiers.get_mut(rank) {
            tier.attained = tier.attained.max(attained);
            tier.meter.count(hold.cost);
            tier.served = tier.served.saturating_add(hold.cost);
        }
        self.count_towards(rank, hold.cost);
    }

    /// Makes room for a request of `tenant` in tier `rank`; false when everything that waits goes before it.
    #[inline(never)]
    pub(super) fn make_room(&mut self, rank: usize, tenant: u64, bytes: u64) -> bool {
        let most = self.config.queue_bytes as u64;
        while self.queue.in_line >= self.config.queue
            || self.queue.bytes.saturating_add(bytes) > most
        {
            let mine = self.waiting_of(tenant);
            let last = self
                .queue
                .iter()
                .filter(|(_, entry)| entry.standing == Standing::InLine)
                .map(|(waiting, entry)| {
                    let theirs = self.waiting_of(entry.hold.tenant);
                    ((entry.tier, theirs, entry.number), waiting)
                })
                .max_by_key(|(order, _)| *order);
            let Some(((tier, theirs, _), waiting)) = last else {
                return false;
            };
            let tier = usize::from(tier);
            if tier < rank || (tier == rank && theirs <= mine + 1) {
                return false;
            }
            self.cast_out(waiting, ShedReason::Displaced);
        }
        true
    }

    pub(super) fn waiting_of(&self, tenant: u64) -> u64 {
        self.place_of(tenant)
            .ok()
            .and_then(|place| self.accounts.get(place))
            .map_or(0, |account| account.waiting)
    }
}
