//! A limit in time: a level that refills evenly.

use crate::time::{Instant, Micros};

/// Parts of one unit of a limit a minute: so many microseconds has a minute, so a limit of one lets a part flow in each.
const MINUTE: u64 = 60_000_000;
/// The same of a limit a day.
const DAY: u64 = 24 * 60 * MINUTE;
/// Time until the workers know of each other what was taken.
const ROUND: Micros = Micros::from_millis(25);

/// A level that refills with time, to at most what flows in a minute or a day; it can be overdrawn by what an estimate was short of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    /// The limit; 0 for none.
    units: u64,
    /// Parts of a unit.
    unit: u64,
    level: i64,
    at: Instant,
    /// What this worker took since its start, less what it gave back.
    taken: i64,
    /// What it took since the last exchange, and may take before the next one.
    fresh: i64,
    part: i64,
}

impl Bucket {
    const fn of(unit: u64) -> Self {
        Self {
            units: 0,
            unit,
            level: 0,
            at: Instant::ZERO,
            taken: 0,
            fresh: 0,
            part: i64::MAX,
        }
    }

    /// A limit a minute.
    pub(super) const fn a_minute() -> Self {
        Self::of(MINUTE)
    }

    /// A limit a day.
    pub(super) const fn a_day() -> Self {
        Self::of(DAY)
    }

    /// `amount` in parts.
    pub(super) fn parts(&self, amount: u64) -> i64 {
        i64::try_from(amount.saturating_mul(self.unit)).unwrap_or(i64::MAX)
    }

    /// A new limit; what was used of the old one stays used.
    pub(super) fn limit(&mut self, units: u64) {
        let used = self.parts(self.units).saturating_sub(self.level);
        self.units = units;
        self.level = self.parts(units).saturating_sub(used);
    }

    /// Lets in what has flowed since it was last looked at.
    #[inline(never)]
    pub(super) fn refill(&mut self, now: Instant) {
        let elapsed = now.since(self.at).get().saturating_mul(self.units);
        let flow = i64::try_from(elapsed).unwrap_or(i64::MAX);
        self.level = self.level.saturating_add(flow).min(self.parts(self.units));
        self.at = now;
    }

    /// The time until `amount` can be taken, and something is left at all; `None` when it is now. More than the bucket holds needs a full one.
    #[inline(never)]
    pub(super) fn lacks(&mut self, now: Instant, amount: u64) -> Option<Micros> {
        if self.units == 0 {
            return None;
        }
        self.refill(now);
        let wanted = self.parts(amount).clamp(1, self.parts(self.units));
        let missing = wanted.saturating_sub(self.level);
        if missing <= 0 {
            return (self.fresh >= self.part).then_some(ROUND);
        }
        Some(Micros::new(missing.unsigned_abs().div_ceil(self.units)))
    }

    pub(super) const fn take(&mut self, parts: i64) {
        self.follow(parts);
        self.taken = self.taken.wrapping_add(parts);
        self.fresh = self.fresh.saturating_add(parts);
    }

    /// Others took so many `parts`.
    pub(super) const fn follow(&mut self, parts: i64) {
        self.level = self.level.saturating_sub(parts);
    }

    /// Others have no more than `level` left, and so have all.
    pub(super) fn adopt(&mut self, level: i64) {
        self.level = self.level.min(level);
    }

    /// What was taken, and what is left.
    pub(super) const fn said(&self) -> [u64; 2] {
        [self.taken as u64, self.level as u64]
    }

    /// The others know what this one of `workers` took; until they know more, each takes its part of what is left.
    pub(super) fn begin_round(&mut self, workers: u64) {
        self.fresh = 0;
        self.part = match workers {
            0 | 1 => i64::MAX,
            _ => (self.level / i64::try_from(workers).unwrap_or(i64::MAX)).max(1),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_refills_evenly_too() {
        let at = |seconds: u64| Instant::from_micros(seconds * 1_000_000);
        let mut bucket = Bucket::a_day();
        bucket.limit(86_400);
        assert_eq!(bucket.lacks(at(100_000), 0), None);
        bucket.take(bucket.parts(86_400 + 5));
        assert!(bucket.lacks(at(100_000), 0).is_some());
        let wait = bucket.lacks(at(100_003), 0);
        assert_eq!(wait, Some(Micros::new(2_000_001)));
        assert_eq!(bucket.lacks(at(100_006), 0), None);
        bucket.limit(0);
        assert_eq!(bucket.lacks(at(100_006), 1 << 40), None);
    }
}
