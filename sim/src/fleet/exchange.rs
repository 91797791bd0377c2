//! What proxies tell each other, on its way from one to another.

use std::collections::VecDeque;

use plimsoll_core::share::{Merger, Share};
use plimsoll_core::time::{Instant, Micros};

/// How long a proxy tells of a block.
const KEPT: Micros = Micros::from_millis(1000);
/// Whose name the merged share bears: nobody's is 0, and workers' are hashes.
const OWNER: u64 = 1;

/// What one proxy has asked of the others.
#[derive(Clone)]
pub(super) struct Inbox {
    /// What all their workers said at a time, oldest first.
    on_the_way: VecDeque<Vec<Vec<u8>>>,
    /// Makes one share of them, as a proxy does for its workers.
    merger: Merger,
}

impl Inbox {
    pub(super) fn new(hosts: usize) -> Self {
        Self {
            on_the_way: VecDeque::new(),
            merger: Merger::new(OWNER, hosts),
        }
    }

    /// The others' workers have said `shares`.
    pub(super) fn send(&mut self, shares: Vec<Vec<u8>>) {
        self.on_the_way.push_back(shares);
    }

    /// The oldest of what they said has come, and is read as one share.
    pub(super) fn receive(&mut self, now: u64) -> Vec<u8> {
        let now = Instant::from_micros(now);
        let shares = self.on_the_way.pop_front().unwrap_or_default();
        self.merger.begin();
        for share in shares.iter().filter_map(|share| Share::new_checked(share)) {
            self.merger.add(now, &share);
        }
        let mut merged = Vec::new();
        self.merger.write(now, KEPT, &mut merged);
        merged
    }
}
