//! Answers in place of an upstream: errors in the form of the OpenAI API, and answers that another request got.

use alloc::{string::String, vec};
use plimsoll_core::{
    admit::{Shed, ShedReason},
    observe::Body,
    reuse::Answer,
    router::Reason,
};

use crate::{
    host::{Action, Host, Status},
    names::{self, push_decimal},
};

/// Answers a request that no host may have.
pub(crate) fn reject<H: Host>(host: &H, reason: Reason) -> Action {
    let (status, message) = match reason {
        Reason::Full(_) => (429, "every host has as many requests as it may have"),
        _ => (503, "no host that may serve this request takes requests"),
    };
    error(host, status, reason.name(), message, 0)
}

/// Answers a request that is not served.
pub(crate) fn shed<H: Host>(host: &H, shed: Shed) -> Action {
    let message = match shed.reason {
        ShedReason::Denied(_) => "the request has no valid identity",
        ShedReason::TenantRemoved => "the tenant is not configured any more",
        ShedReason::QueueTimeout => "the request waited as long as its tier allows",
        ShedReason::RequestsPerMinute
        | ShedReason::TokensPerMinute
        | ShedReason::Concurrent
        | ShedReason::GpuSecondsPerDay => "a limit of the tenant is reached",
        _ => "the fleet is busy",
    };
    error(
        host,
        shed.reason.status(),
        shed.reason.name(),
        message,
        shed.retry_after,
    )
}

/// Answers with `status` and a JSON error of `code`; `retry_after` is in seconds, 0 for none.
///
/// Refusing fails closed: when the host cannot answer, the request is still not passed on.
pub(crate) fn error<H: Host>(
    host: &H,
    status: u16,
    code: &str,
    message: &str,
    retry_after: u32,
) -> Action {
    let kind = match status {
        401 => "authentication_error",
        403 => "permission_error",
        429 => "rate_limit_error",
        _ => "server_error",
    };
    let body = [
        "{\"error\":{\"message\":\"",
        message,
        "\",\"type\":\"",
        kind,
        "\",\"param\":null,\"code\":\"",
        code,
        "\"}}\n",
    ]
    .concat();
    let mut seconds = String::new();
    push_decimal(&mut seconds, u64::from(retry_after));
    let mut headers = vec![
        ("content-type", "application/json"),
        ("x-plimsoll-reason", code),
    ];
    if retry_after > 0 {
        headers.push(("retry-after", &seconds));
    }
    if status == 401 {
        headers.push(("www-authenticate", "Bearer"));
    }
    let _ = host.respond(u32::from(status), &headers, body.as_bytes());
    Action::Pause
}

/// Answers with another request's answer; `how` says which.
pub(crate) fn reuse<H: Host>(host: &H, how: &str, answer: &Answer<'_>) -> Result<(), Status> {
    let mut age = String::new();
    push_decimal(&mut age, answer.age.get() / 1_000_000);
    let kind = match answer.body {
        Body::Sse => "text/event-stream; charset=utf-8",
        _ => "application/json",
    };
    let headers = [("content-type", kind), (names::REUSED, how), ("age", &age)];
    host.respond(200, &headers, answer.content)
}
