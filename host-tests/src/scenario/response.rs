//! The response's way through the filter, and the end of a stream.

use super::{Fleet, StreamId};
use crate::proxy::{Call, CallResponse, HeaderMap, flags};
use crate::vm::{Action, Callback, Reply};

impl Fleet {
    /// Sends the filter's own answer, when it made one.
    pub(super) fn answered_locally(&mut self, id: StreamId) -> bool {
        let Some(local) = self.with(id, |stream| stream.local.clone()) else {
            return false;
        };
        let status = u16::try_from(local.status).unwrap_or(500);
        self.local_reply(id, status, local.headers, &local.body);
        true
    }

    /// Answers in place of an upstream. As in Envoy the answer passes the filter's response callbacks.
    pub(super) fn local_reply(
        &mut self,
        id: StreamId,
        status: u16,
        headers: HeaderMap,
        body: &[u8],
    ) {
        let mut all = HeaderMap::new(&[(":status", status.to_string())]);
        for (name, value) in headers.iter() {
            all.add(name, value);
        }
        self.with(id, |stream| {
            stream.response.headers = all;
            stream.request.held.clear();
            stream.request.body_visible = false;
        });
        self.response_headers(id, body.is_empty());
        if !body.is_empty() {
            self.response_body(id, body, true);
        }
    }

    /// A stream whose VM is dead fails closed: 503, or a cut response.
    pub(super) fn fail(&mut self, id: StreamId) {
        self.with(id, |stream| {
            if stream.response.sent_headers.is_none() {
                stream.code = Some(503);
            }
        });
        self.release(id);
    }

    /// Response headers arrive.
    pub(super) fn response_headers(&mut self, id: StreamId, end: bool) {
        if !self.is_open(id) {
            return;
        }
        let count = self.with(id, |stream| {
            let half = &mut stream.response;
            half.headers_visible = true;
            stream.code = half.headers.text(":status").and_then(|s| s.parse().ok());
            half.headers.len()
        });
        let end_seen = end && self.profile().end_of_stream_in_headers;
        let headers = Callback::ResponseHeaders {
            count,
            end: end_seen,
        };
        let Some(reply) = self.run(id.vm, id.context, &headers) else {
            self.fail(id);
            return;
        };
        if reply.action() == Action::Pause {
            self.breach(id, "response headers paused");
        }
        self.with(id, |stream| {
            stream.response.sent_headers = Some(stream.response.headers.clone());
            stream.response.headers_visible = false;
        });
        if end {
            self.close(id);
        }
    }

    /// A piece of the response's body arrives.
    pub(super) fn response_body(&mut self, id: StreamId, bytes: &[u8], end: bool) {
        if !self.is_open(id) {
            return;
        }
        let size = self.with(id, |stream| {
            let half = &mut stream.response;
            half.held.extend_from_slice(bytes);
            half.body_visible = true;
            half.held.len()
        });
        let body = Callback::ResponseBody { size, end };
        let Some(reply) = self.run(id.vm, id.context, &body) else {
            self.fail(id);
            return;
        };
        if reply.action() == Action::Pause {
            self.breach(id, "response body paused");
        }
        self.with(id, |stream| {
            let half = &mut stream.response;
            half.body_visible = false;
            half.sent_body.append(&mut half.held);
            half.sent_end |= end;
        });
        if end {
            self.close(id);
        }
    }

    /// The upstream's connection breaks in the middle.
    pub(super) fn response_broken(&mut self, id: StreamId) {
        if self.is_open(id) {
            self.with(id, |stream| stream.flags |= flags::UPSTREAM_TERMINATION);
            self.close(id);
        }
    }

    /// Ends a stream: access log, done, delete.
    pub(super) fn close(&mut self, id: StreamId) {
        let logged = self.run(id.vm, id.context, &Callback::Log);
        if logged.is_some()
            && self
                .run(id.vm, id.context, &Callback::Done)
                .is_some_and(Reply::accepted)
        {
            self.run(id.vm, id.context, &Callback::Delete);
        }
        self.release(id);
    }

    /// Lets go of a stream without telling the filter.
    fn release(&mut self, id: StreamId) {
        self.agenda.forget_stream(id);
        self.stop_serving(id);
        self.unseen.remove(&id);
        let stream = self.proxy.borrow_mut().streams.remove(&(id.vm, id.context));
        if let Some(stream) = stream {
            self.over.insert(id, stream);
        }
        if self.lives(id.vm) {
            self.retire(id.vm);
        }
    }

    fn breach(&self, id: StreamId, what: &str) {
        self.proxy
            .borrow_mut()
            .breaches
            .push(format!("{id:?}: {what}"));
    }

    /// A call's answer arrives.
    pub(super) fn call_answered(&mut self, call: &Call, response: Option<CallResponse>) {
        let response = response.unwrap_or_else(|| self.answer_call(call));
        let answered = Callback::CallResponse {
            token: call.token,
            headers: response.headers.len(),
            body: response.body.len(),
        };
        self.proxy.borrow_mut().call_response = Some(response);
        self.run(call.vm, call.context, &answered);
        self.proxy.borrow_mut().call_response = None;
        self.resume_streams();
    }
}
