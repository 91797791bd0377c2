//! What the scanner says of bodies written by hand.

use alloc::{
    format,
    string::{String, ToString},
    vec,
    vec::Vec,
};

use super::{Block, Kind, Scanner, key};

mod generated;

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
    let table: [(&str, Kind); 11] = [
        ("/v1/chat/completions", Kind::Chat),
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
fn prompt_sizes() {
    let table: [(Kind, &str, u64); 12] = [
        (
            Kind::Chat,
            r#"{"messages":[{"role":"user","content":"hello"}]}"#,
            9,
        ),
        (
            Kind::Chat,
            r#"{"messages":[{"role":"user","content":"a\nb"}]}"#,
            8,
        ),
        (
            Kind::Chat,
            r#"{"messages":[{"content":[{"type":"text","text":"abc"},{"type":"text","text":"de"}]}]}"#,
            5,
        ),
        (
            Kind::Chat,
            r#"{"messages":[{"content":[{"type":"image_url","image_url":{"detail":"low","url":"data:AAAA"}},{"text":"abc"}]}]}"#,
            3,
        ),
        (
            Kind::Chat,
            r#"{"messages":[{"content":[{"image_url":"http://x/y.png","text":"abc"}]}]}"#,
            3,
        ),
        (
            Kind::Chat,
            r#"{"messages":[{"content":[{"input_audio":{"data":"AAAA","text":"no"}}],"role":"user"}]}"#,
            4,
        ),
        (
            Kind::Chat,
            r#"{"messages":[{"tool_calls":[{"id":"call_1","function":{"name":"f","arguments":"{}"}}],"content":null}]}"#,
            3,
        ),
        (
            Kind::Chat,
            r#"{"prompt":"not of this kind","messages":[]}"#,
            0,
        ),
        (Kind::Completion, r#"{"prompt":"hello","suffix":"no"}"#, 5),
        (Kind::Completion, r#"{"prompt":["hello","you"]}"#, 8),
        (Kind::Completion, r#"{"prompt":[1,22,333]}"#, 12),
        (Kind::Completion, r#"{"prompt":[[1, 22],[128000]]}"#, 12),
    ];
    for (kind, body, bytes) in table {
        let facts = scan(kind, body);
        assert_eq!(facts.prompt_bytes, bytes, "{body}");
        assert!(facts.complete, "{body}");
    }
    assert_eq!(
        scan(Kind::Other, r#"{"model":"e","input":["hello","you"]}"#).prompt_bytes,
        8
    );
}

/// A chat body of two long messages with something between them.
fn two(between: &str) -> String {
    let text = "x".repeat(300);
    format!(
        r#"{{"messages":[{{"role":"user","content":"{text}"}}{between},{{"role":"user","content":"{text}"}}]}}"#
    )
}

#[test]
fn a_longer_conversation_keeps_the_blocks_of_the_shorter() {
    let short = scan(Kind::Chat, &two(""));
    let body = two("").replace(
        "]}",
        r#",{"role":"assistant","content":"and so on, for a while"}],"model":"m"}"#,
    );
    let long = scan(Kind::Chat, &body);
    assert!(short.blocks.len() == 2 && long.blocks.starts_with(&short.blocks));
    assert!(long.prompt_bytes > short.prompt_bytes);
}

#[test]
fn what_differs_differs_from_there_on() {
    let plain = scan(Kind::Chat, &two("")).blocks;
    let image = |data: &str| {
        let part = format!(
            r#",{{"content":[{{"type":"image_url","image_url":{{"url":"data:{data}"}}}}]}}"#
        );
        scan(Kind::Chat, &two(&part)).blocks
    };
    let (one, other) = (image("AAAA"), image("AAAB"));
    assert!(
        plain[0] == one[0] && one[0] == other[0],
        "the same before the image"
    );
    assert!(
        plain[1].hash != one[1].hash && one[1].hash != other[1].hash,
        "another after it"
    );
    assert_eq!(plain[1].end, one[1].end);
}

#[test]
fn boundaries_between_strings_matter() {
    let body = |first: &str, second: &str| {
        let filler = "y".repeat(300);
        scan(
            Kind::Completion,
            &format!(r#"{{"prompt":["{first}","{second}","{filler}"]}}"#),
        )
        .blocks
    };
    assert_eq!(body("ab", "c"), body("ab", "c"));
    assert_ne!(body("ab", "c"), body("a", "bc"));
}

#[test]
fn tools_are_hashed_before_messages_and_counted_after() {
    let (tools, messages) = (
        |name: &str| {
            format!(
                r#""tools":[{{"type":"function","function":{{"name":"{name}","strict":true}}}}]"#
            )
        },
        {
            let text = "z".repeat(400);
            format!(r#""messages":[{{"role":"user","content":"{text}"}}]"#)
        },
    );
    let before = |name: &str| scan(Kind::Chat, &format!("{{{},{messages}}}", tools(name)));
    let after = |name: &str| scan(Kind::Chat, &format!("{{{messages},{}}}", tools(name)));
    let none = scan(Kind::Chat, &format!("{{{messages}}}"));
    assert_ne!(before("alpha").blocks[0], before("gamma").blocks[0]);
    assert_eq!(after("alpha").blocks, none.blocks);
    assert_eq!(before("alpha").prompt_bytes, after("alpha").prompt_bytes);
    let size = "typefunctionfunctionnamealphastricttrue".len() as u64;
    assert_eq!(after("alpha").prompt_bytes, none.prompt_bytes + size);
}

#[test]
fn token_arrays_have_blocks() {
    let body = |last: u32| {
        let tokens: Vec<String> = (0..200)
            .map(|i| (if i == 199 { last } else { i * 7 }).to_string())
            .collect();
        scan(
            Kind::Completion,
            &format!(r#"{{"prompt":[{}]}}"#, tokens.join(", ")),
        )
    };
    let (one, other) = (body(1), body(2));
    assert_eq!(
        one.blocks.iter().map(|block| block.end).collect::<Vec<_>>(),
        [256, 512, 768]
    );
    assert_eq!(
        one.blocks, other.blocks,
        "the last token is in no full block"
    );
    assert_eq!(one.prompt_bytes, 800);
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
