//! What the request headers say, read in one pass over the header map.

use plimsoll_core::request::{Kind, key};

use crate::{
    headers::{Pairs, decimal},
    names,
};

/// Facts of the request headers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Endpoint class by path.
    pub kind: Kind,
    /// Whether a body follows, as far as the headers tell.
    pub has_body: bool,
    /// Size of the body, when the client says it.
    pub content_length: Option<u64>,
    /// Hash of the credentials; 0 unknown.
    pub tenant: u64,
    /// Hash of `x-session-id`; 0 unknown.
    pub session: u64,
    /// Hash of `x-request-id`; 0 unknown.
    pub id: u64,
    /// The client asks for the decision.
    pub explain: bool,
    /// Bit `i`: [`names::HOSTILE`]`[i]` is present.
    pub hostile: u8,
}

impl Head {
    /// Head of a request whose headers could not be read: nothing is known, and any hostile header may be there.
    #[must_use]
    pub fn unreadable(end: bool) -> Self {
        Self {
            has_body: !end,
            hostile: u8::MAX,
            ..Self::default()
        }
    }

    /// Reads a serialised header map. `end` is what the host says of the body; only `true` is trusted, because some
    /// hosts never say it.
    #[must_use]
    pub fn read(map: &[u8], end: bool) -> Self {
        let mut head = Self::default();
        let mut announced = false;
        let mut bodiless_method = false;
        for (name, value) in Pairs::new(map) {
            match name {
                b":path" => head.kind = Kind::from_path(value),
                b":method" => {
                    bodiless_method = matches!(value, b"GET" | b"HEAD" | b"OPTIONS" | b"DELETE")
                }
                b"content-length" => {
                    head.content_length = decimal(value);
                    announced = true;
                }
                b"transfer-encoding" => announced = true,
                b"authorization" | b"x-api-key" => head.tenant = key(value),
                b"x-session-id" => head.session = key(value),
                b"x-request-id" => head.id = key(value),
                _ if name == names::EXPLAIN.as_bytes() => head.explain = value == b"1",
                _ if name.starts_with(b"x-") => {
                    for (at, hostile) in names::HOSTILE.iter().enumerate() {
                        if name.eq_ignore_ascii_case(hostile.as_bytes()) {
                            head.hostile |= 1 << at;
                        }
                    }
                }
                _ => {}
            }
        }
        head.has_body = !end && head.content_length != Some(0) && (announced || !bodiless_method);
        head
    }

    /// Names of the hostile headers that are present.
    pub fn hostile_names(&self) -> impl Iterator<Item = &'static str> {
        let bits = self.hostile;
        names::HOSTILE
            .into_iter()
            .enumerate()
            .filter(move |(at, _)| bits & (1 << at) != 0)
            .map(|(_, name)| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::headers::serialize;

    const POST: (&str, &str) = (":method", "POST");
    const CHAT: (&str, &str) = (":path", "/v1/chat/completions");

    #[test]
    fn reads_a_chat_request() {
        let map = serialize(&[
            POST,
            CHAT,
            ("content-length", "42"),
            ("x-plimsoll-explain", "1"),
        ]);
        let head = Head::read(&map, false);
        assert_eq!(head.kind, Kind::Chat);
        assert!(head.has_body && head.explain);
        assert_eq!(head.content_length, Some(42));
        assert_eq!(head.hostile, 0);
    }

    #[test]
    fn a_body_is_expected_unless_the_headers_rule_it_out() {
        let has_body = |pairs: &[(&str, &str)], end| Head::read(&serialize(pairs), end).has_body;
        assert!(
            has_body(&[POST, CHAT], false),
            "HTTP/2 needs no content-length"
        );
        assert!(!has_body(&[POST, CHAT], true));
        assert!(!has_body(&[POST, CHAT, ("content-length", "0")], false));
        assert!(
            !has_body(&[(":method", "GET"), CHAT], false),
            "nginx never says end of stream"
        );
        assert!(has_body(
            &[(":method", "GET"), CHAT, ("transfer-encoding", "chunked")],
            false
        ));
    }

    #[test]
    fn finds_every_hostile_header() {
        let pairs: Vec<_> = names::HOSTILE
            .iter()
            .map(|name| (*name, "10.0.0.1:80"))
            .collect();
        let head = Head::read(&serialize(&pairs), true);
        assert_eq!(head.hostile_names().collect::<Vec<_>>(), names::HOSTILE);
        let one = Head::read(
            &serialize(&[("x-envoy-original-dst-host", "127.0.0.1:9901")]),
            true,
        );
        assert_eq!(
            one.hostile_names().collect::<Vec<_>>(),
            ["x-envoy-original-dst-host"]
        );
    }

    #[test]
    fn unreadable_headers_are_taken_as_hostile() {
        assert_eq!(
            Head::unreadable(false).hostile_names().count(),
            names::HOSTILE.len()
        );
    }
}
