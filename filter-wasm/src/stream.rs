//! One HTTP stream: phases in, decisions out.

mod response;
mod sharing;
mod waiting;

use alloc::{boxed::Box, rc::Rc, string::String};
use plimsoll_core::{
    observe::{Observer, Usage},
    request::{Facts, Request, Scanner, key},
    reuse::Flight,
    router::{Caller, Ticket, Verdict},
    time::{Instant, Micros},
};

use crate::{
    clock,
    head::Head,
    host::{Action, Buffer, Host, Map},
    identity, names,
    registry::SharedWorker,
    reply,
    worker::Worker,
};
use sharing::{Follow, Shared};
use waiting::Wait;

/// How far the request has come.
enum Progress {
    /// Its headers have not come yet.
    Start,
    /// Its body is read until enough is known.
    Reading { scanner: Box<Scanner>, seen: usize },
    /// It waits for its turn; whatever comes is held back.
    Waiting(Box<Wait>),
    /// It waits for the answer to an identical one; whatever comes is held back.
    Following(Box<Follow>),
    /// The host is named, or the request is left to the proxy: everything else only passes through.
    Decided,
}

impl Progress {
    /// Whether more of the request changes nothing.
    const fn holds_back(&self) -> bool {
        matches!(self, Self::Waiting(_) | Self::Following(_))
    }
}

/// One HTTP stream.
pub struct Stream<H: Host> {
    host: Rc<H>,
    worker: Option<SharedWorker>,
    progress: Progress,
    context: u32,
    head: Head,
    caller: Option<Caller>,
    /// Time in the queue.
    waited: Micros,
    started: Instant,
    ticket: Option<Ticket>,
    /// Its answer is shared with others.
    flight: Option<Flight>,
    explanation: Option<String>,
    observer: Option<Box<Observer>>,
    usage: Option<Usage>,
    status: u16,
    /// The end of the response's content was seen.
    whole: bool,
}

impl<H: Host> Stream<H> {
    /// A stream of a root that has no configuration: hostile headers are removed, nothing else is done.
    pub fn unrouted(host: H) -> Self {
        Self::new(Rc::new(host), None, 0)
    }

    pub(crate) fn new(host: Rc<H>, worker: Option<SharedWorker>, context: u32) -> Self {
        Self {
            host,
            worker,
            progress: Progress::Start,
            context,
            head: Head::default(),
            caller: None,
            waited: Micros::ZERO,
            started: Instant::ZERO,
            ticket: None,
            flight: None,
            explanation: None,
            observer: None,
            usage: None,
            status: 0,
            whole: false,
        }
    }

    /// The request's headers have come.
    pub fn on_request_headers(&mut self, end: bool) -> Action {
        #[cfg(feature = "test-hooks")]
        crate::hooks::on_request_headers(&*self.host);
        let map = self.host.header_map(Map::RequestHeaders);
        self.head = match &map {
            Ok(map) => Head::read(map, end),
            Err(_) => Head::unreadable(end),
        };
        for name in self.head.hostile_names() {
            let _ = self.host.remove_header(Map::RequestHeaders, name);
        }
        let Some(worker) = self.worker.clone() else {
            self.progress = Progress::Decided;
            return Action::Continue;
        };
        let Ok(mut worker) = worker.try_borrow_mut() else {
            self.progress = Progress::Decided;
            return Action::Continue;
        };
        self.started = clock(&*self.host);
        worker.count_request();
        if worker.identifies() {
            worker.check_resuming(&*self.host);
            let map = map.unwrap_or_default();
            match identity::caller(&*self.host, &worker, &map, self.context) {
                Ok(caller) => self.caller = Some(caller),
                Err(shed) => {
                    self.progress = Progress::Decided;
                    return self.shed(&mut worker, shed);
                }
            }
        } else {
            // Freed before the scanner is made, which then takes its place.
            drop(map);
        }
        if worker.shares() {
            worker.check_resuming(&*self.host);
        }
        if self.head.has_body && worker.reads_body(self.head.kind) {
            let scanner = worker.scanner(self.head.kind);
            self.progress = Progress::Reading { scanner, seen: 0 };
            return Action::Pause;
        }
        self.decide(
            &mut worker,
            &Facts::default(),
            self.head.content_length.unwrap_or(0),
            !self.head.has_body,
        )
    }

    /// More of the request's body has come; `size` bytes are held back in all.
    pub fn on_request_body(&mut self, size: usize, end: bool) -> Action {
        let progress = core::mem::replace(&mut self.progress, Progress::Decided);
        if progress.holds_back() {
            self.progress = progress;
            return Action::Pause;
        }
        let (
            Progress::Reading {
                mut scanner,
                mut seen,
            },
            Some(worker),
        ) = (progress, self.worker.clone())
        else {
            return Action::Continue;
        };
        let Ok(mut worker) = worker.try_borrow_mut() else {
            return Action::Continue;
        };
        let whole = self.read_body(&worker, &mut scanner, &mut seen, size, end);
        let Some(whole) = whole else {
            self.progress = Progress::Reading { scanner, seen };
            return Action::Pause;
        };
        if whole && seen == size && worker.shares() && scanner.facts().repeatable {
            if !end && seen <= worker.decide_after_bytes() {
                // More may follow what looks like the end.
                self.progress = Progress::Reading { scanner, seen };
                return Action::Pause;
            }
            scanner = match self.share(&mut worker, scanner, size) {
                Shared::Taken(action) => return action,
                Shared::Own(scanner) => scanner,
            };
        }
        let total = self.head.content_length.unwrap_or(0).max(size as u64);
        let rest = if whole {
            0
        } else {
            total.saturating_sub(seen as u64)
        };
        let action = self.decide(&mut worker, &scanner.facts(), rest, whole);
        self.put_away(&mut worker, scanner);
        action
    }

