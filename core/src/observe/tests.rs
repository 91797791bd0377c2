//! Streams and bodies in the shapes that engines send, cut anywhere.

use alloc::{format, string::String, vec, vec::Vec};

use super::{Body, Observer, Seen, Usage};
use crate::json::tests::Rng;

fn usage(prompt_tokens: u32, completion_tokens: u32, cached_tokens: Option<u32>) -> Option<Usage> {
    Some(Usage {
        prompt_tokens,
        completion_tokens,
        cached_tokens,
    })
}

/// Everything a body told, piece by piece, as one.
fn observe<'a>(body: Body, pieces: impl IntoIterator<Item = &'a [u8]>) -> Seen {
    let mut observer = Observer::new(body);
    pieces.into_iter().fold(Seen::default(), |all, piece| {
        let seen = observer.feed(piece);
        Seen {
            tokens: all.tokens + seen.tokens,
            usage: seen.usage.or(all.usage),
            done: all.done | seen.done,
        }
    })
}

fn sse(text: &str) -> Seen {
    observe(Body::Sse, [text.as_bytes()])
}

/// One chat event with this delta.
fn chat(delta: &str) -> String {
    format!(
        "data: {{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":null}}],\"usage\":null}}\n\n"
    )
}

#[test]
fn body_from_content_type() {
    let table: [(&str, Body); 7] = [
        ("text/event-stream", Body::Sse),
        ("Text/Event-Stream; charset=utf-8", Body::Sse),
        ("application/json", Body::Json),
        (" application/json ;charset=utf-8", Body::Json),
        ("application/jsonlines", Body::Opaque),
        ("text/html", Body::Opaque),
        ("", Body::Opaque),
    ];
    for (value, body) in table {
        assert_eq!(Body::from_content_type(value.as_bytes()), body, "{value}");
    }
}

