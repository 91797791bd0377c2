//! Requests that were told when to come back.
//!
//! A `Retry-After` is truthful only if whoever obeys it finds room: among the tenth of an overload that fits, a retry has no better chance than a
//! new request. So a request that is told to come back is remembered by what it is (tenant and prompt), is counted as work to be
//! done at that time, so that the next one is told a later time, and goes first among its tenant's requests when it returns.

use alloc::vec;
use alloc::vec::Vec;

use crate::time::{Instant, Micros};

/// Promises kept by one worker; whoever finds no room among them is told a time all the same, but has no place kept.
const CAPACITY: usize = 8192;
/// Places in which one promise may stand.
const PROBES: usize = 8;
/// Places looked at by a tick.
const SWEEP: usize = 512;
/// A request that comes back this much early is on time: `Retry-After` has whole seconds, and clocks differ.
const EARLY: Micros = Micros::from_millis(1000);
/// A place is kept at least this long.
const GRACE: Micros = Micros::from_millis(5000);

/// A place that is kept for a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Promise {
    /// Hash of what the request is; 0 is no promise.
    pub(super) key: u64,
    /// Hash of its tenant's name.
    pub(super) tenant: u64,
    pub(super) due: Instant,
    until: Instant,
    pub(super) cost: u64,
}

impl Promise {
    /// Whether it is time to come back.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        now + EARLY >= self.due
    }
}

/// The table, allocated with the first promise.
#[derive(Clone, Debug, Default)]
pub(super) struct Promises {
    places: Vec<Promise>,
    swept: usize,
}

impl Promises {
    fn probes(&mut self, key: u64) -> impl Iterator<Item = &mut Promise> {
        let first = (key % (CAPACITY - PROBES) as u64) as usize;
        self.places.iter_mut().skip(first).take(PROBES)
    }

    /// Remembers that the request of `key` (not 0) is to come back after `wait`; false when there is no room.
    pub(super) fn give(
        &mut self,
        now: Instant,
        tenant: u64,
        key: u64,
        wait: Micros,
        cost: u64,
    ) -> bool {
        if self.places.is_empty() {
            self.places = vec![Promise::default(); CAPACITY];
        }
        let due = now + wait;
        let place = self.probes(key).find(|promise| promise.key == 0);
        let Some(place) = place else { return false };
        *place = Promise {
            key,
            tenant,
            due,
            until: due + GRACE.max(Micros::new(wait.get() / 2)),
            cost,
        };
        true
    }

    /// The promise to this request, if there is one.
    pub(super) fn find(&mut self, tenant: u64, key: u64) -> Option<Promise> {
        self.probes(key)
            .find(|promise| promise.key == key && promise.tenant == tenant)
            .map(|promise| *promise)
    }

    /// Forgets a promise, since it is kept.
    pub(super) fn keep(&mut self, kept: &Promise) {
        if let Some(place) = self.probes(kept.key).find(|promise| **promise == *kept) {
            *place = Promise::default();
        }
    }

    /// Forgets some of the promises that nobody came back for, and hands them to `expired`.
    pub(super) fn sweep(&mut self, now: Instant, mut expired: impl FnMut(&Promise)) {
        for place in self.places.iter_mut().skip(self.swept).take(SWEEP) {
            if place.key != 0 && now > place.until {
                expired(place);
                *place = Promise::default();
            }
        }
        self.swept = (self.swept + SWEEP) % CAPACITY;
    }
}
