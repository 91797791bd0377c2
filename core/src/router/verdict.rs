//! What the router answers, and what it is told of an end.

use crate::admit::{Shed, Waiting};
use crate::eligible::RuledOut;
use crate::explain::Decision;

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
// A decision lives on the stack for the length of one call; boxing it would allocate on every request.
#[allow(clippy::large_enum_variant)]
pub enum Verdict {
    /// It goes to the ranked hosts.
    Forward(Decision),
    /// Name no host: the proxy's own policy chooses.
    Pass(PassReason),
    /// No host may have it.
    Reject(Reason),
    /// It waits: [`super::Router::next_release`] names it when it need not any longer.
    Queue(Waiting),
    /// It is not served.
    Shed(Shed),
}

/// Why no host is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PassReason {
    /// No host is known.
    NoHosts,
    /// Every host is draining.
    NoneEligible,
}

impl PassReason {
    /// The name used in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoHosts => "no_hosts",
            Self::NoneEligible => "none_eligible",
        }
    }
}

/// Why a request is refused: a hard constraint that no host meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The hosts that serve its model take no requests.
    NoHostForModel(RuledOut),
    /// Every host that could serve it, or the pool, has as many requests in flight as the limits allow.
    Full(RuledOut),
}

impl Reason {
    /// The name used in metrics and in the response.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoHostForModel(_) => "no_host_for_model",
            Self::Full(_) => "full",
        }
    }
}

/// How a request ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Status of the response; 0 when there was none.
    pub status: u16,
    /// The client left.
    pub aborted: bool,
    /// The host could not be reached, or broke off.
    pub failed: bool,
}
