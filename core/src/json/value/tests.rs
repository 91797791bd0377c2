use alloc::format;
use alloc::string::ToString;

use serde_json::Value as Peer;

use super::{Map, Value};
use crate::json::tests::Rng;

/// The same value as the library everybody would reach for reads it.
fn same(ours: &Value, peer: &Peer) -> bool {
    match (ours, peer) {
        (Value::Null, Peer::Null) => true,
        (Value::Bool(a), Peer::Bool(b)) => a == b,
        (Value::Number(text), Peer::Number(number)) => {
            // serde_json's floats may be off in the last place.
            let (a, b) = (text.parse::<f64>().unwrap(), number.as_f64().unwrap());
            (a - b).abs() <= b.abs() * 1e-15 && ours.as_u64() == number.as_u64()
        }
        (Value::String(a), Peer::String(b)) => a == b,
        (Value::Array(a), Peer::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Peer::Object(b)) => same_fields(a, b),
        _ => false,
    }
}

fn same_fields(ours: &Map, peer: &serde_json::Map<alloc::string::String, Peer>) -> bool {
    let known = |name: &str| ours.get(name).is_some();
    peer.keys().all(|name| known(name))
        && ours.iter().all(|(name, _)| {
            let pair = ours.get(name).zip(peer.get(name));
            pair.is_some_and(|(a, b)| same(a, b))
        })
}

#[test]
fn agrees_with_serde_json() {
    let mut rng = Rng(3);
    for _ in 0..1500 {
        let text = rng.object(4);
        let (ours, peer) = (Value::parse(text.as_bytes()), serde_json::from_str(&text));
        let ours = ours.unwrap_or_else(|at| panic!("byte {at} of {text}"));
        assert!(same_fields(&ours, &peer.unwrap()), "{text}");
        // What is shown is the same value again.
        let shown = Value::Object(ours.clone()).to_string();
        let again = serde_json::from_str(&shown).unwrap();
        assert!(same_fields(&ours, &again), "{text}\n{shown}");
    }
}

/// What serde_json accepts is read alike; what it refuses is refused, but for what strings may hold.
#[test]
fn damaged_documents() {
    let mut rng = Rng(4);
    let (mut accepted, mut refused) = (0, 0);
    for _ in 0..6000 {
        let mut text = rng.object(3).into_bytes();
        let at = rng.below(text.len());
        match rng.below(3) {
            0 => text[at] = b"{}[]\",:\\x0 -.e"[rng.below(14)],
            1 => drop(text.remove(at)),
            _ => text.truncate(at),
        }
        let shown = alloc::string::String::from_utf8_lossy(&text).into_owned();
        match (
            Value::parse(&text),
            serde_json::from_slice::<serde_json::Map<_, _>>(&text),
        ) {
            (Ok(ours), Ok(peer)) => {
                accepted += 1;
                assert!(same_fields(&ours, &peer), "{shown}");
            }
            (Err(at), Err(_)) => {
                refused += 1;
                assert!(at <= text.len(), "{shown}");
            }
            (Err(at), Ok(_)) => panic!("refused at byte {at}: {shown}"),
            (Ok(_), Err(error)) => {
                let error = error.to_string();
                let of_strings = ["escape", "surrogate", "control character"];
                assert!(
                    of_strings.iter().any(|kind| error.contains(kind)),
                    "{error}: {shown}"
                );
            }
        }
    }
    assert!(accepted > 100 && refused > 1000, "{accepted} {refused}");
}

#[test]
fn numbers_and_literals_are_those_of_json() {
    for good in [
        "0", "-0", "10", "1.5", "-1e3", "1E+3", "0.0e-0", "true", "null",
    ] {
        assert!(
            Value::parse(format!("{{\"a\":{good}}}").as_bytes()).is_ok(),
            "{good}"
        );
    }
    for bad in [
        "01", "1.", ".5", "-", "1e", "1e+", "+1", "1.e3", "NaN", "Infinity", "tru", "True", "0x1",
    ] {
        assert!(
            Value::parse(format!("{{\"a\":{bad}}}").as_bytes()).is_err(),
            "{bad}"
        );
    }
}

#[test]
fn errors_name_the_byte() {
    for (text, at) in [
        ("", 0),
        ("[1]", 1),
        ("{\"a\": }", 7),
        ("{\"a\":1", 6),
        ("{\"a\":1} x", 9),
        ("{\"a\":nul}", 8),
    ] {
        assert_eq!(Value::parse(text.as_bytes()), Err(at), "{text}");
    }
    assert_eq!(Value::parse(b"{\"a\":\"\xff\"}"), Err(6));
    assert_eq!(
        Value::parse("{\"a\":".repeat(1000).as_bytes()).err(),
        Some(641)
    );
}

#[test]
fn the_last_of_equal_keys_counts() {
    let map = Value::parse(b"{\"a\":1,\"a\":2}").unwrap();
    assert_eq!(map.get("a").and_then(Value::as_u64), Some(2));
}
