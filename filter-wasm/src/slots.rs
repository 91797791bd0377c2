//! Exchange between workers: one shared value a worker, `plimsoll/<pool>/worker/<slot>`.
//!
//! Workers do not know how many they are. Each claims the first slot that is free or abandoned, by compare-and-swap, and
//! writes to it every tick. Slots are claimed in order and never deleted, so the first missing one ends the list.

use plimsoll_core::{
    share::{WORKERS, owner_of, stamp_of, tombstone},
    time::{Instant, Micros},
};

use crate::{
    host::{Host, Status},
    names::Keys,
};

/// A slot that was not written for this long has lost its worker.
pub const ABANDONED: Micros = Micros::from_millis(5000);
/// Slots looked at; more workers than this share nothing beyond it.
pub const SLOTS: usize = WORKERS;

/// This worker's place in the exchange.
#[derive(Debug, Default)]
pub struct Slots {
    own: Option<usize>,
}

impl Slots {
    /// The slot this worker holds.
    #[must_use]
    pub const fn own(&self) -> Option<usize> {
        self.own
    }

    /// Writes `share`, the share of the worker called `me`; claims a slot when none is held or it was lost.
    ///
    /// A worker that stood still for longer than [`ABANDONED`] may find its slot taken; it claims another one and both
    /// go on. Returns whether others have taken it for dead.
    pub fn write<H: Host>(&mut self, host: &H, keys: &mut Keys, me: u64, share: &[u8]) -> bool {
        let mut lost = false;
        if let Some(slot) = self.own {
            if let Ok((bytes, cas)) = host.shared_get(keys.slot(slot)) {
                if owner_of(&bytes) == me
                    && host.shared_set(keys.slot(slot), share, Some(cas)).is_ok()
                {
                    return false;
                }
                lost = bytes == tombstone(me);
            }
            self.own = None;
        }
        for slot in 0..SLOTS {
            // A key that does not exist has no number to compare with. The proxy-wasm ABI cannot express "only if
            // absent", so two workers may both write it; the later one owns it, and the other finds out when it next
            // reads the slot.
            let cas = match host.shared_get(keys.slot(slot)) {
                // One that is abandoned is free once its owner has been buried.
                Ok((bytes, _)) if ![0, me].contains(&owner_of(&bytes)) => continue,
                Ok((_, cas)) => Some(cas),
                Err(Status::NotFound) => None,
                Err(_) => return lost,
            };
            if host.shared_set(keys.slot(slot), share, cas).is_ok() {
                self.own = Some(slot);
                return lost;
            }
        }
        lost
    }

    /// Gives the slot back: this worker has said its last word.
    pub fn give_back<H: Host>(&mut self, host: &H, keys: &mut Keys) {
        if let Some(slot) = self.own.take() {
            let _ = host.shared_set(keys.slot(slot), b"", None);
        }
    }

    /// Hands the share of every other live worker to `apply`, and the last share of every dead one, once among all workers, to `bury`.
    pub fn read<H: Host>(
        &self,
        host: &H,
        keys: &mut Keys,
        me: u64,
        now: Instant,
        mut apply: impl FnMut(usize, &[u8]),
        mut bury: impl FnMut(&[u8]),
    ) {
        for slot in 0..SLOTS {
            if self.own == Some(slot) {
                continue;
            }
            let Ok((bytes, cas)) = host.shared_get(keys.slot(slot)) else {
                return;
            };
            if is_taken(&bytes, me, now) {
                apply(slot, &bytes);
            } else if ![0, me].contains(&owner_of(&bytes))
                && host
                    .shared_set(keys.slot(slot), &tombstone(owner_of(&bytes)), Some(cas))
                    .is_ok()
            {
                bury(&bytes);
            }
        }
    }
}

/// Whether a slot belongs to another worker that is alive.
fn is_taken(bytes: &[u8], me: u64, now: Instant) -> bool {
    let owner = owner_of(bytes);
    owner != 0 && owner != me && now.since(stamp_of(bytes)) <= ABANDONED
}
