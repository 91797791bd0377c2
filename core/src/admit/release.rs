//! Who goes next, and who has waited in vain.

use super::queue::{Entry, Standing};
use super::{Admission, Hold, ONE, Release, Shed, ShedReason, Waiting, owed};
use crate::time::Instant;

impl Admission {
    /// The next request that need not wait any longer; `saturation(model)` is that of the hosts that serve a model.
    pub fn next(
        &mut self,
        now: Instant,
        mut saturation: impl FnMut(u64) -> u64,
    ) -> Option<Release> {
        if self.queue.is_empty() {
            return None;
        }
        // Who is behind goes as if it were of the highest tier that waits, and takes nothing of what is reserved for those above.
        let highest = self.tiers.iter().filter(|tier| tier.waiting > 0);
        let highest = highest.map(|tier| tier.ceiling).max().unwrap_or(ONE);
        // Who has waited for too long goes as if it were of the highest tier in which somebody has: a tier whose own requests are served in
        // time keeps what is reserved for it.
        let starvation = self.config.starvation;
        let starves = |entry: &Entry| now.since(entry.entered) >= starvation;
        let mut relief = 0;
        for (_, entry) in self.queue.iter() {
            if starves(entry)
                && let Some(tier) = self.tiers.get(usize::from(entry.tier))
            {
                relief = relief.max(tier.ceiling);
            }
        }
        let mut round = core::mem::take(&mut self.round);
        let here = self.queue.in_line;
        let mut known: Option<(u64, u64)> = None;
        let mut best: Option<([u64; 5], Waiting)> = None;
        let mut over: Option<(Waiting, ShedReason)> = None;
        for (waiting, entry) in self.queue.iter() {
            match entry.standing {
                Standing::LetThrough => continue,
                Standing::CastOut(reason) => {
                    over = Some((waiting, reason));
                    break;
                }
                Standing::InLine => {}
            }
            let rank = u64::from(entry.tier);
            let Some(tier) = self.tiers.get(usize::from(entry.tier)) else {
                continue;
            };
            let waited = now.since(entry.entered);
            let account = self
                .place_of(entry.hold.tenant)
                .ok()
                .and_then(|place| self.accounts.get(place))
                .filter(|account| account.listed);
            let Some(account) = account else {
                over = Some((waiting, ShedReason::TenantRemoved));
                break;
            };
            if waited >= tier.max_wait && !self.open {
                over = Some((waiting, ShedReason::QueueTimeout));
                break;
            }
            let starving = starves(entry);
            let behind = tier.guaranteed > 0 && tier.owed >= owed(entry.hold.cost, ONE);
            let (class, ceiling) = match (starving, behind) {
                (true, _) => (0, relief),
                (_, true) => (1, highest),
                _ => (2, tier.ceiling),
            };
            let full = match known {
                Some((model, full)) if model == entry.model => full,
                _ => {
                    let full = round.foresee(entry.model, saturation(entry.model), here);
                    known = Some((entry.model, full));
                    full
                }
            };
            if full >= ceiling && !self.open {
                continue;
            }
            let order = if starving {
                [0, 0, 0, entry.entered.as_micros(), entry.number]
            } else {
                let due = entry.due.as_micros();
                [class, rank, account.attained, due, entry.number]
            };
            if best.is_none_or(|(first, _)| order < first) {
                best = Some((order, waiting));
            }
        }
        self.round = round;
        if let Some((waiting, reason)) = over {
            return Some(self.refuse(now, waiting, reason));
        }
        let (_, waiting) = best?;
        let entry = self.queue.step_out(waiting, Standing::LetThrough)?;
        self.left_line(&entry);
        self.let_through(&entry.hold, usize::from(entry.tier));
        Some(Release {
            waiting,
            tag: entry.tag,
            shed: None,
        })
    }

    /// Takes a request out of the queue for good, and gives back what it had reserved.
    #[cold]
    pub(super) fn refuse(&mut self, now: Instant, waiting: Waiting, reason: ShedReason) -> Release {
        let mut tag = 0;
        let mut shed = Shed::flat(reason);
        self.cast_out(waiting, reason);
        if let Some(entry) = self.queue.remove(waiting) {
            tag = entry.tag;
            if let Some(account) = self.account(entry.hold.tenant) {
                account.refund(&entry.hold, false);
                if reason == ShedReason::Displaced {
                    let cost = account.waiting_cost.saturating_add(entry.hold.cost);
                    let wait = self.time_for(cost, usize::from(entry.tier), entry.hold.tenant);
                    shed = Shed::for_now(
                        reason,
                        wait.unwrap_or_default(),
                        now.as_micros() ^ entry.number << 32,
                    );
                }
            }
        }
        Release {
            waiting,
            tag,
            shed: Some(shed),
        }
    }

    /// The request of `waiting` is about to be sent: what it has reserved. `None` when it was not let through, or has ended.
    pub fn take(&mut self, waiting: Waiting) -> Option<Hold> {
        let entry = self.queue.get(waiting)?;
        if entry.standing != Standing::LetThrough {
            return None;
        }
        self.queue.remove(waiting).map(|entry| entry.hold)
    }
}
