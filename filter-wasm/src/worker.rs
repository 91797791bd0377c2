//! State of one worker for one pool: the router, and its exchange with the collector and the other workers.

use plimsoll_core::{
    config::{Config, Policy},
    explain::Line,
    host::Address,
    observe::{Seen, Usage},
    request::{Kind, Request, Scanner},
    rng,
    router::{Decision, Outcome, Router, Step, Ticket, Verdict},
    snapshot::{View, epoch_of},
    time::{Instant, Micros},
};

use crate::{
    clock,
    collecting::Collecting,
    host::{Host, Level, Status},
    lease::{self, Duty, Lease},
    metrics::{Id, Metrics},
    names::Keys,
    slots::Slots,
};

/// Scanners kept for reuse; as many requests are being read at once before one is allocated anew.
const SPARE_SCANNERS: usize = 8;

/// The newest snapshot that was looked at.
struct Known {
    /// Epoch and compare-and-swap number: either changes with every write.
    version: (u64, u32),
    /// When it was written; before there is one, when this worker began to look.
    stamp: Instant,
    /// Whether this worker wrote it.
    own: bool,
}

/// One worker.
pub struct Worker {
    router: Router,
    metrics: Metrics,
    keys: Keys,
    /// Names this worker in its slot, its lease and its snapshots; never 0.
    me: u64,
    requests: u64,
    needs_model: bool,
    // Boxed: a scanner is some kilobytes, and a stream takes it over and gives it back.
    #[allow(clippy::vec_box)]
    spare: Vec<Box<Scanner>>,
    labels: Vec<(Address, String)>,
    slots: Slots,
    share: Vec<u8>,
    snapshot: Known,
    collecting: Option<Collecting>,
    last_tick: Instant,
}

impl Worker {
    /// A worker that knows its configuration and nothing else.
    #[must_use]
    pub fn new(config: Config, metrics: Metrics, seed: u64, now: Instant) -> Self {
        let me = seed.max(1);
        let mut worker = Self {
            keys: Keys::new(&config.pool),
            router: Router::new(config, me),
            metrics,
            me,
            requests: 0,
            needs_model: false,
            spare: Vec::new(),
            labels: Vec::new(),
            slots: Slots::default(),
            share: Vec::new(),
            snapshot: Known {
                version: (0, 0),
                stamp: now,
                own: false,
            },
            collecting: None,
            last_tick: Instant::ZERO,
        };
        worker.needs_model = worker.router.needs_model();
        worker
    }

    /// Takes over a new configuration of the same pool. Requests in flight and what was learned stay.
    pub fn configure(&mut self, config: Config) {
        if let Some(collecting) = &mut self.collecting {
            collecting.configure(config.clone());
        }
        self.router.configure(config);
        self.needs_model = self.router.needs_model();
    }

    fn config(&self) -> &Config {
        self.router.config()
    }

    pub(crate) fn decide_after_bytes(&self) -> usize {
        self.config().decide_after_bytes.max(1)
    }

    pub(crate) fn buffer_limit_bytes(&self) -> usize {
        self.config().buffer_limit_bytes
    }

    /// Whether hosts differ in models, so that the request's must be known.
    pub(crate) const fn needs_model(&self) -> bool {
        self.needs_model
    }

    /// Whether a decision about a request of this kind looks at its body.
    pub(crate) fn reads_body(&self, kind: Kind) -> bool {
        self.needs_model || (kind != Kind::Other && self.config().policy == Policy::Plimsoll)
    }

    /// Whether a decision is to be put in words; `asked` says that the client asks for it.
    pub(crate) fn explains(&self, asked: bool) -> bool {
        (asked && self.config().explain) || self.config().access_log
    }

    /// Whether the client may see the decision.
    pub(crate) fn answers_explain(&self) -> bool {
        self.config().explain
    }

    pub(crate) fn writes_access_log(&self) -> bool {
        self.config().access_log
    }

    pub(crate) fn scanner(&mut self, kind: Kind) -> Box<Scanner> {
        match self.spare.pop() {
            Some(mut scanner) => {
                scanner.reset(kind);
                scanner
            }
            None => Box::new(Scanner::new(kind)),
        }
    }

    pub(crate) fn keep_scanner(&mut self, scanner: Box<Scanner>) {
        if self.spare.len() < SPARE_SCANNERS {
            self.spare.push(scanner);
        }
    }

    pub(crate) fn count_request<H: Host>(&mut self, host: &H) {
        self.requests = self.requests.wrapping_add(1);
        self.metrics.add(host, Id::Requests, 1);
    }

