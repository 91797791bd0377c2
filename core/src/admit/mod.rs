//! Who goes first, who waits, and who is told to come back.
//!
//! # What it does
//! A request is let through while the fleet is less saturated than the ceiling of its tier; what lies above the ceiling is reserved for
//! higher tiers. Otherwise it waits, bounded in number, bytes and time, and is bound to a host only when it is let through. The order: who
//! has waited for the starvation bound, up to the ceiling of the highest tier in which somebody has; tiers that are behind their guaranteed
//! share; then tiers by rank. Within a tier the tenant goes
//! first that has attained least for its weight, and within a tenant the request whose first token is wanted soonest. A request that would wait too
//! long is shed, the surer the longer, and told when its turn would come. Budgets are reserved on arrival and settled by real usage.
//!
//! # Formula
//! Attained service follows Sheng et al., Fairness in Serving Large Language Models (OSDI 2024): prompt tokens count 1, output tokens 2, and
//! a tenant that begins to wait starts no lower than the least that waits. Predicted wait: the tenant's queue over its part, by weight, of
//! the rate at which the tier's queue has drained, of all workers together. Chance of being shed: 0 at half of the tier's longest wait, 1 at three quarters.
//!
//! # Limits
//! Each worker has a queue of its own; what tenants use and attain is shared with the others (see [`Admission::tell`]). Saturation is that of the
//! hosts that serve the request's model.

mod account;
mod arrive;
mod bucket;
mod come_back;
mod exchange;
mod meter;
mod promises;
mod queue;
mod release;
mod round;
mod saturation;
mod shed;
#[cfg(test)]
mod tests;
mod wire;

use alloc::vec::Vec;

use account::Account;
pub use account::Hold;
use exchange::{Peer, Told};
use meter::Meter;
use promises::{Promise, Promises};
pub use queue::Waiting;
use queue::{Entry, Queue, Standing};
use round::Round;
pub(crate) use saturation::of_fleet;
pub use shed::{Shed, ShedReason};

use crate::config::{self, Config};
use crate::fixed::{self, ONE};
use crate::hash;
use crate::tenant::Member;
use crate::time::{Instant, Micros};

/// A request at the door.
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    /// Whose it is.
    pub member: Member,
    /// Prompt and output tokens, estimated.
    pub tokens: u64,
    /// Its weight in the fair shares.
    pub cost: u64,
    /// Bytes of body that are held while it waits.
    pub bytes: u64,
    /// Hash of its model.
    pub model: u64,
    /// When its first token is wanted, from now; the tier's longest wait when absent.
    pub slo: Option<Micros>,
    /// What it is known by when it comes again; not 0.
    pub key: u64,
    /// Spreads what is drawn by lot.
    pub seed: u64,
    /// The adapter's name of it.
    pub tag: u32,
}

/// What becomes of a request at the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It is let through.
    Go(Hold),
    /// It waits.
    Queue(Waiting),
    /// It is not served.
    Shed(Shed),
}

/// A request that need not wait any longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Release {
    /// Which.
    pub waiting: Waiting,
    /// The adapter's name of it.
    pub tag: u32,
    /// Why it is not served; `None` when it is let through.
    pub shed: Option<Shed>,
}

#[derive(Clone, Debug)]
struct Tier {
    ceiling: u64,
    guaranteed: u64,
    max_wait: Micros,
    /// Requests in line.
    waiting: usize,
    /// Cost it is behind its guaranteed share, Q16.
    owed: i64,
    /// Service attained by the tenant that was let through last.
    attained: u64,
    meter: Meter,
    /// Cost let through here since the start.
    served: u64,
    /// Cost a second that leaves the other workers' queues, and requests in them.
    rate_elsewhere: u64,
    waiting_elsewhere: u64,
}

/// The admission control of one worker.
#[derive(Clone, Debug)]
pub struct Admission {
    tiers: Vec<Tier>,
    /// By tenant.
    accounts: Vec<Account>,
    queue: Queue,
    promises: Promises,
    config: config::Admission,
    /// Whether requests may wait: not every proxy can resume them.
    queueing: bool,
    /// Whether all is let through: the configuration has no tiers any more.
    open: bool,
    now: Instant,
    /// The other workers, and how many there are with this one.
    peers: Vec<Peer>,
    workers: u64,
    /// Promises that the others may not know of yet, and the number of the last one.
    told: Vec<Told>,
    last_told: u64,
    round: Round,
}

impl Admission {
    /// The admission control that `config` wants. The size of its queue stays.
    #[cold]
    pub fn new(config: &Config) -> Self {
        let mut admission = Self {
            tiers: Vec::new(),
            accounts: Vec::new(),
            queue: Queue::new(config.admission.queue),
            promises: Promises::default(),
            config: config.admission.clone(),
            queueing: true,
            open: false,
            now: Instant::ZERO,
            peers: Vec::new(),
            workers: 1,
            told: Vec::new(),
            last_told: 0,
            round: Round::default(),
        };
        admission.configure(config);
        admission
    }

