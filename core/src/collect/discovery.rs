//! The host list as Envoy's admin gives it: `GET /clusters?format=json`.
//!
//! ```json
//! {"cluster_statuses": [{"name": "pool", "host_statuses": [{
//!    "address": {"socket_address": {"address": "10.0.0.1", "port_value": 8000}},
//!    "health_status": {"eds_health_status": "HEALTHY", "failed_active_health_check": true}, "weight": 1}]}]}
//! ```
//! The answer also carries dozens of counters a host, so it is read as a stream: nothing is kept but the hosts of one cluster.

use alloc::vec::Vec;
use core::net::IpAddr;

use crate::host::{Address, State};
use crate::json::{Event, Lexer, Part, whole};

/// A host of the list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) address: Address,
    pub(super) weight: u32,
    pub(super) state: State,
}

/// What the object being read has shown so far.
#[derive(Clone, Copy, Debug, Default)]
struct Draft {
    ip: Option<IpAddr>,
    port: Option<u16>,
    weight: Option<u32>,
    draining: bool,
    unhealthy: bool,
    failed_check: bool,
    check_pending: bool,
    outlier: bool,
    excluded: bool,
    leaving: bool,
}

impl Draft {
    fn finish(self) -> Option<Found> {
        // A weight of nothing is an operator's way to drain, and a host that Envoy will remove keeps what it has until then.
        let state = if self.draining || self.leaving || self.weight == Some(0) {
            State::Draining
        // Envoy fails a host until its first check has passed; our polls will tell sooner.
        } else if self.unhealthy
            || self.outlier
            || self.excluded
            || (self.failed_check && !self.check_pending)
        {
            State::Down
        } else {
            State::Ready
        };
        Some(Found {
            address: Address::new(self.ip?, self.port.filter(|port| *port != 0)?),
            weight: self.weight.unwrap_or(1).max(1),
            state,
        })
    }

    fn text(&mut self, key: &[u8], value: &[u8]) {
        match key {
            b"address" => {
                self.ip = core::str::from_utf8(value)
                    .ok()
                    .and_then(|text| text.parse().ok())
            }
            b"eds_health_status" => {
                self.draining = value == b"DRAINING";
                self.unhealthy = matches!(value, b"UNHEALTHY" | b"TIMEOUT");
            }
            _ => {}
        }
    }

    fn scalar(&mut self, key: &[u8], value: &[u8]) {
        let set = value == b"true";
        match key {
            b"port_value" => self.port = whole(value).and_then(|port| u16::try_from(port).ok()),
            b"weight" => self.weight = whole(value),
            b"failed_active_health_check" => self.failed_check = set,
            b"pending_active_hc" => self.check_pending = set,
            b"failed_outlier_check" => self.outlier = set,
            b"excluded_via_immediate_hc_fail" => self.excluded = set,
            b"pending_dynamic_removal" => self.leaving = set,
            _ => {}
        }
    }
}

/// Depths of the containers that matter.
const CLUSTER: u32 = 3;
const HOST: u32 = 5;

/// The hosts of `cluster`, or `None` when the answer does not name it or is not whole.
pub(super) fn read(body: &[u8], cluster: &str) -> Option<Vec<Found>> {
    let mut lexer = Lexer::new();
    let mut input = body;
    let mut hosts = Vec::new();
    let mut found = None;
    let mut draft = Draft::default();
    let mut wanted = false;
    let mut key: &[u8] = b"";
    // Keys on the way down to what is being read: of the top level, of the cluster.
    let (mut top, mut inner): (&[u8], &[u8]) = (b"", b"");
    while let Some(event) = lexer.event(&mut input) {
        let depth = lexer.depth();
        let in_hosts = top == b"cluster_statuses" && inner == b"host_statuses";
        match event {
            Event::Key(Part { bytes, .. }) => {
                key = bytes;
                match depth {
                    1 => top = bytes,
                    CLUSTER => inner = bytes,
                    _ => {}
                }
            }
            Event::Open if depth == CLUSTER => {
                wanted = false;
                inner = b"";
                hosts.clear();
            }
            Event::Open if depth == HOST && in_hosts => draft = Draft::default(),
            Event::Open => {}
            Event::Close if depth + 1 == HOST && in_hosts => hosts.extend(draft.finish()),
            Event::Close if depth + 1 == CLUSTER && wanted && found.is_none() => {
                found = Some(core::mem::take(&mut hosts))
            }
            Event::Close => {}
            Event::Str(Part { bytes, .. }) if depth == CLUSTER && key == b"name" => {
                wanted = bytes == cluster.as_bytes()
            }
            // Counters are objects of their own a level deeper in `stats`, and none of their keys is one of these.
            Event::Str(Part { bytes, .. }) if depth >= HOST && in_hosts => draft.text(key, bytes),
            Event::Scalar(Part { bytes, .. }) if depth >= HOST && in_hosts => {
                draft.scalar(key, bytes)
            }
            Event::Str(_) | Event::Scalar(_) => {}
        }
    }
    found.filter(|_| lexer.complete())
}
