//! What comes back: who answers, with what, and the end.

use alloc::{boxed::Box, string::String};

use plimsoll_core::{
    observe::{Body, Observer, Seen},
    router::{Bill, Outcome},
};

use super::Stream;
use crate::{
    headers::{Pairs, decimal},
    host::{Action, Buffer, Host, Map},
    names, outcome, property, sharing,
};

impl<H: Host> Stream<H> {
    /// The response's headers have come.
    pub fn on_response_headers(&mut self, end: bool) -> Action {
        self.whole = end;
        if let Some(decision) = &self.explanation {
            let _ =
                self.host
                    .set_header(Map::ResponseHeaders, names::DECISION, decision.as_bytes());
        }
        let (Some(ticket), Some(worker)) = (self.ticket, self.worker.clone()) else {
            return Action::Continue;
        };
        let Ok(mut worker) = worker.try_borrow_mut() else {
            return Action::Continue;
        };
        let mut body = Body::Opaque;
        let mut private = false;
        if let Ok(map) = self.host.header_map(Map::ResponseHeaders) {
            let mut encoded = false;
            for (name, value) in Pairs::new(&map) {
                match name {
                    b":status" => {
                        self.status = decimal(value)
                            .and_then(|status| u16::try_from(status).ok())
                            .unwrap_or(0);
                    }
                    b"content-type" => body = Body::from_content_type(value),
                    b"content-encoding" => encoded = value != b"identity",
                    b"cache-control" => private = sharing::forbids(value),
                    _ => {}
                }
            }
            // What an error says is no output, and teaches nothing.
            if encoded || self.status >= 400 {
                body = Body::Opaque;
            }
        }
        if let Some(address) = property::upstream_address(&*self.host) {
            worker.served(&*self.host, ticket, address);
        }
        if private || self.status != 200 || body == Body::Opaque {
            self.end_sharing(&mut worker);
        }
        if body != Body::Opaque {
            self.observer = Some(Box::new(Observer::new(body)));
        }
        Action::Continue
    }

    /// A piece of the response's body has come. It always passes on at once.
    pub fn on_response_body(&mut self, size: usize, end: bool) -> Action {
        self.whole |= end;
        let (Some(ticket), Some(observer), true) = (self.ticket, self.observer.as_mut(), size > 0)
        else {
            return Action::Continue;
        };
        let chunk = self.host.buffer(Buffer::ResponseBody, 0, size);
        let chunk = chunk.unwrap_or_default();
        let seen = observer.feed(&chunk);
        // Some engines report usage with every event; only the last report is the whole.
        self.usage = seen.usage.or(self.usage);
        self.whole |= seen.done;
        if (seen.tokens > 0 || self.flight.is_some())
            && let Some(Ok(mut worker)) = self.worker.as_ref().map(|worker| worker.try_borrow_mut())
        {
            if let Some(flight) = self.flight {
                let whole = chunk.len() == size;
                if !whole || !worker.share_piece(flight, observer.body(), &chunk, seen.done) {
                    worker.end_sharing(&*self.host, flight);
                    self.flight = None;
                }
            }
            if seen.tokens > 0 {
                worker.chunk(
                    &*self.host,
                    ticket,
                    Seen {
                        usage: None,
                        ..seen
                    },
                );
            }
        }
        Action::Continue
    }

    /// The stream has ended, in whatever way.
    pub fn on_log(&mut self) {
        self.leave();
        if self.ticket.is_some() {
            let outcome = outcome::read(&*self.host, self.status, self.whole);
            self.finish(outcome);
        }
    }

    /// Releases what the request holds, once.
    fn finish(&mut self, outcome: Outcome) {
        let Some(worker) = &self.worker else { return };
        let Ok(mut worker) = worker.try_borrow_mut() else {
            return;
        };
        if let Some(ticket) = self.ticket.take() {
            let bill = worker.done(&*self.host, self.started, ticket, self.usage, outcome);
            if let (Some(bill), true) = (bill, worker.writes_access_log()) {
                let words = usage(&bill);
                let _ = self
                    .host
                    .set_property(&[names::USAGE_PROPERTY], words.as_bytes());
            }
        }
    }
}

/// A bill in words, for the access log.
fn usage(bill: &Bill) -> String {
    let mut words = String::new();
    for (name, value) in [
        ("prompt=", bill.prompt_tokens),
        (" cached=", bill.cached_tokens),
        (" output=", bill.output_tokens),
        (" gpu_us=", bill.gpu.get()),
    ] {
        words.push_str(name);
        names::push_decimal(&mut words, value);
    }
    words.push_str(if bill.told {
        " tokens=told"
    } else {
        " tokens=estimated"
    });
    words
}

impl<H: Host> Drop for Stream<H> {
    /// A host that drops a stream without logging it must not leave its work counted for ever.
    fn drop(&mut self) {
        self.leave();
        if self.ticket.is_some() {
            self.finish(Outcome {
                status: self.status,
                aborted: true,
                failed: false,
            });
        }
    }
}
