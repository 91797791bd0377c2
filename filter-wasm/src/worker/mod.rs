//! State of one worker for one pool: the router, and its exchange with the collector and the other workers.

mod door;
mod exchange;
mod recorder;
mod sharing;

use alloc::{boxed::Box, string::String, string::ToString, sync::Arc, vec::Vec};
use plimsoll_core::{
    config::Config,
    explain::Line,
    host::Address,
    observe::{Seen, Usage},
    request::{Kind, Request, Scanner},
    reuse::Reuse,
    rng,
    router::{Bill, Caller, Decision, Outcome, Router, Step, Ticket, Verdict},
    time::{Instant, Micros},
};

use door::Door;
pub use door::Turn;

use crate::{
    clock,
    collecting::Collecting,
    host::Host,
    metrics::{Id, Metrics},
    names::{self, Keys},
    slots::Slots,
};
use recorder::{Recorder, Stage};

/// Scanners kept for reuse; as many requests are being read at once before one is allocated anew.
const SPARE_SCANNERS: usize = 8;

/// One decision of so many is measured.
const MEASURED: u32 = 16;

/// After this long without a tick there are none.
const NO_TICKS: Micros = Micros::from_millis(2000);

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
    /// Decisions since the last one that was measured.
    unmeasured: u32,
    needs_model: bool,
    // Boxed: a scanner is some kilobytes, and a stream takes it over and gives it back.
    #[allow(clippy::vec_box)]
    spare: Vec<Box<Scanner>>,
    labels: Vec<(Address, String)>,
    slots: Slots,
    share: Vec<u8>,
    /// Stamp of what was last read of other proxies.
    others: Instant,
    recorder: Recorder,
    snapshot: Known,
    collecting: Option<Collecting>,
    last_tick: Instant,
    /// What had not fitted into fixed tables when it was last published.
    overflows: [u64; 4],
    /// What had happened to hosts' health then.
    health: [u64; 9],
    door: Door,
    /// Answers that serve more than one request; absent as long as none does.
    reuse: Option<Box<Reuse>>,
    /// Known to nobody else; zeros as long as it is not needed.
    secret: [u64; 2],
}

impl Worker {
    /// A worker that knows its configuration and nothing else.
    #[must_use]
    pub fn new(config: Arc<Config>, metrics: Metrics, seed: u64, now: Instant) -> Self {
        let me = seed.max(1);
        let mut worker = Self {
            keys: Keys::new(&config.pool),
            router: Router::new(config, me),
            metrics,
            me,
            requests: 0,
            unmeasured: 0,
            needs_model: false,
            spare: Vec::new(),
            labels: Vec::new(),
            slots: Slots::default(),
            share: Vec::new(),
            others: Instant::ZERO,
            recorder: Recorder::default(),
            snapshot: Known {
                version: (0, 0),
                stamp: now,
                own: false,
            },
            collecting: None,
            last_tick: Instant::ZERO,
            overflows: [0; 4],
            health: [0; 9],
            door: Door::default(),
            reuse: None,
            secret: [0; 2],
        };
        worker.configure_reuse();
        worker.needs_model = worker.router.needs_model();
        worker.metrics.count(Id::WorkerStarts, 1);
        worker
    }

    /// Takes over a new configuration of the same pool. Requests in flight and what was learned stay.
    pub fn configure(&mut self, config: Arc<Config>) {
        if let Some(collecting) = &mut self.collecting {
            collecting.configure(Arc::clone(&config));
        }
        self.router.configure(config);
        self.configure_reuse();
        self.needs_model = self.router.needs_model();
    }

