//! A row as the HTTP request body that a client would send.

use bytes::{BufMut, Bytes, BytesMut};

use super::{Row, put_text};
use crate::engine::TOKEN_BYTES;

/// A streamed chat completion: what a router wants to know first comes first; the first segment is the system prompt
/// when others follow.
#[must_use]
pub fn chat_body(model: &str, row: &Row) -> Bytes {
    let mut out = BytesMut::with_capacity(row.input_tokens() as usize * TOKEN_BYTES + 512);
    let model = serde_json::Value::from(model);
    let head = format!(
        "{{\"model\":{model},\"stream\":true,\"stream_options\":{{\"include_usage\":true}},\"max_tokens\":{},\
         \"ignore_eos\":true,\"messages\":[",
        row.output_tokens
    );
    out.put_slice(head.as_bytes());
    let split = usize::from(row.segments.len() > 1);
    let (system, user) = row.segments.split_at(split);
    for (role, segments, comma) in [("system", system, ","), ("user", user, "")] {
        if role == "system" && segments.is_empty() {
            continue;
        }
        out.put_slice(format!("{{\"role\":\"{role}\",\"content\":\"").as_bytes());
        for &segment in segments {
            put_text(&mut out, segment);
        }
        out.put_slice(b"\"}");
        out.put_slice(comma.as_bytes());
    }
    out.put_slice(b"]}");
    out.freeze()
}
