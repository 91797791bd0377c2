//! What the headers of a request say of sharing its answer.

use plimsoll_core::reuse::Asked;

use crate::headers::Pairs;

/// Headers that are part of what is asked for, in the order of [`Asked::words`].
const WORDS: [&[u8]; 4] = [b":authority", b":path", b"authorization", b"x-api-key"];

/// What a serialised header map asks for; `None` when the answer has to be the request's own: it is no `POST`, its client does not want another's
/// (`cache-control`), a browser checks whose it is (`origin`), or it says one thing twice.
#[must_use]
pub fn read(map: &[u8]) -> Option<Asked<'_>> {
    let mut asked = Asked::default();
    for (name, value) in Pairs::new(map) {
        let own = match name {
            b":method" => value != b"POST",
            b"origin" => true,
            b"cache-control" => forbids(value),
            _ => {
                let mut words = WORDS.iter().zip(&mut asked.words);
                let word = words.find(|(of, _)| **of == name);
                word.is_some_and(|(_, word)| !core::mem::replace(word, value).is_empty())
            }
        };
        if own {
            return None;
        }
    }
    Some(asked)
}

/// Whether `cache-control` keeps an answer from being shared: `no-store` and `no-cache` do, and so does whatever else begins like them.
#[must_use]
pub fn forbids(value: &[u8]) -> bool {
    value
        .windows(3)
        .any(|letters| letters.eq_ignore_ascii_case(b"no-"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::headers::serialize;

    fn shares(pairs: &[(&str, &str)], tenant: u64) -> bool {
        let map = serialize(pairs);
        read(&map).is_some_and(|asked| Asked { tenant, ..asked }.key([1, 2], vec![]).is_some())
    }

    #[test]
    fn who_is_not_told_apart_shares_with_nobody() {
        assert!(!shares(&[(":method", "POST")], 0));
        assert!(shares(&[(":method", "POST")], 7));
        assert!(shares(&[(":method", "POST"), ("authorization", "a")], 0));
        assert!(shares(&[(":method", "POST"), ("x-api-key", "a")], 0));
        assert!(!shares(&[("x-api-key", "a"), ("x-api-key", "b")], 0));
        assert!(!shares(&[("x-api-key", "a"), (":method", "GET")], 0));
        assert!(!shares(&[("x-api-key", "a"), ("origin", "https://a")], 0));
    }

    #[test]
    fn the_client_may_forbid_it() {
        for (value, forbidden) in [
            ("no-store", true),
            ("max-age=0, No-Cache", true),
            (" no-store ", true),
            ("max-age=600", false),
            ("", false),
        ] {
            assert_eq!(forbids(value.as_bytes()), forbidden, "{value:?}");
            let pairs = [("x-api-key", "a"), ("cache-control", value)];
            assert_eq!(shares(&pairs, 0), !forbidden, "{value:?}");
        }
    }
}