    /// Takes over a new configuration. What waits goes on waiting; what belongs to a tenant that is gone is refused with the next release.
    #[cold]
    pub fn configure(&mut self, config: &Config) {
        self.open = config.tiers.is_empty();
        if self.open {
            return;
        }
        self.config = config.admission.clone();
        self.tiers.clear();
        for tier in config.tiers.iter() {
            self.tiers.push(Tier {
                ceiling: tier.ceiling,
                guaranteed: tier.guaranteed,
                max_wait: tier.max_wait,
                waiting: 0,
                owed: 0,
                attained: 0,
                meter: Meter::default(),
                served: 0,
                rate_elsewhere: 0,
                waiting_elsewhere: 0,
            });
        }
        let proxies = config.admission.proxies;
        for account in &mut self.accounts {
            account.listed = false;
        }
        for tenant in config.tenants.iter() {
            let key = hash::key(tenant.name.as_bytes());
            match self.place_of(key) {
                Ok(place) => {
                    if let Some(account) = self.accounts.get_mut(place) {
                        account.configure(tenant, proxies);
                    }
                }
                Err(place) => self.accounts.insert(place, Account::new(tenant, proxies)),
            }
        }
        self.forget_gone();
        let lowest = u8::try_from(self.tiers.len().saturating_sub(1)).unwrap_or(u8::MAX);
        for entry in self.queue.iter_mut() {
            entry.tier = entry.tier.min(lowest);
            if entry.standing == Standing::InLine
                && let Some(tier) = self.tiers.get_mut(usize::from(entry.tier))
            {
                tier.waiting += 1;
            }
        }
    }

    /// Says that the proxy cannot resume a request that waits: what cannot go at once is shed.
    pub const fn without_queue(&mut self) {
        self.queueing = false;
    }

    /// Lets all who wait go with the next releases, and nobody wait any more.
    pub const fn open(&mut self) {
        self.open = true;
    }

    #[inline(never)]
    fn place_of(&self, tenant: u64) -> Result<usize, usize> {
        self.accounts
            .binary_search_by_key(&tenant, |account| account.tenant)
    }

    #[inline(never)]
    fn account(&mut self, tenant: u64) -> Option<&mut Account> {
        let place = self.place_of(tenant).ok()?;
        self.accounts.get_mut(place)
    }

    #[cold]
    fn forget_gone(&mut self) {
        self.accounts
            .retain(|account| account.listed || account.live > 0);
    }

    /// Whether all is let through, and nothing waits any more.
    pub fn is_over(&self) -> bool {
        self.open && self.queue.is_empty()
    }

    /// Requests that wait, by tier.
    pub fn waiting(&self) -> impl Iterator<Item = usize> {
        self.tiers.iter().map(|tier| tier.waiting)
    }

    /// Requests that hold a reservation, and the tokens they hold.
    pub fn reserved(&self) -> (u64, u64) {
        self.accounts
            .iter()
            .fold((0, 0), |(live, tokens), account| {
                (live + account.live, tokens + account.reserved)
            })
    }

    /// Requests that will not be served, and those that wait, are no concern of budgets any longer.
    #[inline(never)]
    fn cast_out(&mut self, waiting: Waiting, reason: ShedReason) {
        if let Some(entry) = self.queue.step_out(waiting, Standing::CastOut(reason)) {
            self.left_line(&entry);
        }
    }

    #[inline(never)]
    fn left_line(&mut self, entry: &Entry) {
        if let Some(tier) = self.tiers.get_mut(usize::from(entry.tier)) {
            tier.waiting = tier.waiting.saturating_sub(1);
            if tier.waiting == 0 {
                tier.owed = 0;
            }
        }
        if let Some(account) = self.account(entry.hold.tenant) {
            account.waiting = account.waiting.saturating_sub(1);
            account.waiting_cost = account.waiting_cost.saturating_sub(entry.hold.cost);
        }
    }

    /// The client of `waiting` has left. Doing so twice, or after it was sent or refused, does nothing.
    #[cold]
    pub fn leave(&mut self, waiting: Waiting) {
        let Some(entry) = self.queue.remove(waiting) else {
            return;
        };
        if entry.standing == Standing::InLine {
            self.left_line(&entry);
        }
        if let Some(account) = self.account(entry.hold.tenant) {
            account.refund(&entry.hold, entry.standing == Standing::LetThrough);
        }
        self.forget_gone();
    }

    /// A request that was sent has ended, and used `tokens` at `cost`.
    pub fn settle(&mut self, hold: &Hold, tokens: u64, cost: u64) {
        if let Some(account) = self.account(hold.tenant) {
            account.settle(hold, tokens, cost, true);
            if !account.listed && account.live == 0 {
                self.forget_gone();
            }
        }
    }

    /// A request of `hold` has taken so much of a GPU.
    pub fn spend(&mut self, hold: &Hold, gpu: Micros) {
        if let Some(account) = self.account(hold.tenant) {
            account.spend(gpu);
        }
    }

    /// A request that was let through got nothing.
    #[cold]
    pub fn refund(&mut self, hold: &Hold) {
        if let Some(account) = self.account(hold.tenant) {
            account.refund(hold, true);
            if !account.listed && account.live == 0 {
                self.forget_gone();
            }
        }
    }

    /// Time passes.
    pub fn on_tick(&mut self, now: Instant) {
        if now < self.now {
            // A clock that was set back must not make anybody wait until it has caught up.
            for entry in self.queue.iter_mut() {
                entry.entered = entry.entered.min(now);
            }
        }
        self.now = now;
        self.sum_elsewhere(now);
        for tier in &mut self.tiers {
            tier.meter.on_tick(now, tier.waiting > 0);
        }
        let accounts = &mut self.accounts;
        self.promises.sweep(now, |promise| {
            let place = accounts.binary_search_by_key(&promise.tenant, |account| account.tenant);
            if let Some(account) = place.ok().and_then(|place| accounts.get_mut(place)) {
                account.promised = account.promised.saturating_sub(promise.cost);
            }
        });
    }
}

/// `share` (Q16) of `cost`.
fn owed(cost: u64, share: u64) -> i64 {
    i64::try_from(fixed::mul(cost, share)).unwrap_or(i64::MAX)
}
