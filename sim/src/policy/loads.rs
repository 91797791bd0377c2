//! Load as one router sees it: its own requests exactly, those of others as of the last poll.

use super::Polled;
use crate::engine::{HashKeyed, Token};

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
            host.polled = polled;
            host.own_at_poll = host.own;
            host.own_prefilling_at_poll = host.own_prefilling;
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

    /// A token of an own request has come.
    pub(super) fn token(&mut self, host: usize, token: &Token) {
        let host = &mut self.hosts[host];
        if token.ordinal == 1
            && let Some(uncached) = self.uncached.remove(&token.id)
        {
            host.own_prefilling -= 1;
            host.own_queued_tokens -= uncached;
        }
        if token.last {
            host.own -= 1;
        }
    }

    /// Least and greatest number of own requests on a host.
    pub(super) fn own_range(&self) -> (u32, u32) {
        let own = self.hosts.iter().map(|host| host.own);
        (own.clone().min().unwrap_or(0), own.max().unwrap_or(0))
    }

    /// The first host with the fewest own requests.
    pub(super) fn first_least_own(&self) -> usize {
        let hosts = self.hosts.iter().enumerate();
        hosts
            .min_by_key(|(_, host)| host.own)
            .map_or(0, |(host, _)| host)
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
