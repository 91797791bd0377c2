//! Answers that serve more than one request.

use alloc::boxed::Box;
use plimsoll_core::{
    config,
    observe::Body,
    reuse::{Answer, Flight, Found, Key},
};

use super::Worker;
use crate::{clock, host::Host, metrics::Id};

impl Worker {
    /// Takes over what the configuration says of it.
    pub(super) fn configure_reuse(&mut self) {
        let wanted = &self.router.config().reuse;
        if self.door.stuck {
            return;
        }
        if wanted.is_on() && self.reuse.is_none() {
            self.reuse = Some(Box::default());
        }
        if let Some(reuse) = &mut self.reuse {
            reuse.configure(wanted);
        }
    }

    /// Shares no more, and lets go whoever waits for an answer.
    pub(super) fn stop_sharing(&mut self) {
        if let Some(reuse) = &mut self.reuse {
            reuse.configure(&config::Reuse::default());
        }
    }

    /// Whether requests may be answered by the answers of others.
    pub(crate) fn shares(&self) -> bool {
        self.reuse.as_ref().is_some_and(|reuse| reuse.is_on())
    }

    /// What makes keys of requests, drawn with the first; `None` where there is no entropy, and so no secret.
    pub(crate) fn sharing_secret<H: Host>(&mut self, host: &H) -> Option<[u64; 2]> {
        if self.secret == [0; 2] {
            self.secret = [host.random_seed(), host.random_seed()];
        }
        (!self.secret.contains(&0)).then_some(self.secret)
    }

    pub(crate) fn find_shared<H: Host>(&mut self, host: &H, key: Key, tag: u32) -> Found {
        let Some(reuse) = &mut self.reuse else {
            return Found::Alone;
        };
        let found = reuse.arrive(clock(host), key, tag);
        if let Found::Leads(_) = found {
            self.metrics.count(Id::ReuseLed, 1);
        }
        found
    }

    pub(crate) fn shared_answer<H: Host>(&self, host: &H, key: &Key) -> Option<Answer<'_>> {
        self.reuse.as_ref()?.answer(clock(host), key)
    }

    pub(crate) fn count_reuse(&mut self, id: Id) {
        self.metrics.count(id, 1);
    }

    /// The next piece of the answer of `flight`; with `done` it is whole. False when it is not shared any more.
    pub(crate) fn share_piece(
        &mut self,
        flight: Flight,
        body: Body,
        piece: &[u8],
        done: bool,
    ) -> bool {
        let reuse = self.reuse.as_mut();
        reuse.is_some_and(|reuse| reuse.push(flight, body, piece, done))
    }

    pub(crate) fn end_sharing<H: Host>(&mut self, host: &H, flight: Flight) {
        if let Some(reuse) = &mut self.reuse {
            reuse.end(clock(host), flight);
        }
    }

    pub(crate) fn stop_following(&mut self, tag: u32) {
        if let Some(reuse) = &mut self.reuse {
            reuse.leave(tag);
        }
    }
}
