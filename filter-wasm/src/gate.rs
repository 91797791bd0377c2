//! The gate role: an upstream filter, one context for each try of a request.
//!
//! Engines send the head of a streamed answer at once and the first token when its prefill is done. A proxy that passes the head on can no
//! longer send the request to another host, so every request that waits in the queue of an engine that dies would be lost. The gate
//! holds the head back until there is something behind it, which leaves the proxy free to try the next host until the first token.

use plimsoll_core::observe::Body;

use crate::{
    headers::Pairs,
    host::{Action, Host, Map},
};

/// The response's headers have come. Only those of an event stream wait: any other answer has its body ready, or is not ours to
/// understand.
pub fn on_response_headers<H: Host>(host: &H, end: bool) -> Action {
    let waits = !end
        && host.header_map(Map::ResponseHeaders).is_ok_and(|map| {
            Pairs::new(&map).any(|(name, value)| {
                name == b"content-type" && Body::from_content_type(value) == Body::Sse
            })
        });
    if waits {
        Action::Pause
    } else {
        Action::Continue
    }
}
