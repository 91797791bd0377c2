//! A request that shares an answer: one that was kept, one under way, or its own with those that come after it.

use alloc::boxed::Box;
use plimsoll_core::{
    config::ANYBODY,
    request::{Scanner, key},
    reuse::{Found, Freed, Key},
    time::Instant,
};

use super::{Progress, Stream};
use crate::{
    clock,
    host::{Action, Buffer, Host, Map},
    metrics::Id,
    reply, sharing,
    worker::Worker,
};

/// A request that waits for another's answer.
pub(super) struct Follow {
    scanner: Box<Scanner>,
    since: Instant,
}

/// What becomes of a request that could share.
pub(super) enum Shared {
    /// It is answered, or waits for an answer.
    Taken(Action),
    /// It is decided; here is its scanner again.
    Own(Box<Scanner>),
}

impl<H: Host> Stream<H> {
    /// What makes this request one with others, with its `size` bytes of body; `None` when it takes no part.
    fn key(&self, worker: &mut Worker, size: usize) -> Option<Key> {
        let secret = worker.sharing_secret(&*self.host)?;
        let map = self.host.header_map(Map::RequestHeaders).ok()?;
        let mut asked = sharing::read(&map)?;
        // Strangers are no tenant: each is known by its credentials alone.
        let tenant = self.caller.map_or(0, |caller| caller.member.tenant);
        if tenant != key(ANYBODY.as_bytes()) {
            asked.tenant = tenant;
        }
        let body = self.host.buffer(Buffer::RequestBody, 0, size).ok()?;
        if body.len() == size {
            asked.key(secret, body)
        } else {
            None
        }
    }

    /// A request whose whole body was seen, `size` bytes, looks for an answer to share.
    pub(super) fn share(
        &mut self,
        worker: &mut Worker,
        scanner: Box<Scanner>,
        size: usize,
    ) -> Shared {
        let Some(key) = self.key(worker, size) else {
            return Shared::Own(scanner);
        };
        match worker.find_shared(&*self.host, key, self.context) {
            Found::Kept if self.answer(worker, &key, Id::ReuseHit) => {
                worker.keep_scanner(scanner);
                return Shared::Taken(Action::Pause);
            }
            Found::Follows => {
                let since = clock(&*self.host);
                self.progress = Progress::Following(Box::new(Follow { scanner, since }));
                return Shared::Taken(Action::Pause);
            }
            Found::Leads(flight) => self.flight = Some(flight),
            Found::Kept | Found::Alone => {}
        }
        Shared::Own(scanner)
    }

    /// Answers with what `key` has; `how` counts it. False when that cannot be.
    fn answer(&mut self, worker: &mut Worker, key: &Key, how: Id) -> bool {
        let Some(answer) = worker.shared_answer(&*self.host, key) else {
            return false;
        };
        let name = match how {
            Id::ReuseHit => "hit",
            _ => "coalesced",
        };
        if reply::reuse(&*self.host, name, &answer).is_err() {
            return false;
        }
        if worker.explains(self.head.explain) {
            self.explain(worker, ["reused=", name].concat());
        }
        worker.count_reuse(how);
        true
    }

    /// The request need not wait for another's answer any longer: here it is, or it goes itself. This stream is the host's current one.
    pub(super) fn on_freed(&mut self, freed: Freed) {
        let progress = core::mem::replace(&mut self.progress, Progress::Decided);
        let (Progress::Following(follow), Some(worker)) = (progress, self.worker.clone()) else {
            return;
        };
        let Ok(mut worker) = worker.try_borrow_mut() else {
            return;
        };
        self.waited = clock(&*self.host).since(follow.since);
        if let Some(key) = &freed.answer
            && self.answer(&mut worker, key, Id::ReuseCoalesced)
        {
            worker.keep_scanner(follow.scanner);
            return;
        }
        worker.count_reuse(Id::ReuseLetGo);
        let action = self.decide(&mut worker, &follow.scanner.facts(), 0, true);
        self.put_away(&mut worker, follow.scanner);
        self.go_on(&mut worker, action);
    }

    /// Nothing more of the answer comes, or it is none to share.
    pub(super) fn end_sharing(&mut self, worker: &mut Worker) {
        if let Some(flight) = self.flight.take() {
            worker.end_sharing(&*self.host, flight);
        }
    }
}
