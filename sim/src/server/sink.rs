//! What an engine has to say to one client: bytes handed from the step loop to the connection.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use hyper::body::{Body, Frame};

use super::host::Host;

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// All of it was written.
    Complete,
    /// The connection is to be cut.
    Broken,
}

#[derive(Default)]
struct State {
    ready: BytesMut,
    /// What a stall fault holds back; `None` when nothing is held.
    held: Option<BytesMut>,
    end: Option<End>,
    waker: Option<Waker>,
}

/// A buffer between the step loop and one connection: everything written before the connection is polled leaves in
/// one frame, so that a late connection costs one system call and not one a token.
#[derive(Default)]
pub(super) struct Sink(Mutex<State>);

impl Sink {
    /// Lets `write` append bytes and wakes the connection.
    pub(super) fn write(&self, write: impl FnOnce(&mut BytesMut)) {
        let mut state = self.state();
        let state = &mut *state;
        match &mut state.held {
            Some(held) => write(held),
            None => {
                write(&mut state.ready);
                if let Some(waker) = state.waker.take() {
                    waker.wake();
                }
            }
        }
    }

    /// Ends the answer.
    pub(super) fn end(&self, end: End) {
        let mut state = self.state();
        state.end = Some(end);
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }

    /// Holds back what is written from here on.
    pub(super) fn hold(&self) {
        self.state().held.get_or_insert_default();
    }

    /// Lets go of what was held back.
    pub(super) fn let_go(&self) {
        let mut state = self.state();
        if let Some(held) = state.held.take() {
            state.ready.extend_from_slice(&held);
            if let Some(waker) = state.waker.take() {
                waker.wake();
            }
        }
    }

    fn poll(&self, context: &Context<'_>) -> Poll<Option<Result<Bytes, io::Error>>> {
        let mut state = self.state();
        if !state.ready.is_empty() {
            return Poll::Ready(Some(Ok(state.ready.split().freeze())));
        }
        match state.end {
            Some(End::Broken) => Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into()))),
            Some(End::Complete) if state.held.is_none() => Poll::Ready(None),
            _ => {
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The client's end of a job: dropping it before the answer is complete releases the sequence at once.
pub(super) struct Ticket {
    pub(super) host: Arc<Host>,
    pub(super) id: u64,
    pub(super) sink: Arc<Sink>,
}

impl Ticket {
    /// Waits for the whole answer.
    pub(super) async fn collect(&self) -> Result<Bytes, io::Error> {
        let mut whole = BytesMut::new();
        while let Some(part) = std::future::poll_fn(|context| self.sink.poll(context)).await {
            whole.extend_from_slice(&part?);
        }
        Ok(whole.freeze())
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.host.cancel(self.id);
    }
}

/// A response body: bytes at hand, or a stream of what an engine says.
pub(super) enum Answer {
    /// Bytes at hand.
    Whole(Option<Bytes>),
    /// A stream.
    Stream(Ticket),
}

impl Body for Answer {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Stream(ticket) => ticket.sink.poll(context).map_ok(Frame::data),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        match self {
            Self::Whole(bytes) => hyper::body::SizeHint::with_exact(
                bytes.as_ref().map_or(0, |bytes| bytes.len() as u64),
            ),
            Self::Stream(_) => hyper::body::SizeHint::default(),
        }
    }
}