    fn config(&self) -> &Arc<Config> {
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
        let scored = matches!(kind, Kind::Chat | Kind::Completion) && self.config().scores();
        self.needs_model || scored || (kind != Kind::Other && self.shares())
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

    pub(crate) fn count_request(&mut self) {
        self.requests = self.requests.wrapping_add(1);
        self.metrics.count(Id::Requests, 1);
    }

    /// What breaks ties for the request called `id` (0 when it has no name). Mixed with this worker's own number, so
    /// that a client cannot choose its host by choosing a name.
    pub(crate) const fn seed_of(&self, id: u64) -> u64 {
        rng::mix(self.me ^ if id == 0 { self.requests } else { id })
    }

    /// Decides.
    pub(crate) fn decide<H: Host>(
        &mut self,
        host: &H,
        request: &Request<'_>,
        caller: Option<&Caller>,
    ) -> Verdict {
        self.measured(host, request, caller.map_or(Stage::Request, Stage::Arrival))
    }

    /// Lets the router decide, and measures the first decision and every sixteenth after it: a measurement leaves the VM twice.
    #[inline(never)]
    fn measured<H: Host>(&mut self, host: &H, request: &Request<'_>, stage: Stage<'_>) -> Verdict {
        let before = host.now_nanos();
        let now = Instant::from_micros(before / 1000);
        let verdict = self.recorder.decide(&mut self.router, now, request, stage);
        if self.unmeasured == 0 {
            let spent = host.now_nanos().saturating_sub(before);
            self.metrics.set(host, Id::DecisionNs, spent);
        }
        self.unmeasured = (self.unmeasured + 1) % MEASURED;
        self.recorder.write(host, &self.router.config().record);
        match &verdict {
            Verdict::Forward(decision) => {
                let id = match decision.step {
                    Step::Full => Id::StepFull,
                    Step::Local => Id::StepLocal,
                    Step::Hash => Id::StepHash,
                    Step::Proxy => Id::StepProxy,
                };
                // At once, so that a decision and its step can be told to belong together from outside.
                self.metrics.add(host, id, 1);
                self.metrics
                    .count(Id::PredictedCachedTokens, decision.cached_tokens);
                if let Some(shadow) = &decision.shadow {
                    let agreed = shadow.ranked.first() == decision.ranked.first();
                    let id = if agreed {
                        Id::ShadowAgreed
                    } else {
                        Id::ShadowDisagreed
                    };
                    self.metrics.count(id, 1);
                    self.metrics.count(Id::ShadowRegretUs, shadow.regret);
                    self.metrics.count(Id::ShadowGainUs, shadow.gain);
                }
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
            Verdict::Shed(shed) => self.metrics.rejected(host, shed.reason.name()),
            Verdict::Queue(_) => {}
        }
        verdict
    }

    /// What became of a request, in words that tell whose it is too. The tenant's name ends the line: it may have spaces.
    pub(crate) fn explain(&self, words: String, caller: Option<&Caller>, waited: Micros) -> String {
        let mut text = words;
        if let Some(caller) = caller {
            let (tier, tenant) = self.names_of(caller.member);
            for part in [" tier=", tier, " waited="] {
                text.push_str(part);
            }
            names::push_decimal(&mut text, waited.get());
            text.push_str("us tenant=");
            text.push_str(tenant);
        }
        text
    }

    /// A verdict in words.
    pub(crate) fn words(&self, verdict: &Verdict) -> String {
        match verdict {
            Verdict::Forward(decision) => {
                Line(decision, |index| self.router.address(index)).to_string()
            }
            Verdict::Pass(reason) => ["step=proxy reason=", reason.name()].concat(),
            Verdict::Reject(reason) => ["rejected=", reason.name()].concat(),
            Verdict::Shed(shed) => ["rejected=", shed.reason.name()].concat(),
            Verdict::Queue(_) => String::new(),
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

    /// How long to wait for the first token of a streamed answer before another host is tried beside the first, in milliseconds;
    /// `None`: for ever. A whole answer has no such sign of life on the way, so only streams have a limit.
    pub(crate) fn patience(&self, decision: &Decision) -> Option<String> {
        let least = self.config().first_token.get();
        let [first, ..] = &decision.terms;
        // As the score has it, which weighs the own prefill several times over.
        let predicted = first.wait.saturating_add(first.prefill);
        let patience = least.max(predicted.saturating_mul(2)) / 1000;
        (least > 0).then(|| {
            let mut text = String::with_capacity(8);
            names::push_decimal(&mut text, patience);
            text
        })
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
            self.metrics.count(Id::Rebooked, 1);
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
    ) -> Option<Bill> {
        let now = clock(host);
        if let Some(usage) = usage {
            let seen = Seen {
                tokens: 0,
                usage: Some(usage),
                done: true,
            };
            self.router.on_chunk(now, ticket, seen);
            let tokens = |tokens: u32| u64::from(tokens);
            self.metrics
                .count(Id::PromptTokens, tokens(usage.prompt_tokens));
            self.metrics
                .count(Id::CompletionTokens, tokens(usage.completion_tokens));
            self.metrics
                .count(Id::CachedTokens, tokens(usage.cached_tokens.unwrap_or(0)));
        }
        let bill = self.router.on_done(now, ticket, outcome);
        self.metrics.count(Id::Aborted, u64::from(outcome.aborted));
        let failed = outcome.failed || (outcome.status >= 500 && !outcome.aborted);
        self.metrics.count(Id::Failed, u64::from(failed));
        self.metrics.set(host, Id::E2eUs, now.since(started).get());
        // A worker that has been replaced, or whose host has no ticks, must not keep what it counted.
        if now.since(self.last_tick) > NO_TICKS {
            self.publish_metrics(host, now);
        }
        bill
    }
}