#[test]
fn which_deltas_are_output() {
    let table = [
        (r#"{"role":"assistant","content":""}"#, 0),
        (r#"{"role":"assistant","content":null}"#, 0),
        (r#"{"role":"assistant"}"#, 0),
        ("{}", 0),
        (r#"{"content":"Hi"}"#, 1),
        (r#"{"content":" "}"#, 1),
        (r#"{"content":"\n"}"#, 1),
        (r#"{"reasoning_content":"so"}"#, 1),
        (r#"{"reasoning":"so","content":null}"#, 1),
        (
            r#"{"tool_calls":[{"index":0,"function":{"arguments":"{"}}]}"#,
            1,
        ),
        (r#"{"tool_calls":[]}"#, 0),
        (r#"{"content":"","tool_calls":null}"#, 0),
        (r#"{"metadata":{"content":"x"}}"#, 0),
        (r#"{"c\u006fntent":"x"}"#, 1),
    ];
    for (delta, tokens) in table {
        assert_eq!(
            sse(&chat(delta)),
            Seen {
                tokens,
                ..Seen::default()
            },
            "{delta}"
        );
    }
}

#[test]
fn which_events_are_output() {
    let table = [
        (
            r#"{"choices":[{"index":0,"text":"Hi","logprobs":null}]}"#,
            1,
        ),
        (
            r#"{"choices":[{"index":0,"text":"","finish_reason":"stop"}]}"#,
            0,
        ),
        (
            r#"{"choices":[{"delta":{"content":"a"}},{"delta":{"content":"b"}}]}"#,
            1,
        ),
        (r#"{"choices":[],"usage":{"prompt_tokens":3}}"#, 0),
        (r#"{"error":{"message":"content","text":"x"}}"#, 0),
        (r#"{"text":"x","content":"y"}"#, 0),
        (
            r#"{"type":"content_block_delta","delta":{"type":"text_delta","text":"Hi"}}"#,
            1,
        ),
        (r#"{"type":"response.output_text.delta","delta":"Hi"}"#, 1),
        (r#"[{"choices":[{"text":"x"}]}]"#, 0),
        ("nonsense", 0),
    ];
    for (event, tokens) in table {
        assert_eq!(sse(&format!("data: {event}\n\n")).tokens, tokens, "{event}");
    }
}

#[test]
fn framing() {
    let event = r#"{"choices":[{"text":"x"}]}"#;
    let table: [(String, u32, bool); 14] = [
        (format!("data: {event}\n\n"), 1, false),
        (format!("data:{event}\n\n"), 1, false),
        (format!("data:   {event}\r\n\r\n"), 1, false),
        (
            format!("data: {event}\n\ndata: {event}\n\ndata: [DONE]\n\n"),
            2,
            true,
        ),
        (
            format!("data: {event}\r\n\r\ndata: {event}\r\n\r\ndata: [DONE]\r\n\r\n"),
            2,
            true,
        ),
        (
            format!(": ping\n\nevent: x\nid: 7\ndata: {event}\nretry: 1\n\n: data: {event}\n\n"),
            1,
            false,
        ),
        // One event over several data lines.
        (
            String::from("data: {\"choices\":\ndata: [{\"text\":\"x\"}]}\n\n"),
            1,
            false,
        ),
        // A broken event does not reach the next one.
        (
            format!("data: {{\"choices\":[{{\"text\":\"x\n\ndata: {event}\n\n"),
            1,
            false,
        ),
        (
            format!("data: [DONE\n\ndata: [x]\n\ndata: {event}\n\n"),
            1,
            false,
        ),
        (
            format!("database: {event}\n\ndat: {event}\n\ndata {event}\n\ndata\n\n"),
            0,
            false,
        ),
        (String::from("data:[DONE]"), 0, true),
        (String::from("[DONE]\n\n"), 0, false),
        (String::from("data:\n\ndata: \n\n\n\n\r\n"), 0, false),
        (String::new(), 0, false),
    ];
    for (text, tokens, done) in table {
        let expected = Seen {
            tokens,
            usage: None,
            done,
        };
        assert_eq!(sse(&text), expected, "{text:?}");
        assert_eq!(
            observe(Body::Sse, text.as_bytes().chunks(1)),
            expected,
            "{text:?}"
        );
    }
}

#[test]
fn usage_of_streams() {
    let table = [
        (
            r#"{"choices":[],"usage":{"prompt_tokens":10,"total_tokens":14,"completion_tokens":4}}"#,
            usage(10, 4, None),
        ),
        (
            r#"{"usage":{"prompt_tokens":10,"completion_tokens":4,"prompt_tokens_details":{"cached_tokens":8,"audio_tokens":0}}}"#,
            usage(10, 4, Some(8)),
        ),
        (
            r#"{"usage":{"prompt_tokens_details":null,"completion_tokens_details":{"cached_tokens":1,"prompt_tokens":2},"prompt_tokens":10}}"#,
            usage(10, 0, None),
        ),
        (r#"{"x":{"usage":0},"message":[{"prompt_tokens":3}]}"#, None),
        (r#"{"usage":null}"#, None),
        (r#"{"usage":{}}"#, None),
        (
            r#"{"usage":{"prompt_tokens":-1,"completion_tokens":"4"}}"#,
            None,
        ),
        (
            r#"{"usage":{"prompt_tokens":99999999999,"completion_tokens":4}}"#,
            usage(0, 4, None),
        ),
        (
            r#"{"choices":[{"usage":{"prompt_tokens":10}}],"prompt_tokens":3}"#,
            None,
        ),
        (
            r#"{"choices":[{"text":"\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":4}"}]}"#,
            None,
        ),
        (
            r#"{"type":"response.completed","response":{"usage":{"input_tokens":9,"input_tokens_details":{"cached_tokens":5},"output_tokens":2}}}"#,
            usage(9, 2, Some(5)),
        ),
    ];
    for (event, usage) in table {
        assert_eq!(sse(&format!("data: {event}\n\n")).usage, usage, "{event}");
    }
}

#[test]
fn usage_in_every_event() {
    let event = |n: u32| {
        format!(
            "data: {{\"choices\":[{{\"text\":\"x\"}}],\"usage\":{{\"prompt_tokens\":5,\"completion_tokens\":{n}}}}}\n\n"
        )
    };
    let text: String = (1..=3).map(event).collect();
    assert_eq!(
        sse(&text),
        Seen {
            tokens: 3,
            usage: usage(5, 3, None),
            done: false
        }
    );
}

#[test]
fn anthropic_messages() {
    let text = concat!(
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"content\":[],\"usage\":{\"input_tokens\":25,\"output_tokens\":1}}}\n\n",
        "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
        "event: ping\ndata: {\"type\": \"ping\"}\n\n",
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":\"Hello\"}}\n\n",
        "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":15}}\n\n",
    );
    // `stop_reason` is a string in `delta`, and no output.
    assert_eq!(
        sse(text),
        Seen {
            tokens: 1,
            usage: usage(25, 15, None),
            done: false
        }
    );
    let stop = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
    assert!(sse(&format!("{text}{stop}")).done);
}

#[test]
fn json_bodies() {
    let body = r#"{"id":"c","choices":[{"message":{"role":"assistant","content":"\"usage\":{\"prompt_tokens\":1} [DONE]"}}],"usage":{"prompt_tokens":10,"completion_tokens":4,"prompt_tokens_details":{"cached_tokens":0}}}"#;
    for size in [1, 7, 64, 1000] {
        let seen = observe(Body::Json, body.as_bytes().chunks(size));
        assert_eq!(
            seen,
            Seen {
                tokens: 0,
                usage: usage(10, 4, Some(0)),
                done: true
            }
        );
    }
    assert_eq!(
        observe(Body::Json, [&b"{\"error\":{\"message\":\"no\"}}\n"[..]]),
        Seen {
            done: true,
            ..Seen::default()
        }
    );
    assert_eq!(
        observe(Body::Json, [&b"upstream connect error"[..]]),
        Seen::default()
    );
    assert_eq!(observe(Body::Opaque, [body.as_bytes()]), Seen::default());
}

/// A stream as an engine sends it: text that tries to fool the reader, then usage, then the end.
fn stream(rng: &mut Rng) -> (String, Seen) {
    let (mut text, mut tokens) = (chat(r#"{"role":"assistant","content":""}"#), 0);
    for _ in 0..rng.below(20) {
        match rng.below(5) {
            0 => text.push_str(": keep-alive\r\n\r\n"),
            1 => text.push_str(&chat(
                r#"{"content":"data: [DONE]\n\ndata: {\"usage\":{\"prompt_tokens\":1}}"}"#,
            )),
            _ => text.push_str(&chat(&format!("{{\"content\":\"x{}\"}}", rng.string()))),
        }
        tokens += u32::from(!text.ends_with("alive\r\n\r\n"));
    }
    text.push_str("data: {\"choices\":[],\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":34,\"prompt_tokens_details\":{\"cached_tokens\":5}}}\n\n");
    text.push_str("data: [DONE]\n\n");
    (
        text,
        Seen {
            tokens,
            usage: usage(12, 34, Some(5)),
            done: true,
        },
    )
}

#[test]
fn cuts_do_not_matter() {
    let mut rng = Rng(5);
    for _ in 0..200 {
        let (text, expected) = stream(&mut rng);
        let windows = text.replace('\n', "\r\n").replace("\r\r", "\r");
        for text in [&text, &windows] {
            assert_eq!(sse(text), expected, "{text}");
            assert_eq!(
                observe(Body::Sse, rng.cut(text.as_bytes())),
                expected,
                "{text}"
            );
        }
    }
}

#[test]
fn a_cut_stream_never_says_anything_wrong() {
    let (text, whole) = stream(&mut Rng(7));
    let mut before = Seen::default();
    for end in 0..text.len() {
        let seen = observe(Body::Sse, [&text.as_bytes()[..end]]);
        assert!(
            seen.tokens >= before.tokens && seen.tokens <= whole.tokens,
            "{end}"
        );
        assert!(seen.usage.is_none() || seen.usage == whole.usage, "{end}");
        assert!(!seen.done || end >= text.len() - 2, "{end}");
        before = seen;
    }
}

/// An event may be far larger than any buffer: nothing of it is held.
#[test]
fn a_huge_event() {
    let big = chat(&format!(
        "{{\"content\":\"{}\"}}",
        "long \\\" ".repeat(100_000)
    ));
    let text = format!("{big}{}data: [DONE]\n\n", chat(r#"{"content":"x"}"#));
    let seen = observe(Body::Sse, text.as_bytes().chunks(16_384));
    assert_eq!(
        seen,
        Seen {
            tokens: 2,
            usage: None,
            done: true
        }
    );
    assert!(size_of::<Observer>() <= 256, "{}", size_of::<Observer>());
}

#[test]
fn noise_does_no_harm() {
    let mut rng = Rng(6);
    for round in 0..300 {
        let mut bytes: Vec<u8> = stream(&mut rng).0.into_bytes();
        for _ in 0..rng.below(6) {
            let at = rng.below(bytes.len());
            bytes[at] = rng.below(256) as u8;
        }
        if round % 10 == 0 {
            bytes = vec![0; 2000];
            bytes
                .iter_mut()
                .for_each(|byte| *byte = rng.below(256) as u8);
        }
        for body in [Body::Sse, Body::Json, Body::Opaque] {
            let seen = observe(body, rng.cut(&bytes));
            assert!(seen.tokens <= 22);
        }
    }
}
