//! Load as one router sees it: its own requests exactly, those of others as of the last poll.

use super::Polled;
use crate::engine::HashKeyed;

/// One host.
#[derive(Default)]
pub(super) struct HostLoad {
    /// Counters of the last poll.
    pub(super) polled: Polled,
    /// Own requests that have not ended.
    pub(super) own: u32,
    /// Own requests that had not ended at the last poll.
    own_at_poll: u32,
    /// Own requests without a first token.
    pub(super) own_prefilling: u32,
    own_prefilling_at_poll: u32,
    /// Uncached tokens, as predicted, of own requests without a first token.
    pub(super) own_queued_tokens: u64,
}

/// A fleet.
pub(super) struct Loads {
    pub(super) hosts: Vec<HostLoad>,
    /// Predicted uncached tokens of own requests without a first token.
    uncached: HashKeyed<u64>,
}

impl Loads {
    pub(super) fn new(hosts: usize) -> Self {
        Self {
            hosts: (0..hosts).map(|_| HostLoad::default()).collect(),
            uncached: HashKeyed::default(),
        }
    }

    pub(super) fn poll(&mut self, hosts: &[Polled]) {
        for (host, &polled) in self.hosts.iter_mut().zip(hosts) {
            // An answer that was lost leaves the last one in force, with what was booked at its time.
            if polled.at != host.polled.at {
                host.own_at_poll = host.own;
                host.own_prefilling_at_poll = host.own_prefilling;
            }
            host.polled = polled;
        }
    }

    /// Books a request of `uncached` prompt tokens to be computed.
    pub(super) fn sent(&mut self, host: usize, id: u64, uncached: u32) {
        self.uncached.insert(id, u64::from(uncached));
        let host = &mut self.hosts[host];
        host.own += 1;
        host.own_prefilling += 1;
        host.own_queued_tokens += u64::from(uncached);
    }

    /// An own request is no longer waiting for its first token.
    pub(super) fn prefilled(&mut self, host: usize, id: u64) {
        if let Some(uncached) = self.uncached.remove(&id) {
            let host = &mut self.hosts[host];
            host.own_prefilling -= 1;
            host.own_queued_tokens -= uncached;
        }
    }

    /// An own request is no longer there.
    pub(super) fn ended(&mut self, host: usize) {
        self.hosts[host].own -= 1;
    }

    /// Hosts that may be chosen.
    pub(super) fn listed(&self) -> impl Iterator<Item = usize> + Clone {
        let hosts = self.hosts.iter().enumerate();
        hosts.filter_map(|(host, load)| load.polled.listed.then_some(host))
    }

    /// Own requests on a host.
    pub(super) fn own(&self, host: usize) -> f64 {
        f64::from(self.hosts[host].own)
    }

    /// Least and greatest number of own requests on a host.
    pub(super) fn own_range(&self) -> (u32, u32) {
        let own = self.listed().map(|host| self.hosts[host].own);
        (own.clone().min().unwrap_or(0), own.max().unwrap_or(0))
    }

    /// The first host with the fewest own requests.
    pub(super) fn first_least_own(&self) -> Option<usize> {
        self.listed().min_by_key(|&host| self.hosts[host].own)
    }
}

impl HostLoad {
    /// Requests there: own ones exactly, others' as of the last poll.
    pub(super) fn requests(&self) -> u32 {
        let others = (self.polled.running + self.polled.waiting).saturating_sub(self.own_at_poll);
        self.own + others
    }

    /// Others' requests in the engine's queue, as of the last poll.
    pub(super) fn others_waiting(&self) -> u32 {
        self.polled
            .waiting
            .saturating_sub(self.own_prefilling_at_poll)
    }
}
