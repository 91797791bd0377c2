//! What became of a request, in a form that two runs can compare.

use super::{Fleet, StreamId};
use crate::proxy::Stream;

/// Ranked list that the filter writes for the `override_host` cluster.
pub(super) const PICK: &str = "x-gateway-destination-endpoint";

/// The decision on one request, and its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Ranked hosts as they left for the cluster; absent when the filter named none or the request never left.
    pub ranked: Option<String>,
    /// `step=…` of the decision, or `reason=…` of a refusal.
    pub step: Option<String>,
    /// Status that the client got.
    pub status: Option<u16>,
    /// Host that answered.
    pub served: Option<String>,
    /// Whether the request went to an upstream.
    pub left: bool,
    /// Largest part of the request's body that was held back, bytes.
    pub held_peak: usize,
}

impl Record {
    fn of(stream: &Stream) -> Self {
        let sent = stream.request.sent_headers.as_ref();
        Self {
            ranked: sent.and_then(|headers| headers.text(PICK)),
            step: stream
                .counted
                .first()
                .and_then(|name| name.split_once('.'))
                .map(|(_, tag)| tag.to_owned()),
            status: stream.code,
            served: stream.upstream.clone(),
            left: sent.is_some(),
            held_peak: stream.request.held_peak,
        }
    }

    /// First host of the ranked list.
    pub fn first(&self) -> Option<&str> {
        self.ranked.as_deref()?.split(',').next()
    }
}

impl Fleet {
    /// A stream, open or over.
    ///
    /// # Panics
    /// When it was never opened.
    pub fn stream(&self, id: StreamId) -> Stream {
        if let Some(stream) = self.over.get(&id) {
            return stream.clone();
        }
        match self.proxy.borrow().streams.get(&(id.vm, id.context)) {
            Some(stream) => stream.clone(),
            None => panic!("no stream {id:?}"),
        }
    }

    /// What became of a request.
    pub fn record(&self, id: StreamId) -> Record {
        Record::of(&self.stream(id))
    }

    /// Streams in the order in which they were opened.
    pub fn opened(&self) -> &[StreamId] {
        &self.opened
    }

    /// All requests in the order in which they came.
    pub fn records(&self) -> Vec<Record> {
        self.opened.iter().map(|id| self.record(*id)).collect()
    }

    /// Whether a stream is over.
    pub fn is_over(&self, id: StreamId) -> bool {
        self.over.contains_key(&id)
    }
}
