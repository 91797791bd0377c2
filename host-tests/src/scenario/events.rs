//! What is due when, in virtual time.

use std::collections::BTreeMap;

use super::StreamId;
use crate::proxy::{Call, CallResponse};

/// Something that happens to the proxy from outside.
#[derive(Clone, Debug)]
pub enum Event {
    /// A call's answer arrives; computed on arrival when absent.
    CallAnswered {
        /// The call.
        call: Call,
        /// Answer, when it is fixed already.
        response: Option<CallResponse>,
    },
    /// Response headers arrive.
    ResponseHeaders(StreamId),
    /// A piece of a response's body arrives.
    ResponseBody(StreamId, Vec<u8>),
    /// The response ends.
    ResponseEnd(StreamId),
    /// The upstream's connection breaks.
    ResponseBroken(StreamId),
}

/// Events in order of time, then of planning.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    due: BTreeMap<(u64, u64), Event>,
    planned: u64,
}

impl Agenda {
    /// Plans an event.
    pub(super) fn plan(&mut self, at: u64, event: Event) {
        self.planned += 1;
        self.due.insert((at, self.planned), event);
    }

    /// Time of the first event.
    pub(super) fn first(&self) -> Option<u64> {
        self.due.keys().next().map(|(at, _)| *at)
    }

    /// Takes the first event.
    pub(super) fn take(&mut self) -> Option<Event> {
        self.due.pop_first().map(|(_, event)| event)
    }

    /// Drops the calls of a VM: a dead VM hears nothing any more.
    pub(super) fn forget_calls(&mut self, vm: usize) {
        self.due
            .retain(|_, event| !matches!(event, Event::CallAnswered { call, .. } if call.vm == vm));
    }

    /// Drops what is planned for a stream.
    pub(super) fn forget_stream(&mut self, id: StreamId) {
        self.due.retain(|_, event| match event {
            Event::ResponseHeaders(of)
            | Event::ResponseBody(of, _)
            | Event::ResponseEnd(of)
            | Event::ResponseBroken(of) => *of != id,
            Event::CallAnswered { .. } => true,
        });
    }
}
