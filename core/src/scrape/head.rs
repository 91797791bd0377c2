//! Reading no more of a page than tells what has changed.
//!
//! Engines print their gauges and counters first, then hundreds of lines of histograms, and some of them the shape of the KV cache last.
//! So once a page was read whole it is known where its last figure of interest stood, and the next pages are read up to there. The shape
//! of the cache is kept from the whole page; a page is read whole again now and then, and whenever its beginning tells less or more.

use super::Found;

/// Readings of beginnings between two of whole pages.
const BEGINNINGS: u32 = 63;
/// Figures grow by some digits.
const ROOM: usize = 512;

/// What is known of the pages of one engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Where the last sample of interest ended; 0 where that is not known.
    end: usize,
    /// Samples up to there.
    samples: usize,
    /// Readings of beginnings left.
    left: u32,
}

impl Head {
    /// Bytes of the next page to be read first; `None`: all of it.
    pub const fn bytes(&self) -> Option<usize> {
        if self.left == 0 {
            None
        } else {
            Some(self.end.saturating_add(ROOM))
        }
    }

    /// A whole page has told this.
    pub const fn on_whole(&mut self, found: &Found) {
        *self = Self {
            end: found.moving_end,
            samples: found.moving,
            left: if found.moving == 0 { 0 } else { BEGINNINGS },
        };
    }

    /// The beginning of a page has told this; whether it is enough.
    pub const fn on_beginning(&mut self, found: &Found) -> bool {
        let enough = self.left > 0 && found.moving == self.samples;
        self.left = if enough { self.left - 1 } else { 0 };
        enough
    }
}
