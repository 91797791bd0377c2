//! Traps on request, for the chaos suite. Not in the shipped module: see the build feature `test-hooks`.

use alloc::vec::Vec;

use crate::host::{Buffer, Host, Map};

/// What a metrics page says to trap the collector.
const METRICS_LINE: &[u8] = b"plimsoll_test_trap 1";
/// What a request bears to trap the worker that it reaches.
const HEADER: &[u8] = b"x-plimsoll-test-trap";

/// Traps when the answer to a call asks for it.
pub(crate) fn on_call_response<H: Host>(host: &H, body_size: usize) {
    let body = host.buffer(Buffer::CallResponseBody, 0, body_size);
    let asks = |body: Vec<u8>| {
        body.windows(METRICS_LINE.len())
            .any(|part| part == METRICS_LINE)
    };
    if body.is_ok_and(asks) {
        core::arch::wasm32::unreachable();
    }
}

/// Traps when the request asks for it.
pub(crate) fn on_request_headers<H: Host>(host: &H) {
    let map = host.header_map(Map::RequestHeaders);
    let asks = |map: Vec<u8>| crate::headers::Pairs::new(&map).any(|(name, _)| name == HEADER);
    if map.is_ok_and(asks) {
        core::arch::wasm32::unreachable();
    }
}
