//! Answers in place of an upstream, in the error form of the OpenAI API.

use plimsoll_core::router::Reason;

use crate::host::{Action, Host};

/// Answers a request that no host may have.
pub(crate) fn reject<H: Host>(host: &H, reason: Reason) -> Action {
    let (status, message) = match reason {
        Reason::Full(_) => (429, "every host has as many requests as it may have"),
        _ => (503, "no host that may serve this request takes requests"),
    };
    error(host, status, reason.name(), message)
}

/// Answers with `status` and a JSON error of `code`.
///
/// Refusing fails closed: when the host cannot answer, the request is still not passed on.
pub(crate) fn error<H: Host>(host: &H, status: u16, code: &str, message: &str) -> Action {
    let body = [
        "{\"error\":{\"message\":\"",
        message,
        "\",\"type\":\"plimsoll\",\"code\":\"",
        code,
        "\"}}\n",
    ]
    .concat();
    let headers = [
        ("content-type", "application/json"),
        ("x-plimsoll-reason", code),
    ];
    let _ = host.respond(u32::from(status), &headers, body.as_bytes());
    Action::Pause
}
