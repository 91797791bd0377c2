//! A tenant's books: what it may use, has reserved, and has attained.

use crate::config::Tenant;
use crate::hash;
use crate::time::{Instant, Micros};

/// Parts of a unit that flow into a bucket of one unit a minute in a microsecond.
const FINE: u64 = 60_000_000;
/// Parts of a token of attained service, so that weights divide without loss.
const SHARE: u64 = 256;

/// What a request has reserved; it is settled once, when the request has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hold {
    /// Hash of the tenant's name; 0 when nothing is reserved.
    pub tenant: u64,
    /// Prompt and output tokens, estimated.
    pub tokens: u64,
    /// Its weight in the fair shares: a prompt token counts 1, an output token 2.
    pub cost: u64,
}

/// Which limit stands in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    /// Requests a minute.
    Requests,
    /// Tokens a minute.
    Tokens,
    /// Requests at once.
    Concurrent,
}

/// A level that refills with time, to at most a minute's worth; it can be overdrawn by what an estimate was short of.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    per_minute: u64,
    level: i64,
    at: Instant,
}

fn fine(amount: u64) -> i64 {
    i64::try_from(amount.saturating_mul(FINE)).unwrap_or(i64::MAX)
}

impl Bucket {
    /// A new limit; what was used of the old one stays used.
    fn limit(&mut self, per_minute: u64) {
        let used = fine(self.per_minute).saturating_sub(self.level);
        self.per_minute = per_minute;
        self.level = fine(per_minute).saturating_sub(used);
    }

    /// The time until `amount` can be taken; `None` when it can be now. More than a minute's worth needs a full bucket.
    #[inline(never)]
    fn lacks(&mut self, now: Instant, amount: u64) -> Option<Micros> {
        if self.per_minute == 0 {
            return None;
        }
        let capacity = fine(self.per_minute);
        let elapsed = now.since(self.at).get().saturating_mul(self.per_minute);
        let flow = i64::try_from(elapsed).unwrap_or(i64::MAX);
        self.level = self.level.saturating_add(flow).min(capacity);
        self.at = now;
        let missing = fine(amount).min(capacity).saturating_sub(self.level);
        u64::try_from(missing)
            .ok()
            .filter(|missing| *missing > 0)
            .map(|missing| Micros::new(missing.div_ceil(self.per_minute)))
    }

    const fn take(&mut self, amount: i64) {
        self.level = self.level.saturating_sub(amount);
    }
}

/// The books of one tenant.
#[derive(Clone, Debug)]
pub(super) struct Account {
    pub(super) tenant: u64,
    /// Whether it is still configured; one that is not is kept until its last request has ended.
    pub(super) listed: bool,
    pub(super) weight: u64,
    concurrent: u64,
    requests: Bucket,
    tokens: Bucket,
    /// Requests that hold a reservation.
    pub(super) live: u64,
    /// Tokens that they hold.
    pub(super) reserved: u64,
    /// Service attained, in 1/256 of cost, divided by the weight.
    pub(super) attained: u64,
    /// The tier that a request of it waited in last.
    pub(super) rank: usize,
    /// Requests waiting, and their cost.
    pub(super) waiting: u64,
    pub(super) waiting_cost: u64,
    /// Cost of the requests that were told to come back and may still do.
    pub(super) promised: u64,
}

impl Account {
    #[cold]
    pub(super) fn new(tenant: &Tenant) -> Self {
        let mut account = Self {
            tenant: hash::key(tenant.name.as_bytes()),
            listed: true,
            weight: 1,
            concurrent: 0,
            requests: Bucket::default(),
            tokens: Bucket::default(),
            live: 0,
            reserved: 0,
            attained: 0,
            rank: 0,
            waiting: 0,
            waiting_cost: 0,
            promised: 0,
        };
        account.configure(tenant);
        account
    }

    /// Takes over new limits.
    pub(super) fn configure(&mut self, tenant: &Tenant) {
        self.listed = true;
        self.weight = tenant.weight.max(1);
        self.concurrent = tenant.concurrent;
        self.requests.limit(tenant.requests_per_minute);
        self.tokens.limit(tenant.tokens_per_minute);
    }

