//! HTTP calls that the module makes.

use super::headers::HeaderMap;
use super::hostcall::Hostcall;
use super::status::{Answer, BAD_ARGUMENT};
use super::{Proxy, profile::Targets};

/// A call on its way.
#[derive(Clone, Debug)]
pub struct Call {
    /// VM that made it.
    pub vm: usize,
    /// Context that gets the answer.
    pub context: u32,
    /// Number given to the module.
    pub token: u32,
    /// Cluster, or address.
    pub target: String,
    /// Request headers.
    pub headers: HeaderMap,
    /// Request body.
    pub body: Vec<u8>,
    /// Milliseconds until it is given up.
    pub timeout_ms: u32,
    /// When it was made, nanoseconds of the virtual clock.
    pub at: u64,
}

/// The answer to a call. One without headers stands for a reset, which the module gets as (0, 0, 0).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallResponse {
    /// Headers, `:status` first.
    pub headers: HeaderMap,
    /// Body.
    pub body: Vec<u8>,
}

impl CallResponse {
    /// Answer with a status and a body.
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            headers: HeaderMap::new(&[(":status", status.to_string())]),
            body: body.into(),
        }
    }

    /// No answer: the connection was reset.
    pub fn reset() -> Self {
        Self::default()
    }
}

impl Proxy {
    /// `proxy_http_call`.
    pub fn http_call(
        &mut self,
        target: &str,
        headers: HeaderMap,
        body: &[u8],
        timeout_ms: u32,
    ) -> Answer<u32> {
        self.intercept(Hostcall::HttpCall)?;
        let known = match self.profile.targets {
            Targets::Cluster => self.clusters.contains(target),
            Targets::Address => target.parse::<std::net::SocketAddr>().is_ok(),
        };
        let complete = [":method", ":path", ":authority"]
            .iter()
            .all(|name| headers.get(name).is_some());
        if !known || !complete {
            return Err(BAD_ARGUMENT);
        }
        self.next_token += 1;
        self.calls.push(Call {
            vm: self.current.vm,
            context: self.current.context,
            token: self.next_token,
            target: target.to_owned(),
            headers,
            body: body.to_vec(),
            timeout_ms,
            at: self.clock,
        });
        Ok(self.next_token)
    }
}
