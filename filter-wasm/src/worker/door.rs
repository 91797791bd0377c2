//! Requests that have to have a tenant, and those that wait.

use plimsoll_core::{
    admit::{Release, Shed, Waiting},
    config::Identity,
    request::{Request, key},
    reuse::Freed,
    router::Verdict,
    tenant::{Claims, Denied, Member},
    time::{Instant, Micros},
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
    /// Whether it was found that it does not.
    pub(super) stuck: bool,
    /// Roots that tick for this worker.
    roots: usize,
    /// Waiting requests and reserved tokens, as last published.
    published: [u64; 2],
}

/// A request that need not wait any longer.
#[derive(Clone, Copy, Debug)]
pub enum Turn {
    /// It waited in the queue.
    Queue(Release),
    /// It waited for the answer to another.
    Follower(Freed),
}

impl Turn {
    /// The stream's context.
    pub(crate) const fn tag(&self) -> u32 {
        match self {
            Self::Queue(release) => release.tag,
            Self::Follower(freed) => freed.tag,
        }
    }
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

    /// Names of a member's tier and tenant.
    pub(super) fn names_of(&self, member: Member) -> (&str, &str) {
        let config = self.config();
        let tier = config.tiers.get(usize::from(member.tier));
        let mut tenants = config.tenants.iter();
        let tenant = tenants.find(|tenant| key(tenant.name.as_bytes()) == member.tenant);
        (
            tier.map_or("", |tier| &tier.name),
            tenant.map_or("", |tenant| &tenant.name),
        )
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
            self.stop_sharing();
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
        self.stop_sharing();
        self.door.stuck = true;
        host.log(
            Level::Warn,
            "plimsoll: this proxy cannot resume requests from a tick: what cannot go at once is refused, nothing waits and no answer is shared",
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

    pub(crate) fn next_turn<H: Host>(&mut self, host: &H) -> Option<Turn> {
        let now = clock(host);
        let freed = self.reuse.as_mut().and_then(|reuse| reuse.next(now));
        if let Some(freed) = freed {
            return Some(Turn::Follower(freed));
        }
        self.router.next_release(now).map(Turn::Queue)
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

    pub(crate) fn waited<H: Host>(&self, host: &H, since: Instant) -> Micros {
        let waited = clock(host).since(since);
        self.metrics.set(host, Id::QueueWaitUs, waited.get());
        waited
    }

    pub(crate) fn count_shed<H: Host>(&mut self, host: &H, shed: &Shed) {
        self.metrics.rejected(host, shed.reason.name());
    }

    /// Tells the proxy's other workers what this one's tenants use.
    pub(super) fn tell_of_tenants<H: Host>(&mut self, host: &H, now: Instant) {
        if let (true, Some(slot)) = (self.router.identifies(), self.slots.own()) {
            self.router.write_tenants(now, &mut self.share);
            // What is not written is told by the next tick.
            let _ = host.shared_set(self.keys.tenants(slot), &self.share, None);
        }
    }

    /// Publishes how many wait, and what is reserved.
    pub(super) fn publish_door<H: Host>(&mut self, host: &H) {
        let waiting: usize = self.router.waiting().sum();
        let (_, reserved) = self.router.reserved();
        self.publish_of_door(host, [waiting as u64, reserved]);
    }

    /// Publishes the changes, since all workers share each gauge.
    pub(super) fn publish_of_door<H: Host>(&mut self, host: &H, values: [u64; 2]) {
        let ids = [Id::Queued, Id::ReservedTokens];
        for ((id, before), now) in ids.into_iter().zip(&mut self.door.published).zip(values) {
            let delta = (now as i64).saturating_sub(*before as i64);
            *before = now;
            self.metrics.shift(host, id, delta);
        }
    }
}
