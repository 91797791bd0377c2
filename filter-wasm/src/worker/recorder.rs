//! Decision records on their way out.

use alloc::{string::String, vec::Vec};
use plimsoll_core::{
    admit::Waiting,
    config::Recording,
    record,
    request::Request,
    router::{Caller, Router, Verdict},
    time::Instant,
};

use crate::{
    host::{Host, Level},
    names,
};

/// How far a request has come that is decided about.
#[derive(Clone, Copy)]
pub(super) enum Stage<'a> {
    /// It has to be decided, whose ever it is.
    Request,
    /// It arrives.
    Arrival(&'a Caller),
    /// It has waited.
    Release(Waiting),
}

/// Working memory of records; nothing of it is used as long as none is made.
#[derive(Default)]
pub(super) struct Recorder {
    /// The record of the last decision; empty when that was not recorded.
    record: Vec<u8>,
    line: String,
}

impl Recorder {
    /// Decides, on record if it is this request's turn. The seed is a hash of the request, so its remainders are a sample.
    pub(super) fn decide(
        &mut self,
        router: &mut Router,
        now: Instant,
        request: &Request<'_>,
        stage: Stage<'_>,
    ) -> Verdict {
        self.record.clear();
        let turn = request.seed.checked_rem(router.config().record.every) == Some(0);
        let record = turn.then_some(&mut self.record);
        match (stage, record) {
            (Stage::Arrival(caller), record) => router.on_arrival(now, request, caller, record),
            (Stage::Release(waiting), record) => router.on_release(now, waiting, request, record),
            (Stage::Request, Some(record)) => router.on_request_recorded(now, request, record),
            (Stage::Request, None) => router.on_request(now, request),
        }
    }

    /// Writes the record of the last decision to where it is wanted.
    pub(super) fn write<H: Host>(&mut self, host: &H, to: &Recording) {
        if self.record.is_empty() {
            return;
        }
        self.line.clear();
        self.line.push_str(record::LINE);
        record::encode(&self.record, &mut self.line);
        if to.log {
            host.log(Level::Info, &self.line);
        }
        if to.filter_state
            && let Some(text) = self.line.strip_prefix(record::LINE)
        {
            let _ = host.set_property(&[names::RECORD_PROPERTY], text.as_bytes());
        }
    }
}
