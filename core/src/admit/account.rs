//! A tenant's books: what it may use, has reserved, and has attained.

use super::bucket::Bucket;
use super::exchange::Elsewhere;
use crate::config::Tenant;
use crate::hash;
use crate::time::{Instant, Micros};

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
    /// GPU-seconds a day.
    Gpu,
}

/// The books of one tenant.
#[derive(Clone, Debug)]
pub(super) struct Account {
    pub(super) tenant: u64,
    /// Whether it is still configured; one that is not is kept until its last request has ended.
    pub(super) listed: bool,
    pub(super) weight: u64,
    concurrent: u64,
    pub(super) requests: Bucket,
    pub(super) tokens: Bucket,
    pub(super) gpu: Bucket,
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
    /// Cost attained here since the start, less what was given back.
    pub(super) served: i64,
    /// The same books at the other workers.
    pub(super) elsewhere: Elsewhere,
    /// Requests begun since the last exchange, and that may begin before the next one.
    fresh: u64,
    part: u64,
}

impl Account {
    #[cold]
    pub(super) fn new(tenant: &Tenant, proxies: u64) -> Self {
        let mut account = Self {
            tenant: hash::key(tenant.name.as_bytes()),
            listed: true,
            weight: 1,
            concurrent: 0,
            requests: Bucket::a_minute(),
            tokens: Bucket::a_minute(),
            gpu: Bucket::a_day(),
            live: 0,
            reserved: 0,
            attained: 0,
            rank: 0,
            waiting: 0,
            waiting_cost: 0,
            promised: 0,
            served: 0,
            elsewhere: Elsewhere::default(),
            fresh: 0,
            part: u64::MAX,
        };
        account.configure(tenant, proxies);
        account.begin_round(1);
        account
    }

    /// Takes over new limits, of which this proxy gives out one part of `proxies`.
    pub(super) fn configure(&mut self, tenant: &Tenant, proxies: u64) {
        let part = |limit: u64| limit.div_ceil(proxies.max(1));
        self.listed = true;
        self.weight = tenant.weight.max(1);
        self.concurrent = part(tenant.concurrent);
        self.requests.limit(part(tenant.requests_per_minute));
        self.tokens.limit(part(tenant.tokens_per_minute));
        self.gpu.limit(part(tenant.gpu_seconds_per_day));
    }

    /// Reserves what a request may need.
    #[inline(never)]
    pub(super) fn reserve(&mut self, now: Instant, hold: &Hold) -> Result<(), (Limit, Micros)> {
        let live = self.live.saturating_add(self.elsewhere.live);
        if self.concurrent > 0 && (live >= self.concurrent || self.fresh >= self.part) {
            return Err((Limit::Concurrent, Micros::ZERO));
        }
        if let Some(wait) = self.requests.lacks(now, 1) {
            return Err((Limit::Requests, wait));
        }
        if let Some(wait) = self.tokens.lacks(now, hold.tokens) {
            return Err((Limit::Tokens, wait));
        }
        // What a request takes of a GPU is known when it has ended.
        if let Some(wait) = self.gpu.lacks(now, 0) {
            return Err((Limit::Gpu, wait));
        }
        self.requests.take(self.requests.parts(1));
        self.tokens.take(self.tokens.parts(hold.tokens));
        self.live += 1;
        self.fresh += 1;
        self.reserved = self.reserved.saturating_add(hold.tokens);
        Ok(())
    }

    pub(super) const fn buckets(&mut self) -> [&mut Bucket; 3] {
        [&mut self.requests, &mut self.tokens, &mut self.gpu]
    }

    /// The others know what this one of `workers` did.
    pub(super) fn begin_round(&mut self, workers: u64) {
        for bucket in self.buckets() {
            bucket.begin_round(workers);
        }
        let live = self.live.saturating_add(self.elsewhere.live);
        self.fresh = 0;
        self.part = match workers {
            0 | 1 => u64::MAX,
            _ => self.concurrent.saturating_sub(live).div_ceil(workers),
        };
    }

    /// The request is let through: its expected cost counts as attained.
    pub(super) fn attain(&mut self, cost: u64) {
        let cost = i64::try_from(cost).unwrap_or(i64::MAX);
        self.served = self.served.wrapping_add(cost);
        self.attain_signed(cost);
    }

    /// `cost` was attained, here or elsewhere, or given back.
    pub(super) fn attain_signed(&mut self, cost: i64) {
        let part = cost.unsigned_abs().saturating_mul(SHARE) / self.weight;
        self.attained = if cost < 0 {
            self.attained.saturating_sub(part)
        } else {
            self.attained.saturating_add(part)
        };
    }

    /// Ends a reservation: `used` tokens of it were used, at `cost`. `sent` says that its cost counts as attained.
    #[inline(never)]
    pub(super) fn settle(&mut self, hold: &Hold, used: u64, cost: u64, sent: bool) {
        let tokens = &mut self.tokens;
        let (used, held) = (tokens.parts(used), tokens.parts(hold.tokens));
        tokens.take(used.saturating_sub(held));
        self.live = self.live.saturating_sub(1);
        self.reserved = self.reserved.saturating_sub(hold.tokens);
        if sent {
            let expected = i64::try_from(hold.cost).unwrap_or(i64::MAX);
            self.served = self.served.wrapping_sub(expected);
            self.attain_signed(expected.saturating_neg());
            self.attain(cost);
        }
    }

    /// A request took so much of a GPU; what it took is a millionth of the bucket's unit a microsecond.
    pub(super) fn spend(&mut self, time: Micros) {
        let parts = time
            .get()
            .saturating_mul(self.gpu.parts(1).unsigned_abs() / 1_000_000);
        self.gpu.take(i64::try_from(parts).unwrap_or(i64::MAX));
    }

    /// Ends the reservation of a request that got nothing.
    #[inline(never)]
    pub(super) fn refund(&mut self, hold: &Hold, sent: bool) {
        self.requests.take(self.requests.parts(1).saturating_neg());
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
        Account::new(
            &Tenant {
                requests_per_minute: requests,
                tokens_per_minute: tokens,
                concurrent,
                ..Tenant::default()
            },
            1,
        )
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
    fn the_gpu_time_of_a_day_runs_out_and_comes_back() {
        let mut account = Account::new(
            &Tenant {
                gpu_seconds_per_day: 8640,
                ..Tenant::default()
            },
            1,
        );
        assert_eq!(account.reserve(at(9), &hold(5)), Ok(()));
        account.spend(Micros::from_millis(8_641_000));
        account.settle(&hold(5), 5, 5, true);
        let Err((Limit::Gpu, wait)) = account.reserve(at(9), &hold(5)) else {
            panic!("nothing is left of the day");
        };
        assert_eq!(
            wait.get().div_ceil(1_000_000),
            11,
            "a tenth of a GPU flows in"
        );
        assert_eq!(account.reserve(at(9 + 11), &hold(5)), Ok(()));
    }

    #[test]
    fn each_proxy_gives_out_its_part() {
        let tenant = Tenant {
            requests_per_minute: 4,
            concurrent: 2,
            ..Tenant::default()
        };
        let taken = |proxies| {
            let mut account = Account::new(&tenant, proxies);
            let reserved = (0..5).filter(|_| account.reserve(at(1), &hold(5)).is_ok());
            reserved.count()
        };
        assert_eq!([taken(1), taken(2), taken(5)], [2, 1, 1]);
        let mut boundless = Account::new(&Tenant::default(), 3);
        assert_eq!(boundless.reserve(at(1), &hold(1 << 40)), Ok(()));
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
