//! What the scanner says of bodies written by hand.

use alloc::{format, string::String, vec, vec::Vec};

use super::{Block, Kind, Scanner, key};

mod generated;
mod prompts;

/// Facts that own what they hold.
#[derive(Clone, Debug, Default, PartialEq)]
struct Facts {
    model: Option<String>,
    stream: Option<bool>,
    max_tokens: Option<u32>,
    salt: u64,
    prompt_bytes: u64,
    blocks: Vec<Block>,
    complete: bool,
    malformed: bool,
}

fn facts(scanner: &Scanner) -> Facts {
    let facts = scanner.facts();
    Facts {
        model: facts
            .model
            .map(|model| String::from_utf8_lossy(model).into_owned()),
        stream: facts.stream,
        max_tokens: facts.max_tokens,
        salt: facts.salt,
        prompt_bytes: facts.prompt_bytes,
        blocks: facts.blocks.to_vec(),
        complete: facts.complete,
        malformed: facts.malformed,
    }
}

fn scan(kind: Kind, body: &str) -> Facts {
    let mut scanner = Scanner::new(kind);
    scanner.feed(body.as_bytes());
    facts(&scanner)
}

#[test]
fn kind_from_path() {
    let table: [(&str, Kind); 13] = [
        ("/v1/chat/completions", Kind::Chat),
        ("/v1/embeddings", Kind::Embeddings),
        ("/v1/embeddings/x", Kind::Other),
        ("/v1/chat/completions?api-version=1", Kind::Chat),
        ("/v1/chat/completions/", Kind::Chat),
        ("/tenant/a/v1/chat/completions#x", Kind::Chat),
        ("/v1/completions", Kind::Completion),
        (
            "/openai/v1/completions?x=/v1/chat/completions",
            Kind::Completion,
        ),
        ("/v1/completions/extra", Kind::Other),
        ("/v2/completions", Kind::Other),
        ("/v1/models", Kind::Other),
        ("?/v1/completions", Kind::Other),
        ("", Kind::Other),
    ];
    for (path, kind) in table {
        assert_eq!(Kind::from_path(path.as_bytes()), kind, "{path}");
    }
}

