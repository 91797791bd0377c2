//! The request's way through the filter, with Envoy's rules for pausing and buffering.

use super::thread::Thread;
use super::{Fleet, MAIN, Request, StreamId};
use crate::proxy::{HeaderMap, Stream};
use crate::vm::{Action, Callback};

/// Request data that arrived while a host keeps body callbacks back.
#[derive(Debug, Default)]
pub(super) struct Unseen {
    body: Vec<(Vec<u8>, bool)>,
    trailers: bool,
}

impl Fleet {
    fn choose_worker(&self, request: &Request) -> usize {
        let first = usize::from(self.profile().singleton);
        let workers = self.threads.len() - first;
        match request.worker {
            Some(worker) => worker - 1 + first,
            None => self.opened.len() % workers + first,
        }
    }

    /// Sends a whole request: headers, body in its chunks, end.
    pub fn send(&mut self, request: Request) -> StreamId {
        let id = self.open(&request);
        if request.body.is_empty() {
            return id;
        }
        let mut chunks = request.body.chunks(request.chunk).peekable();
        while let Some(chunk) = chunks.next() {
            let last = chunks.peek().is_none();
            self.send_body(id, chunk, last && !request.late_end && !request.trailers);
        }
        if request.trailers {
            self.send_trailers(id);
        } else if request.late_end {
            self.send_body(id, &[], true);
        }
        id
    }

    /// Opens a request: its headers arrive.
    pub fn open(&mut self, request: &Request) -> StreamId {
        let vm = self.choose_worker(request);
        self.open_under(vm, request, |thread| thread.filter)
    }

    /// Opens a request on the listener whose filter has the root context that `root` names.
    pub(super) fn open_under(
        &mut self,
        vm: usize,
        request: &Request,
        root: impl FnOnce(&Thread) -> Option<u32>,
    ) -> StreamId {
        debug_assert!(
            vm != MAIN || !self.profile().singleton,
            "workers start at 1"
        );
        let alive = self.revive(vm);
        let context = self.threads[vm].next_context;
        self.threads[vm].next_context += 1;
        let id = StreamId { vm, context };
        self.opened.push(id);
        let mut stream = Stream::default();
        stream.request.headers = request.headers.clone();
        stream.request.headers_visible = true;
        let root = root(&self.threads[vm]).unwrap_or(0);
        stream.root = root;
        let count = stream.request.headers.len();
        let end = request.body.is_empty();
        stream.request.ended = end;
        self.proxy
            .borrow_mut()
            .streams
            .insert((vm, context), stream);
        if !alive {
            self.fail(id);
            return id;
        }
        let created = Callback::ContextCreate {
            parent: root,
            root_id: String::new(),
        };
        let headers = Callback::RequestHeaders {
            count,
            end: end && self.profile().end_of_stream_in_headers,
        };
        let reply = self
            .run(vm, context, &created)
            .and_then(|_| self.run(vm, context, &headers));
        match reply.map(crate::vm::Reply::action) {
            None => self.fail(id),
            Some(_) if self.answered_locally(id) => {}
            Some(Action::Continue) => {
                self.with(id, |stream| stream.request.headers_visible = false);
                self.forward(id, end);
            }
            Some(Action::Pause) => {
                self.with(id, |stream| stream.request.paused = true);
                self.resume_streams();
            }
        }
        id
    }

    /// A chunk of the request's body arrives.
    pub fn send_body(&mut self, id: StreamId, chunk: &[u8], end: bool) {
        if !self.is_open(id) {
            return;
        }
        let profile = self.profile();
        let (paused, holding) = self.with(id, |stream| {
            stream.request.ended |= end;
            (stream.request.paused, stream.request.held.len())
        });
        if paused && !profile.body_while_headers_paused {
            let unseen = self.unseen.entry(id).or_default();
            unseen.body.push((chunk.to_vec(), end));
            return;
        }
        let size = self.with(id, |stream| {
            let half = &mut stream.request;
            half.held.extend_from_slice(chunk);
            half.body_visible = true;
            half.held_peak = half.held_peak.max(half.held.len());
            half.held.len()
        });
        // Bytes that join held ones count against the limit before the filter sees them.
        if holding > 0 && size > profile.body_buffer_limit {
            self.local_reply(id, 413, HeaderMap::default(), b"Payload Too Large");
            return;
        }
        let body = Callback::RequestBody { size, end };
        match self
            .run(id.vm, id.context, &body)
            .map(crate::vm::Reply::action)
        {
            None => self.fail(id),
            Some(_) if self.answered_locally(id) => {}
            Some(Action::Continue) => {
                self.with(id, |stream| stream.request.body_visible = false);
                self.forward(id, end);
            }
            Some(Action::Pause) => {
                if size > profile.body_buffer_limit {
                    self.local_reply(id, 413, HeaderMap::default(), b"Payload Too Large");
                }
                self.resume_streams();
            }
        }
    }

    /// The request ends with trailers.
    pub fn send_trailers(&mut self, id: StreamId) {
        if !self.is_open(id) {
            return;
        }
        let paused = self.with(id, |stream| {
            stream.request.ended = true;
            stream.request.paused
        });
        if paused && !self.profile().body_while_headers_paused {
            self.unseen.entry(id).or_default().trailers = true;
            return;
        }
        let trailers = Callback::RequestTrailers { count: 1 };
        match self
            .run(id.vm, id.context, &trailers)
            .map(crate::vm::Reply::action)
        {
            None => self.fail(id),
            Some(_) if self.answered_locally(id) => {}
            Some(Action::Continue) => self.forward(id, true),
            Some(Action::Pause) => self.resume_streams(),
        }
    }

    /// Lets a paused request go on, as `proxy_continue_stream` wants.
    pub(super) fn resume(&mut self, id: StreamId) {
        if !self.is_open(id) {
            return;
        }
        let ended = self.with(id, |stream| stream.request.ended);
        let unseen = self.unseen.remove(&id);
        self.forward(id, ended && unseen.is_none());
        let Some(unseen) = unseen else { return };
        for (chunk, end) in unseen.body {
            self.send_body(id, &chunk, end);
        }
        if unseen.trailers {
            self.send_trailers(id);
        }
    }

    /// Sends headers (once) and everything held to the upstream.
    fn forward(&mut self, id: StreamId, end: bool) {
        let first = self.with(id, |stream| {
            let half = &mut stream.request;
            half.paused = false;
            let first = half.sent_headers.is_none();
            if first {
                half.sent_headers = Some(half.headers.clone());
            }
            half.sent_body.append(&mut half.held);
            half.sent_end |= end;
            first
        });
        if first && !self.connect(id) {
            return;
        }
        if end {
            self.serve(id);
        }
    }

    /// The client goes away.
    pub fn abort(&mut self, id: StreamId) {
        if self.is_open(id) {
            self.with(id, |stream| {
                stream.flags |= crate::proxy::flags::DOWNSTREAM_REMOTE_DISCONNECT;
            });
            self.close(id);
        }
    }

    /// Whether a stream is still open.
    pub(super) fn is_open(&self, id: StreamId) -> bool {
        self.proxy
            .borrow()
            .streams
            .contains_key(&(id.vm, id.context))
    }

    /// Changes an open stream.
    ///
    /// # Panics
    /// When it is not open, which is a fault of the emulation.
    pub(super) fn with<T>(&self, id: StreamId, change: impl FnOnce(&mut Stream) -> T) -> T {
        match self
            .proxy
            .borrow_mut()
            .streams
            .get_mut(&(id.vm, id.context))
        {
            Some(stream) => change(stream),
            None => panic!("{id:?} is not open"),
        }
    }
}