    /// What breaks ties for the request called `id` (0 when it has no name). Mixed with this worker's own number, so
    /// that a client cannot choose its host by choosing a name.
    pub(crate) const fn seed_of(&self, id: u64) -> u64 {
        rng::mix(self.me ^ if id == 0 { self.requests } else { id })
    }

    /// Decides, and measures the decision.
    pub(crate) fn decide<H: Host>(&mut self, host: &H, request: &Request<'_>) -> Verdict {
        let before = host.now_nanos();
        let verdict = self
            .router
            .on_request(Instant::from_micros(before / 1000), request);
        let spent = host.now_nanos().saturating_sub(before);
        self.metrics.set(host, Id::DecisionNs, spent);
        match &verdict {
            Verdict::Forward(decision) => {
                let id = match decision.step {
                    Step::Full => Id::StepFull,
                    Step::Local => Id::StepLocal,
                    Step::Hash => Id::StepHash,
                    Step::Proxy => Id::StepProxy,
                };
                self.metrics.add(host, id, 1);
                self.metrics
                    .add(host, Id::PredictedCachedTokens, decision.cached_tokens);
                if let Some(first) = decision
                    .ranked
                    .first()
                    .and_then(|first| self.router.address(first))
                {
                    self.metrics.picked(host, first);
                }
            }
            Verdict::Pass(_) => self.metrics.add(host, Id::StepProxy, 1),
            Verdict::Reject(reason) => self.metrics.rejected(host, reason.name()),
        }
        verdict
    }

    /// A verdict in words.
    pub(crate) fn explain(&self, verdict: &Verdict) -> String {
        match verdict {
            Verdict::Forward(decision) => {
                Line(decision, |index| self.router.address(index)).to_string()
            }
            Verdict::Pass(reason) => ["step=proxy reason=", reason.name()].concat(),
            Verdict::Reject(reason) => ["rejected=", reason.name()].concat(),
        }
    }

    /// The ranked hosts as the proxy reads them: `ip:port,ip:port,ip:port`.
    pub(crate) fn list(&mut self, decision: &Decision) -> String {
        let mut list = String::with_capacity(72);
        for index in decision.ranked.iter() {
            let Some(address) = self.router.address(index) else {
                continue;
            };
            if !list.is_empty() {
                list.push(',');
            }
            list.push_str(self.label(index, address));
        }
        list
    }

    /// Text of an address, written once for each place in the fleet and again only when another host takes the place.
    fn label(&mut self, index: usize, address: Address) -> &str {
        while self.labels.len() <= index {
            self.labels.push((address, String::new()));
        }
        match self.labels.get_mut(index) {
            Some((of, text)) => {
                if *of != address || text.is_empty() {
                    (*of, *text) = (address, address.to_string());
                }
                text
            }
            None => "",
        }
    }

    pub(crate) fn served<H: Host>(&mut self, host: &H, ticket: Ticket, address: Address) {
        if self.router.on_served(clock(host), ticket, address) {
            self.metrics.add(host, Id::Rebooked, 1);
        }
    }

    pub(crate) fn chunk<H: Host>(&mut self, host: &H, ticket: Ticket, seen: Seen) {
        if let Some(ttft) = self.router.on_chunk(clock(host), ticket, seen) {
            self.metrics.set(host, Id::TtftUs, ttft.get());
        }
    }

    pub(crate) fn done<H: Host>(
        &mut self,
        host: &H,
        started: Instant,
        ticket: Ticket,
        usage: Option<Usage>,
        outcome: Outcome,
    ) {
        let now = clock(host);
        if let Some(usage) = usage {
            let seen = Seen {
                tokens: 0,
                usage: Some(usage),
                done: true,
            };
            self.router.on_chunk(now, ticket, seen);
            self.metrics
                .add(host, Id::PromptTokens, u64::from(usage.prompt_tokens));
            self.metrics.add(
                host,
                Id::CompletionTokens,
                u64::from(usage.completion_tokens),
            );
            self.metrics.add(
                host,
                Id::CachedTokens,
                u64::from(usage.cached_tokens.unwrap_or(0)),
            );
        }
        self.router.on_done(now, ticket, outcome);
        self.metrics
            .add(host, Id::Aborted, u64::from(outcome.aborted));
        self.metrics
            .add(host, Id::Failed, u64::from(outcome.failed));
        self.metrics.set(host, Id::E2eUs, now.since(started).get());
    }

    /// Exchanges state with the collector and the other workers, and stands in for the collector if it is missing.
    pub fn on_tick<H: Host>(&mut self, host: &H) {
        let now = clock(host);
        // During a reconfiguration several roots tick for one worker.
        let due = self.config().tick.get() * 3 / 4;
        if now >= self.last_tick && now.since(self.last_tick).get() < due {
            return;
        }
        self.last_tick = now;
        self.read_snapshot(host, now);
        self.exchange(host, now);
        self.router.on_tick(now);
        self.stand_in(host, now);
        self.publish_gauges(host, now);
    }

