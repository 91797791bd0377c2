//! Who collects when the collector does not.
//!
//! The collector stamps each snapshot. When the stamp is two and a half poll periods old ([`patience`]), workers compete for the
//! lease by compare-and-swap; the winner polls and writes snapshots until someone else writes a fresher one. So two
//! writers overlap for at most one period, and the epoch, which only grows, says which snapshot is newer.
//!
//! A collector that lives writes within a period and a tick of it. Workers look once in a tick, so a dead one is missed for three
//! periods at most as long as a tick is at most half a period.

use plimsoll_core::time::{Instant, Micros};

/// Time without a snapshot after which a worker steps in, and without renewal after which a lease is free.
#[must_use]
pub fn patience(period: Micros) -> Micros {
    Micros::new(period.times(5).get() / 2)
}

const BYTES: usize = 16;

/// The value under the lease key: who holds it and when it was last renewed. Little endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Random number of the holder; 0 when given back.
    pub owner: u64,
    /// Last renewal.
    pub renewed: Instant,
}

impl Lease {
    /// Reads a lease; `None` when the bytes are none.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (owner, rest) = bytes.split_first_chunk::<8>()?;
        let renewed = rest.first_chunk::<8>()?;
        Some(Self {
            owner: u64::from_le_bytes(*owner),
            renewed: Instant::from_micros(u64::from_le_bytes(*renewed)),
        })
    }

    /// Writes a lease.
    #[must_use]
    pub fn encode(self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        let fields = self
            .owner
            .to_le_bytes()
            .into_iter()
            .chain(self.renewed.as_micros().to_le_bytes());
        for (to, from) in bytes.iter_mut().zip(fields) {
            *to = from;
        }
        bytes
    }
}

/// What a worker sees when it decides about the lease.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// The present.
    pub now: Instant,
    /// One poll period.
    pub period: Micros,
    /// Stamp of the newest snapshot, or when this worker began to look if there is none.
    pub stamp: Instant,
    /// Whether the newest snapshot was written by this worker.
    pub own_snapshot: bool,
    /// The lease as stored; `None` when never written or unreadable.
    pub lease: Option<Lease>,
    /// Random number of this worker, not 0.
    pub me: u64,
}

/// What to do about the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duty {
    /// Someone else collects.
    Idle,
    /// Try to take the lease by compare-and-swap.
    Take,
    /// Held: collect.
    Collect,
    /// Held, and due for renewal: renew by compare-and-swap, then collect.
    Renew,
    /// Held, but someone else writes fresher snapshots: give it back.
    Yield,
}

/// Decides about the lease.
#[must_use]
pub fn duty(view: &View) -> Duty {
    let patience = patience(view.period);
    let fresh = view.now.since(view.stamp) <= patience;
    let holds = view.lease.is_some_and(|lease| lease.owner == view.me);
    match view.lease {
        Some(_) if holds && fresh && !view.own_snapshot => Duty::Yield,
        Some(lease) if holds && view.now.since(lease.renewed) >= view.period => Duty::Renew,
        Some(_) if holds => Duty::Collect,
        _ if fresh => Duty::Idle,
        Some(lease) if lease.owner != 0 && view.now.since(lease.renewed) <= patience => Duty::Idle,
        _ => Duty::Take,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Micros = Micros::from_millis(200);
    const ME: u64 = 7;

    fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1000)
    }

    fn view(now: u64, stamp: u64, own_snapshot: bool, lease: Option<(u64, u64)>) -> View {
        let lease = lease.map(|(owner, renewed)| Lease {
            owner,
            renewed: at(renewed),
        });
        View {
            now: at(now),
            period: PERIOD,
            stamp: at(stamp),
            own_snapshot,
            lease,
            me: ME,
        }
    }

    #[test]
    fn a_fresh_snapshot_leaves_everyone_idle() {
        assert_eq!(duty(&view(10_500, 10_000, false, None)), Duty::Idle);
        assert_eq!(duty(&view(10_500, 10_000, false, Some((9, 0)))), Duty::Idle);
    }

    #[test]
    fn a_stale_one_is_an_invitation() {
        assert_eq!(duty(&view(10_501, 10_000, false, None)), Duty::Take);
        assert_eq!(
            duty(&view(10_501, 10_000, false, Some((0, 10_500)))),
            Duty::Take
        );
        assert_eq!(
            duty(&view(10_501, 10_000, false, Some((9, 10_000)))),
            Duty::Take
        );
    }

    #[test]
    fn a_live_holder_is_left_alone() {
        assert_eq!(
            duty(&view(10_501, 10_000, false, Some((9, 10_001)))),
            Duty::Idle
        );
    }

    #[test]
    fn the_holder_renews_once_a_period() {
        assert_eq!(
            duty(&view(11_000, 10_950, true, Some((ME, 10_900)))),
            Duty::Collect
        );
        assert_eq!(
            duty(&view(11_000, 10_950, true, Some((ME, 10_800)))),
            Duty::Renew
        );
        assert_eq!(
            duty(&view(11_000, 10_000, false, Some((ME, 10_900)))),
            Duty::Collect
        );
    }

    #[test]
    fn the_holder_yields_to_a_fresher_writer() {
        assert_eq!(
            duty(&view(11_000, 10_950, false, Some((ME, 10_900)))),
            Duty::Yield
        );
    }

    #[test]
    fn a_clock_that_steps_back_takes_nothing() {
        assert_eq!(
            duty(&view(5_000, 10_000, false, Some((9, 10_000)))),
            Duty::Idle
        );
    }

    #[test]
    fn leases_survive_their_bytes() {
        let lease = Lease {
            owner: u64::MAX,
            renewed: at(123),
        };
        assert_eq!(Lease::decode(&lease.encode()), Some(lease));
        assert_eq!(Lease::decode(&lease.encode()[..15]), None);
        assert_eq!(Lease::decode(b""), None);
    }
}
