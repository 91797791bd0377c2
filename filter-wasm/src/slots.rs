//! Exchange between workers: one shared value a worker, `plimsoll/<pool>/worker/<slot>`.
//!
//! Workers do not know how many they are. Each claims the first slot that is free or abandoned, by compare-and-swap, and
//! writes to it every tick. Slots are claimed in order and never deleted, so the first missing one ends the list.

use plimsoll_core::{
    share::{owner_of, stamp_of},
    time::{Instant, Micros},
};

use crate::{
    host::{Host, Status},
    names::Keys,
};

/// A slot that was not written for this long has lost its worker.
pub const ABANDONED: Micros = Micros::from_millis(5000);
/// Slots looked at; more workers than this share nothing beyond it.
pub const SLOTS: usize = 256;
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
    /// go on.
    pub fn write<H: Host>(
        &mut self,
        host: &H,
        keys: &mut Keys,
        me: u64,
        now: Instant,
        share: &[u8],
    ) {
        if let Some(slot) = self.own {
            if let Ok((bytes, cas)) = host.shared_get(keys.slot(slot))
                && owner_of(&bytes) == me
                && host.shared_set(keys.slot(slot), share, Some(cas)).is_ok()
            {
                return;
            }
            self.own = None;
        }
        for slot in 0..SLOTS {
            // A key that does not exist has no number to compare with. The proxy-wasm ABI cannot express "only if
            // absent", so two workers may both write it; the later one owns it, and the other finds out when it next
            // reads the slot.
            let cas = match host.shared_get(keys.slot(slot)) {
                Ok((bytes, _)) if is_taken(&bytes, me, now) => continue,
                Ok((_, cas)) => Some(cas),
                Err(Status::NotFound) => None,
                Err(_) => return,
            };
            if host.shared_set(keys.slot(slot), share, cas).is_ok() {
                self.own = Some(slot);
                return;
            }
        }
    }

    /// Hands the share of every other live worker to `apply`.
    pub fn read<H: Host>(
        &self,
        host: &H,
        keys: &mut Keys,
        me: u64,
        now: Instant,
        mut apply: impl FnMut(usize, &[u8]),
    ) {
        for slot in 0..SLOTS {
            if self.own == Some(slot) {
                continue;
            }
            let Ok((bytes, _)) = host.shared_get(keys.slot(slot)) else {
                return;
            };
            if is_taken(&bytes, me, now) {
                apply(slot, &bytes);
            }
        }
    }
}

/// Whether a slot belongs to another worker that is alive.
fn is_taken(bytes: &[u8], me: u64, now: Instant) -> bool {
    let owner = owner_of(bytes);
    owner != 0 && owner != me && now.since(stamp_of(bytes)) <= ABANDONED
}
