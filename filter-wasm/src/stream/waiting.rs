//! A request that waits: what is kept of it, and how it goes on.

use alloc::boxed::Box;
use plimsoll_core::{
    admit::{Release, Shed, Waiting},
    request::Scanner,
    router::Verdict,
    time::Instant,
};

use super::{Progress, Stream};
use crate::{
    host::{Action, Host},
    worker::{Turn, Worker},
};

/// A request that waits, and what is known of it.
pub(super) struct Wait {
    pub(super) waiting: Waiting,
    pub(super) scanner: Option<Box<Scanner>>,
    /// Bytes of the body that were not read.
    pub(super) rest: u64,
    /// Whether there are none.
    pub(super) whole: bool,
    pub(super) since: Instant,
}

impl<H: Host> Stream<H> {
    /// A scanner is done with, unless its facts are needed once more.
    pub(super) fn put_away(&mut self, worker: &mut Worker, scanner: Box<Scanner>) {
        match &mut self.progress {
            Progress::Waiting(wait) => wait.scanner = Some(scanner),
            _ => worker.keep_scanner(scanner),
        }
    }

    pub(super) fn shed(&mut self, worker: &mut Worker, shed: Shed) -> Action {
        worker.count_shed(&*self.host, &shed);
        self.act(worker, Verdict::Shed(shed), false)
    }

    /// The request need not wait any longer. This stream is the host's current one.
    pub fn on_release(&mut self, turn: Turn) {
        match turn {
            Turn::Queue(release) => self.on_turn(release),
            Turn::Follower(freed) => self.on_freed(freed),
        }
    }

    /// The request is sent, or refused.
    fn on_turn(&mut self, release: Release) {
        let progress = core::mem::replace(&mut self.progress, Progress::Decided);
        let (Progress::Waiting(wait), Some(worker)) = (progress, self.worker.clone()) else {
            return;
        };
        let Ok(mut worker) = worker.try_borrow_mut() else {
            return;
        };
        self.waited += worker.waited(&*self.host, wait.since);
        let action = match release.shed {
            Some(shed) => self.shed(&mut worker, shed),
            None => {
                let facts = wait.scanner.as_ref().map(|scanner| scanner.facts());
                let facts = facts.unwrap_or_default();
                let request = self.request(&worker, &facts, wait.rest, wait.whole);
                let verdict = worker.released(&*self.host, wait.waiting, &request);
                self.act(&mut worker, verdict, request.stream)
            }
        };
        if let Some(scanner) = wait.scanner {
            worker.keep_scanner(scanner);
        }
        self.go_on(&mut worker, action);
    }

    /// Lets a request that has waited go on, if that is what came of it.
    pub(super) fn go_on(&self, worker: &mut Worker, action: Action) {
        if action == Action::Continue
            && let Err(status) = self.host.resume()
        {
            worker.cannot_resume(&*self.host, status);
        }
    }

    /// A request that has ended waits for nothing any longer, and nobody for it.
    pub(super) fn leave(&mut self) {
        if self.flight.is_none() && !self.progress.holds_back() {
            return;
        }
        let Some(worker) = self.worker.clone() else {
            return;
        };
        let Ok(mut worker) = worker.try_borrow_mut() else {
            return;
        };
        self.end_sharing(&mut worker);
        match core::mem::replace(&mut self.progress, Progress::Decided) {
            Progress::Waiting(wait) => worker.leave(wait.waiting),
            Progress::Following(_) => worker.stop_following(self.context),
            _ => {}
        }
    }
}