    /// Reserves what a request may need.
    #[inline(never)]
    pub(super) fn reserve(&mut self, now: Instant, hold: &Hold) -> Result<(), (Limit, Micros)> {
        if self.concurrent > 0 && self.live >= self.concurrent {
            return Err((Limit::Concurrent, Micros::ZERO));
        }
        if let Some(wait) = self.requests.lacks(now, 1) {
            return Err((Limit::Requests, wait));
        }
        if let Some(wait) = self.tokens.lacks(now, hold.tokens) {
            return Err((Limit::Tokens, wait));
        }
        self.requests.take(fine(1));
        self.tokens.take(fine(hold.tokens));
        self.live += 1;
        self.reserved = self.reserved.saturating_add(hold.tokens);
        Ok(())
    }

    /// The request is let through: its expected cost counts as attained.
    pub(super) const fn attain(&mut self, cost: u64) {
        self.attained = self
            .attained
            .saturating_add(cost.saturating_mul(SHARE) / self.weight);
    }

    /// Ends a reservation: `used` tokens of it were used, at `cost`. `sent` says that its cost counts as attained.
    #[inline(never)]
    pub(super) fn settle(&mut self, hold: &Hold, used: u64, cost: u64, sent: bool) {
        self.tokens
            .take(fine(used).saturating_sub(fine(hold.tokens)));
        self.live = self.live.saturating_sub(1);
        self.reserved = self.reserved.saturating_sub(hold.tokens);
        if sent {
            let expected = hold.cost.saturating_mul(SHARE) / self.weight;
            self.attained = self.attained.saturating_sub(expected);
            self.attain(cost);
        }
    }

    /// Ends the reservation of a request that got nothing.
    #[inline(never)]
    pub(super) fn refund(&mut self, hold: &Hold, sent: bool) {
        self.requests.take(fine(1).saturating_neg());
        self.settle(hold, 0, 0, sent);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    fn account(requests: u64, tokens: u64, concurrent: u64) -> Account {
        Account::new(&Tenant {
            requests_per_minute: requests,
            tokens_per_minute: tokens,
            concurrent,
            ..Tenant::default()
        })
    }

    fn hold(tokens: u64) -> Hold {
        Hold {
            tenant: 1,
            tokens,
            cost: tokens,
        }
    }

    #[test]
    fn a_budget_refills_evenly_and_says_when() {
        let mut account = account(0, 600, 0);
        assert_eq!(account.reserve(at(100), &hold(600)), Ok(()));
        assert_eq!(
            account.reserve(at(100), &hold(100)),
            Err((Limit::Tokens, Micros::from_millis(10_000)))
        );
        assert_eq!(account.reserve(at(110), &hold(100)), Ok(()));
        assert_eq!(
            account.reserve(at(200), &hold(100_000)),
            Ok(()),
            "what exceeds a minute's worth needs a full bucket, and overdraws it"
        );
        assert!(account.reserve(at(260), &hold(1)).is_err());
    }

    #[test]
    fn estimates_are_settled_by_what_was_used() {
        let mut account = account(60, 1000, 0);
        assert_eq!(account.reserve(at(9), &hold(1000)), Ok(()));
        account.settle(&hold(1000), 400, 400, false);
        assert_eq!((account.live, account.reserved), (0, 0));
        assert_eq!(account.reserve(at(9), &hold(600)), Ok(()));
        account.refund(&hold(600), false);
        assert_eq!(account.reserve(at(9), &hold(600)), Ok(()));
        account.settle(&hold(600), 900, 900, false);
        assert!(
            account.reserve(at(9), &hold(1)).is_err(),
            "overdrawn by 300"
        );
        assert_eq!(
            account.reserve(at(9), &hold(1)),
            Err((Limit::Tokens, Micros::new(18_060_000)))
        );
    }

    #[test]
    fn only_so_many_at_once() {
        let mut account = account(0, 0, 2);
        assert_eq!(account.reserve(at(1), &hold(5)), Ok(()));
        assert_eq!(account.reserve(at(1), &hold(5)), Ok(()));
        assert_eq!(
            account.reserve(at(1), &hold(5)),
            Err((Limit::Concurrent, Micros::ZERO))
        );
        account.refund(&hold(5), false);
        assert_eq!(account.reserve(at(1), &hold(5)), Ok(()));
    }
}
