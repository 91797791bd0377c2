//! One host as the collector watches it: what is asked of it when, and whether it is well.

use crate::config::Config;
use crate::host::{Address, MODELS, Polled, State};
use crate::scrape::Head;
use crate::time::{Instant, Micros};

/// Something that is asked of a host again and again, one question at a time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Errand {
    next: Instant,
    /// Until then an answer is awaited.
    until: Option<Instant>,
}

impl Errand {
    /// Whether an answer that was awaited will not come any more; it is then not awaited any more.
    pub(super) fn is_lost(&mut self, now: Instant) -> bool {
        let lost = self.until.is_some_and(|until| now >= until);
        if lost {
            self.until = None;
        }
        lost
    }

    /// Whether it is time to ask.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.until.is_none() && now >= self.next
    }

    /// It has been asked; an answer that takes longer than twice `timeout` is lost.
    pub(super) fn asked(&mut self, now: Instant, timeout: Micros, next: Micros) {
        self.until = Some(now + timeout.times(2));
        self.next = now + next;
    }

    pub(super) const fn answered(&mut self) {
        self.until = None;
    }

    /// What was due at a time that is now far ahead would not be asked for until then.
    pub(super) const fn on_clock_set_back(&mut self) {
        self.next = Instant::ZERO;
        self.until = None;
    }
}

/// A host of the list.
#[derive(Clone, Debug)]
pub(super) struct Watched {
    pub(super) address: Address,
    pub(super) weight: u32,
    pub(super) configured_models: bool,
    pub(super) models: [u64; MODELS],
    /// By the proxy's own checks.
    pub(super) state: State,
    pub(super) polled: Option<Polled>,
    /// How much of its metrics page has to be read.
    pub(super) head: Head,
    pub(super) poll: Errand,
    pub(super) check: Errand,
    pub(super) warm: Errand,
    pub(super) listed: bool,
    /// By our checks.
    down: bool,
    /// Checks in a row that say otherwise.
    against: u32,
    /// It was there from the start, and the proxy has not found it well yet.
    unchecked: bool,
    /// When it joined or came back; zero for one that was there from the start.
    since: Instant,
    /// Warm-up requests that it has yet to answer.
    warming: u32,
    /// When it was last seen at work.
    busy: Instant,
}

impl Watched {
    /// A host that was there from the start.
    pub(super) fn new(address: Address, weight: u32, state: State, models: Option<&[u64]>) -> Self {
        Self {
            address,
            weight,
            configured_models: models.is_some_and(|models| !models.is_empty()),
            models: crate::host::first_models(models.unwrap_or_default()),
            state,
            polled: None,
            head: Head::default(),
            poll: Errand::default(),
            check: Errand::default(),
            warm: Errand::default(),
            listed: true,
            down: false,
            against: 0,
            unchecked: state == State::Down,
            since: Instant::ZERO,
            warming: 0,
            busy: Instant::ZERO,
        }
    }

    /// What the snapshot says of it.
    pub(super) const fn shown(&self) -> State {
        match self.state {
            State::Ready if self.down => State::Down,
            State::Ready if self.warming > 0 => State::Warming,
            state => state,
        }
    }

    /// When it joined or came back.
    pub(super) const fn since(&self) -> Instant {
        self.since
    }

    /// It joins or comes back: it is warmed up, and then starts slowly.
    pub(super) const fn begin(&mut self, now: Instant, config: &Config) {
        self.unchecked = false;
        self.since = now;
        self.busy = now;
        self.warming = config.warmup.requests;
    }

    /// The proxy says that it is in `state`. While it is `settling`, a host that it finds well for the first time has not come back: a
    /// proxy that starts calls every host ill until its first check has been answered.
    pub(super) fn on_state(&mut self, now: Instant, state: State, settling: bool, config: &Config) {
        if state == State::Ready && self.state != State::Ready {
            if !(settling && self.unchecked) {
                self.begin(now, config);
            }
            self.unchecked = false;
        }
        self.state = state;
    }

    /// A check of ours has found it well, or not.
    pub(super) fn on_check(&mut self, now: Instant, well: bool, config: &Config) {
        if well != self.down {
            self.against = 0;
            return;
        }
        self.against = self.against.saturating_add(1);
        let enough = if well {
            config.poll.healthy_after
        } else {
            config.poll.unhealthy_after
        };
        if self.against >= enough {
            self.down = !well;
            self.against = 0;
            if well {
                self.begin(now, config);
            }
        }
    }

    /// Its engine has reported.
    pub(super) fn on_report(&mut self, polled: Polled) {
        if polled.running > 0 || polled.waiting > 0 {
            self.busy = polled.at;
        }
        self.polled = Some(polled);
    }

    /// Whether a small request should go there: one of those before its first traffic, or one that keeps it warm.
    pub(super) fn wants_warmth(&self, now: Instant, config: &Config) -> bool {
        let keep = config.warmup.keep_warm;
        let idle = keep > Micros::ZERO && now.since(self.busy) >= keep;
        self.state == State::Ready && !self.down && (self.warming > 0 || idle)
    }

    /// Such a request has been answered, or has failed: either way it was one.
    pub(super) fn on_warmed(&mut self, now: Instant) {
        self.busy = now;
        if self.warming > 0 {
            self.warming -= 1;
            self.since = now;
        }
    }

    /// Takes over what another collector knew of it.
    pub(super) fn resume(&mut self, shown: State, since: Instant, polled: Option<Polled>) {
        self.down = shown == State::Down;
        self.since = since;
        self.polled = self.polled.or(polled);
    }

    pub(super) fn on_clock_set_back(&mut self, now: Instant) {
        for errand in [&mut self.poll, &mut self.check, &mut self.warm] {
            errand.on_clock_set_back();
        }
        self.since = self.since.min(now);
        self.busy = self.busy.min(now);
        if let Some(polled) = &mut self.polled {
            polled.at = polled.at.min(now);
        }
    }
}