#[test]
fn scalars() {
    type Row = (
        &'static str,
        Option<&'static str>,
        Option<bool>,
        Option<u32>,
    );
    let table: [Row; 20] = [
        (
            r#"{"model":"m","stream":true,"max_tokens":16}"#,
            Some("m"),
            Some(true),
            Some(16),
        ),
        (
            r#"{"max_tokens":16,"stream":false,"model":"m"}"#,
            Some("m"),
            Some(false),
            Some(16),
        ),
        (
            "{ \"model\" :\n\"a/b\\u002dc\" }",
            Some("a/b-c"),
            None,
            None,
        ),
        (
            r#"{"\u006dodel":"m","m\u0061x_tokens":7}"#,
            Some("m"),
            None,
            Some(7),
        ),
        (
            r#"{"model":"a","model":"b","stream":true,"stream":null}"#,
            Some("b"),
            None,
            None,
        ),
        (r#"{"model":"a","model":7}"#, None, None, None),
        (
            r#"{"model":["a"],"stream":[true],"max_tokens":[1]}"#,
            None,
            None,
            None,
        ),
        (
            r#"{"messages":[{"model":"x","stream":true,"max_tokens":9}]}"#,
            None,
            None,
            None,
        ),
        (
            r#"{"extra":{"model":"x"},"model":"y"}"#,
            Some("y"),
            None,
            None,
        ),
        (
            r#"{"max_tokens":5,"max_completion_tokens":6}"#,
            None,
            None,
            Some(6),
        ),
        (
            r#"{"max_completion_tokens":6,"max_tokens":5}"#,
            None,
            None,
            Some(6),
        ),
        (
            r#"{"max_completion_tokens":null,"max_tokens":5}"#,
            None,
            None,
            Some(5),
        ),
        (r#"{"max_tokens":-5}"#, None, None, None),
        (r#"{"max_tokens":1.5}"#, None, None, None),
        (r#"{"max_tokens":1e9}"#, None, None, None),
        (r#"{"max_tokens":"16"}"#, None, None, None),
        (r#"{"max_tokens":4294967296}"#, None, None, None),
        (
            r#"{"max_tokens":99999999999999999999999999999999999999999999999999}"#,
            None,
            None,
            None,
        ),
        (
            r#"{"stream":"true","stream_options":{"include_usage":true}}"#,
            None,
            None,
            None,
        ),
        ("{}", None, None, None),
    ];
    for (body, model, stream, max_tokens) in table {
        for kind in [Kind::Chat, Kind::Completion, Kind::Other] {
            let facts = scan(kind, body);
            assert_eq!(
                (facts.model.as_deref(), facts.stream, facts.max_tokens),
                (model, stream, max_tokens),
                "{body}"
            );
            assert!(facts.complete && !facts.malformed, "{body}");
        }
    }
}

#[test]
fn salt_is_the_key_of_the_text() {
    assert_eq!(
        scan(Kind::Chat, r#"{"cache_salt":"tenant-7"}"#).salt,
        key(b"tenant-7")
    );
    assert_eq!(
        scan(Kind::Chat, r#"{"cache_salt":"tenant\u002d7"}"#).salt,
        key(b"tenant-7")
    );
    assert_eq!(
        scan(Kind::Chat, r#"{"cache_salt":"a","cache_salt":null}"#).salt,
        0
    );
    assert_eq!(scan(Kind::Chat, "{}").salt, 0);
}

#[test]
fn model_names_have_a_limit() {
    let body = |len: usize| format!(r#"{{"model":"{}"}}"#, "m".repeat(len));
    assert_eq!(
        scan(Kind::Chat, &body(256)).model.map(|model| model.len()),
        Some(256)
    );
    assert_eq!(scan(Kind::Chat, &body(257)).model, None);
}

#[test]
fn a_cut_body_never_says_anything_wrong() {
    let text = "w".repeat(700);
    let body = format!(
        r#"{{"model":"llama","max_tokens":128,"messages":[{{"role":"user","content":"{text}"}}],"stream":true,"cache_salt":"s"}}"#
    );
    let whole = scan(Kind::Chat, &body);
    for end in 0..body.len() {
        let cut = scan(Kind::Chat, &body[..end]);
        assert!(!cut.complete && !cut.malformed, "{end}");
        assert!(cut.model.is_none() || cut.model == whole.model, "{end}");
        assert!(
            cut.max_tokens.is_none() || cut.max_tokens == whole.max_tokens,
            "{end}"
        );
        assert!(cut.stream.is_none() || cut.stream == whole.stream, "{end}");
        assert!(cut.salt == 0 || cut.salt == whole.salt, "{end}");
        assert!(
            cut.prompt_bytes <= whole.prompt_bytes && whole.blocks.starts_with(&cut.blocks),
            "{end}"
        );
    }
}

#[test]
fn what_was_known_before_a_fault_stands() {
    let facts = scan(Kind::Chat, r#"{"model":"m","messages":[{"role":"user"}}"#);
    assert!(facts.malformed && !facts.complete);
    assert_eq!((facts.model.as_deref(), facts.prompt_bytes), (Some("m"), 4));
    let mut scanner = Scanner::new(Kind::Chat);
    scanner.feed(b"{\"messages\":[{\"content\":\"\xff\xfe\xc3\"}],\"model\":\"m\xff\"}");
    let facts = scanner.facts();
    assert_eq!(
        (facts.prompt_bytes, facts.model, facts.complete),
        (3, Some(&b"m\xff"[..]), true)
    );
}

#[test]
fn ten_megabytes_of_brackets() {
    let mut scanner = Scanner::new(Kind::Chat);
    scanner.feed(b"{\"model\":\"m\",\"messages\":");
    let megabyte = vec![b'['; 1 << 20];
    for _ in 0..10 {
        scanner.feed(&megabyte);
    }
    let facts = scanner.facts();
    assert!(facts.malformed);
    assert_eq!((facts.model, facts.prompt_bytes), (Some(&b"m"[..]), 0));
}

#[test]
fn what_nothing_else_decides_is_repeatable() {
    let repeatable = |kind, body: &str| {
        let mut scanner = Scanner::new(kind);
        for byte in body.as_bytes() {
            scanner.feed(&[*byte]);
        }
        scanner.facts().repeatable
    };
    let table = [
        (r#"{"temperature":0}"#, true),
        (r#"{"temperature":0.0,"n":1}"#, true),
        (r#"{"temper\u0061ture": 0.000 }"#, true),
        (r#"{"temperature":1,"temperature":0}"#, true),
        (r#"{"temperature":0,"temperature":1}"#, false),
        (r#"{"temperature":0,"n":2}"#, false),
        (r#"{"temperature":0,"n":[1]}"#, false),
        (r#"{"temperature":0,"n":null}"#, false),
        (r#"{"temperature":[0]}"#, false),
        (r#"{"temperature":"0"}"#, false),
        (r#"{"temperature":0.1}"#, false),
        (r#"{"temperature":0e1}"#, false),
        (r#"{"temperature":-0}"#, false),
        (
            r#"{"temperature":0.00000000000000000000000000000000001}"#,
            false,
        ),
        (r#"{"temperature":null}"#, false),
        (r#"{"x":{"temperature":0}}"#, false),
        ("{}", false),
    ];
    for (body, expected) in table {
        assert_eq!(repeatable(Kind::Chat, body), expected, "{body}");
        assert_eq!(repeatable(Kind::Completion, body), expected, "{body}");
        assert!(repeatable(Kind::Embeddings, body), "{body}");
        assert!(!repeatable(Kind::Other, body), "{body}");
    }
    let mut scanner = Scanner::new(Kind::Chat);
    scanner.feed(br#"{"temperature":0,"n":1}"#);
    scanner.reset(Kind::Chat);
    scanner.feed(b"{}");
    assert!(!scanner.facts().repeatable);
}