    /// Feeds new bytes to the scanner until enough is known. `None`: wait for more. Otherwise whether the whole body was read.
    fn read_body(
        &self,
        worker: &Worker,
        scanner: &mut Scanner,
        seen: &mut usize,
        size: usize,
        end: bool,
    ) -> Option<bool> {
        let step = worker.decide_after_bytes();
        loop {
            // A host may hand over a megabyte at once; what lies behind the decision point is not even copied.
            let stop = size.min(seen.saturating_add(step.saturating_sub(*seen % step)));
            if *seen < stop {
                let Ok(chunk) = self.host.buffer(Buffer::RequestBody, *seen, stop - *seen) else {
                    return Some(false);
                };
                if chunk.is_empty() {
                    return Some(false);
                }
                scanner.feed(&chunk);
                *seen = seen.saturating_add(chunk.len());
            }
            let facts = scanner.facts();
            let known = facts.model.is_some() || !worker.needs_model();
            if facts.complete || facts.malformed {
                return Some(facts.complete);
            }
            if *seen >= step && (known || *seen >= worker.buffer_limit_bytes()) {
                return Some(false);
            }
            if *seen >= size {
                return end.then_some(true);
            }
        }
    }

    /// The request ends with trailers: whatever is known of the body must do.
    pub fn on_request_trailers(&mut self) -> Action {
        let progress = core::mem::replace(&mut self.progress, Progress::Decided);
        if progress.holds_back() {
            self.progress = progress;
            return Action::Pause;
        }
        let (Progress::Reading { scanner, .. }, Some(worker)) = (progress, self.worker.clone())
        else {
            return Action::Continue;
        };
        match worker.try_borrow_mut() {
            Ok(mut worker) => {
                let action = self.decide(&mut worker, &scanner.facts(), 0, true);
                self.put_away(&mut worker, scanner);
                action
            }
            Err(_) => Action::Continue,
        }
    }

    /// The request as the core sees it. `rest` is the part of the body that was not read.
    fn request<'a>(
        &self,
        worker: &Worker,
        facts: &Facts<'a>,
        rest: u64,
        whole: bool,
    ) -> Request<'a> {
        Request {
            kind: self.head.kind,
            model: facts.model.map_or(0, key),
            salt: facts.salt,
            tenant: self
                .caller
                .map_or(self.head.tenant, |caller| caller.member.tenant),
            session: self.head.session,
            prompt_bytes: facts.prompt_bytes.saturating_add(rest),
            blocks: facts.blocks,
            blocks_complete: whole,
            max_tokens: facts.max_tokens,
            stream: facts.stream.unwrap_or(false),
            seed: worker.seed_of(self.head.id),
        }
    }

    /// Names the host, lets the request wait, or refuses it.
    fn decide(&mut self, worker: &mut Worker, facts: &Facts<'_>, rest: u64, whole: bool) -> Action {
        self.progress = Progress::Decided;
        let request = self.request(worker, facts, rest, whole);
        let verdict = worker.decide(&*self.host, &request, self.caller.as_ref());
        if let Verdict::Queue(waiting) = verdict {
            self.progress = Progress::Waiting(Box::new(Wait {
                waiting,
                scanner: None,
                rest,
                whole,
                since: clock(&*self.host),
            }));
            return Action::Pause;
        }
        self.act(worker, verdict, request.stream)
    }

    /// Does what was decided; `streamed` says that the answer is to be a stream.
    fn act(&mut self, worker: &mut Worker, verdict: Verdict, streamed: bool) -> Action {
        if worker.explains(self.head.explain) {
            self.explain(worker, worker.words(&verdict));
        }
        if !matches!(verdict, Verdict::Forward(_)) {
            self.end_sharing(worker);
        }
        match verdict {
            Verdict::Forward(decision) => {
                self.ticket = Some(decision.ticket);
                let list = worker.list(&decision);
                let _ = self
                    .host
                    .set_header(Map::RequestHeaders, names::PICK, list.as_bytes());
                if streamed && let Some(patience) = worker.patience(&decision) {
                    let _ = self.host.set_header(
                        Map::RequestHeaders,
                        names::PER_TRY,
                        patience.as_bytes(),
                    );
                }
                Action::Continue
            }
            Verdict::Pass(_) => Action::Continue,
            Verdict::Reject(reason) => reply::reject(&*self.host, reason),
            Verdict::Shed(shed) => reply::shed(&*self.host, shed),
            // Only a request that arrives is told to wait.
            Verdict::Queue(_) => Action::Pause,
        }
    }

    /// What became of the request, in words for the client and the access log.
    fn explain(&mut self, worker: &Worker, words: String) {
        let text = worker.explain(words, self.caller.as_ref(), self.waited);
        if worker.writes_access_log() {
            let _ = self
                .host
                .set_property(&[names::DECISION_PROPERTY], text.as_bytes());
        }
        self.explanation = (self.head.explain && worker.answers_explain()).then_some(text);
    }
}
