//! Decision records on their way out.

use plimsoll_core::{
    config::Recording,
    record,
    request::Request,
    router::{Router, Verdict},
    time::Instant,
};

use crate::{
    host::{Host, Level},
    names,
};

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
    ) -> Verdict {
        self.record.clear();
        match request.seed.checked_rem(router.config().record.every) {
            Some(0) => router.on_request_recorded(now, request, &mut self.record),
            _ => router.on_request(now, request),
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
