//! How a stream ended, read from what the proxy knows when it logs.

use plimsoll_core::router::Outcome;

use crate::{host::Host, property};

/// Envoy's response flags, as bits of the property `response.flags`.
mod flags {
    /// No healthy upstream.
    pub(super) const UH: u64 = 1 << 1;
    /// Upstream request timeout.
    pub(super) const UT: u64 = 1 << 2;
    /// Connection reset on this side.
    pub(super) const LR: u64 = 1 << 3;
    /// Connection reset by the upstream.
    pub(super) const UR: u64 = 1 << 4;
    /// Upstream connection failure.
    pub(super) const UF: u64 = 1 << 5;
    /// Upstream connection ended in the middle.
    pub(super) const UC: u64 = 1 << 6;
    /// Circuit breaker open.
    pub(super) const UO: u64 = 1 << 7;
    /// The client went away.
    pub(super) const DC: u64 = 1 << 14;
    /// Retries used up.
    pub(super) const URX: u64 = 1 << 15;
    /// Nothing was sent for too long.
    pub(super) const SI: u64 = 1 << 16;

    pub(super) const FAILED: u64 = UT | LR | UR | UF | UC | URX | SI;
    /// The proxy did not ask any host.
    pub(super) const UNASKED: u64 = UH | UO;
}

/// Reads the outcome of the current stream. `status` is what the response headers said, 0 if there were none; `whole`
/// says that the end of the response was seen, and then there is nothing to ask the proxy.
pub fn read<H: Host>(host: &H, status: u16, whole: bool) -> Outcome {
    if whole && status != 0 {
        return of(status, None, None);
    }
    let flags = property::integer(host, &["response", "flags"]);
    let code =
        property::integer(host, &["response", "code"]).and_then(|code| u16::try_from(code).ok());
    let mut outcome = of(status, code, flags);
    // Envoy sets no flag when an upstream breaks off after its response began; only the details tell.
    if !outcome.aborted && !outcome.failed {
        outcome.failed = host
            .property(&["response", "code_details"])
            .is_ok_and(|details| details.starts_with(BROKEN_OFF));
    }
    outcome
}

const BROKEN_OFF: &[u8] = b"upstream_reset_after_response_started";

/// `code` and `flags` are absent in hosts that do not have them.
fn of(status: u16, code: Option<u16>, flags: Option<u64>) -> Outcome {
    let flags = flags.unwrap_or(0);
    let status = code.filter(|code| *code != 0).unwrap_or(status);
    let asked = flags & flags::UNASKED == 0;
    let failed = asked && (status >= 500 || flags & flags::FAILED != 0);
    // No response and no failure of ours: the client left before one came.
    let aborted = flags & flags::DC != 0 || (status == 0 && !failed && asked);
    Outcome {
        status,
        aborted,
        failed: failed && !aborted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(status: u16, code: Option<u16>, flags: u64) -> (u16, bool, bool) {
        let outcome = of(status, code, Some(flags));
        (outcome.status, outcome.aborted, outcome.failed)
    }

    #[test]
    fn ends_are_told_apart() {
        assert_eq!(end(200, Some(200), 0), (200, false, false));
        assert_eq!(end(0, None, flags::DC), (0, true, false));
        assert_eq!(end(0, None, 0), (0, true, false));
        assert_eq!(end(200, Some(200), flags::DC), (200, true, false));
        assert_eq!(end(200, Some(200), flags::UC), (200, false, true));
        assert_eq!(
            end(503, Some(503), flags::UF | flags::URX),
            (503, false, true)
        );
        // The proxy's own limit says nothing of the host.
        assert_eq!(end(503, Some(503), flags::UO), (503, false, false));
        assert_eq!(end(429, Some(429), 0), (429, false, false));
        assert_eq!(end(504, Some(504), flags::UT), (504, false, true));
    }

    #[test]
    fn a_host_without_properties_leaves_the_response_status() {
        let outcome = of(500, None, None);
        assert_eq!(
            (outcome.status, outcome.failed, outcome.aborted),
            (500, true, false)
        );
    }
}
