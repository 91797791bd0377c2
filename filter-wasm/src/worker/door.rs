//! Requests that have to have a tenant, and those that wait.

use plimsoll_core::{
    admit::{Release, Shed, Waiting},
    config::Identity,
    request::Request,
    router::Verdict,
    tenant::{Claims, Denied, Member},
    time::Instant,
};

use super::{Worker, recorder::Stage};
use crate::{
    clock,
    host::{Host, Level, Status},
    metrics::Id,
};

/// What a worker knows of its door.
#[derive(Debug, Default)]
pub(super) struct Door {
    /// Whether it was found out if this proxy resumes requests from ticks.
    checked: bool,
    /// Roots that tick for this worker.
    roots: usize,
    /// Waiting requests, as last published.
    published: u64,
}

impl Worker {
    /// Whether requests have to have a tenant.
    pub(crate) fn identifies(&self) -> bool {
        self.router.identifies()
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.config().identity
    }

    pub(crate) fn identify(&self, claims: &Claims<'_>) -> Result<Member, Denied> {
        self.router.identify(claims)
    }

    /// A root was configured; `new` says that it was not before.
    pub(crate) fn count_root(&mut self, new: bool) {
        self.door.roots += usize::from(new);
    }

    /// A root goes. The last one lets go whoever waits: nobody else would.
    pub(super) fn root_gone(&mut self) {
        self.door.roots = self.door.roots.saturating_sub(1);
        if self.door.roots == 0 {
            self.router.open();
        }
    }

    /// Finds out once whether this proxy resumes requests from ticks: those that tell a stream's flags as a binary number do.
    pub(crate) fn check_resuming<H: Host>(&mut self, host: &H) {
        if core::mem::replace(&mut self.door.checked, true) {
            return;
        }
        let flags = host.property(&["response", "flags"]);
        if !flags.is_ok_and(|flags| flags.len() == 8) {
            self.without_queue(host);
        }
    }

    fn without_queue<H: Host>(&mut self, host: &H) {
        self.router.without_queue();
        host.log(
            Level::Warn,
            "plimsoll: this proxy cannot resume requests from a tick: what cannot go at once is refused, nothing waits",
        );
    }

    /// The proxy has refused to let a request go on.
    pub(crate) fn cannot_resume<H: Host>(&mut self, host: &H, status: Status) {
        host.log(
            Level::Error,
            &[
                "plimsoll: a waiting request could not be resumed: ",
                &status.text(),
            ]
            .concat(),
        );
        self.without_queue(host);
    }

    pub(crate) fn next_release<H: Host>(&mut self, host: &H) -> Option<Release> {
        self.router.next_release(clock(host))
    }

    /// Decides where a request goes that waited.
    pub(crate) fn released<H: Host>(
        &mut self,
        host: &H,
        waiting: Waiting,
        request: &Request<'_>,
    ) -> Verdict {
        self.measured(host, request, Stage::Release(waiting))
    }

    pub(crate) fn leave(&mut self, waiting: Waiting) {
        self.router.on_leave(waiting);
    }

    pub(crate) fn waited<H: Host>(&self, host: &H, since: Instant) {
        let waited = clock(host).since(since);
        self.metrics.set(host, Id::QueueWaitUs, waited.get());
    }

    pub(crate) fn count_shed<H: Host>(&mut self, host: &H, shed: &Shed) {
        self.metrics.rejected(host, shed.reason.name());
    }

    /// Publishes how many wait: the change, since all workers share one gauge.
    pub(super) fn publish_waiting<H: Host>(&mut self, host: &H, waiting: u64) {
        let delta = (waiting as i64).saturating_sub(self.door.published as i64);
        self.door.published = waiting;
        self.metrics.shift(host, Id::Queued, delta);
    }
}