    fn read_snapshot<H: Host>(&mut self, host: &H, now: Instant) {
        let Ok((bytes, cas)) = host.shared_get(&self.keys.snapshot) else {
            return;
        };
        let version = (epoch_of(&bytes), cas);
        if version == self.snapshot.version {
            return;
        }
        self.snapshot.version = version;
        match self.router.apply_snapshot(now, &bytes) {
            Ok(_) => {
                if let Ok(view) = View::new_checked(&bytes) {
                    self.snapshot.stamp = view.stamp().min(now);
                    self.snapshot.own = view.writer() == self.me;
                }
                self.needs_model = self.router.needs_model();
                self.metrics.add(host, Id::SnapshotsApplied, 1);
            }
            Err(error) => {
                self.metrics.add(host, Id::SnapshotsRejected, 1);
                host.log(Level::Warn, &["plimsoll: ", &error.to_string()].concat());
            }
        }
    }

    /// A worker without a request has nothing to tell and needs no slot; such are the main thread of a proxy and idle
    /// workers. It reads all the same, so that its first request is decided by what the others know.
    fn exchange<H: Host>(&mut self, host: &H, now: Instant) {
        if self.requests > 0 {
            self.router.write_share(now, &mut self.share);
            self.slots
                .write(host, &mut self.keys, self.me, now, &self.share);
        }
        let router = &mut self.router;
        self.slots
            .read(host, &mut self.keys, self.me, now, |slot, share| {
                router.apply_share(now, slot, share)
            });
    }

    /// Collects if nobody else does (see [`lease`]).
    fn stand_in<H: Host>(&mut self, host: &H, now: Instant) {
        // The collector cannot publish more often than it ticks.
        let period = Micros::new(self.config().poll.every.get().max(self.config().tick.get()));
        let patience = period.times(lease::STALE_PERIODS);
        if self.collecting.is_none() && now.since(self.snapshot.stamp) <= patience {
            return;
        }
        let (stored, cas) = match host.shared_get(&self.keys.lease) {
            Ok((bytes, cas)) => (Lease::decode(&bytes), Some(cas)),
            Err(Status::NotFound) => (None, None),
            // A host without shared data: there is nobody to compete with and nothing to publish to.
            Err(_) => return,
        };
        let view = lease::View {
            now,
            period,
            stamp: self.snapshot.stamp,
            own_snapshot: self.snapshot.own,
            lease: stored,
            me: self.me,
        };
        let duty = lease::duty(&view);
        let claim = |owner| {
            host.shared_set(
                &self.keys.lease,
                &Lease {
                    owner,
                    renewed: now,
                }
                .encode(),
                cas,
            )
            .is_ok()
        };
        let held = match duty {
            Duty::Idle => false,
            Duty::Collect => true,
            Duty::Take | Duty::Renew => claim(self.me),
            Duty::Yield => {
                claim(0);
                false
            }
        };
        if !held {
            if self.collecting.take().is_some() {
                host.log(
                    Level::Info,
                    "plimsoll: the collector is back; this worker no longer stands in",
                );
            }
            return;
        }
        if self.collecting.is_none() {
            self.metrics.add(host, Id::LeaseTaken, 1);
            host.log(
                Level::Warn,
                "plimsoll: no fresh snapshot; this worker stands in for the collector",
            );
        }
        let (config, me) = (self.router.config(), self.me);
        let collecting = self
            .collecting
            .get_or_insert_with(|| Collecting::new(config.clone(), me));
        collecting.tick(host, &self.metrics, &self.keys.snapshot, now);
    }

    pub(crate) fn on_call_response<H: Host>(
        &mut self,
        host: &H,
        token: u32,
        headers: usize,
        body_size: usize,
    ) {
        if let Some(collecting) = &mut self.collecting {
            collecting.answer(host, &self.metrics, clock(host), token, headers, body_size);
        }
    }

    fn publish_gauges<H: Host>(&mut self, host: &H, now: Instant) {
        self.metrics
            .set(host, Id::Hosts, self.router.host_count() as u64);
        if let Some(age) = self.router.snapshot_age(now) {
            self.metrics.set(host, Id::SnapshotAgeMs, age.get() / 1000);
        }
        let inflight = self
            .router
            .hosts()
            .map(|(_, of_host)| (of_host.address, u64::from(of_host.own.requests)));
        self.metrics.inflight(host, inflight);
    }
}
