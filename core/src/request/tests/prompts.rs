//! Which bytes of a body are prompt, and what makes two prompts the same up to a point.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

use super::scan;
use crate::request::Kind;

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
            // Near enough to a block end for the tools to reach it, were they hashed.
            let text = "z".repeat(490);
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
