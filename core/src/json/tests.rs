//! The tokenizer against serde_json, on generated documents cut anywhere.

use alloc::{
    format,
    string::{String, ToString},
    vec,
    vec::Vec,
};

use serde_json::Value;

use super::{Event, Lexer, MAX_DEPTH, Text, whole};

/// A small deterministic generator (SplitMix64).
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((word ^ (word >> 31)) % end as u64) as usize
    }

    pub(crate) fn pick<'a>(&mut self, items: &[&'a str]) -> &'a str {
        items[self.below(items.len())]
    }

    /// Cuts bytes into pieces of random lengths, some of them empty.
    pub(crate) fn cut<'a>(&mut self, bytes: &'a [u8]) -> Vec<&'a [u8]> {
        let longest = self
            .pick(&["2", "8", "40", "400"])
            .parse::<usize>()
            .unwrap();
        let (mut pieces, mut rest) = (vec![], bytes);
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(self.below(longest).min(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        pieces
    }

    fn space(&mut self) -> &'static str {
        self.pick(&["", "", "", " ", "\n", "\r\n\t "])
    }

    /// The inside of a JSON string.
    pub(crate) fn string(&mut self) -> String {
        let atoms = [
            "a",
            "model",
            "usage\\\":",
            " ",
            "é",
            "日本",
            "😀",
            "\\n",
            "\\\"",
            "\\\\",
            "\\/",
            "\\u0041",
            "\\u00e9",
            "\\ud83d\\ude00",
            "{",
            "]",
            ",",
            ":",
            "\\b\\f\\r\\t",
        ];
        (0..self.below(12)).map(|_| self.pick(&atoms)).collect()
    }

    /// A JSON value of at most this depth.
    pub(crate) fn value(&mut self, depth: usize) -> String {
        let (left, right) = (self.space(), self.space());
        let inner = match self.below(if depth > 0 { 8 } else { 4 }) {
            0 | 1 => format!("\"{}\"", self.string()),
            2 => self
                .pick(&["0", "-1", "12.5e-3", "4294967295", "1E+2"])
                .to_string(),
            3 => self.pick(&["true", "false", "null"]).to_string(),
            4 | 5 => {
                let items: Vec<String> =
                    (0..self.below(4)).map(|_| self.value(depth - 1)).collect();
                if items.is_empty() {
                    format!("[{}]", self.space())
                } else {
                    format!("[{}]", items.join(","))
                }
            }
            _ => self.object(depth - 1),
        };
        format!("{left}{inner}{right}")
    }

    pub(crate) fn object(&mut self, depth: usize) -> String {
        let members: Vec<String> = (0..self.below(5))
            .map(|_| {
                format!(
                    "{}\"{}\"{}:{}",
                    self.space(),
                    self.string(),
                    self.space(),
                    self.value(depth)
                )
            })
            .collect();
        if members.is_empty() {
            format!("{{{}}}", self.space())
        } else {
            format!("{{{}}}", members.join(","))
        }
    }
}

/// A token with its parts joined; strings unescaped.
#[derive(Debug, PartialEq)]
enum Token {
    Open,
    Close,
    Key(String),
    Str(String),
    Scalar(String),
}

fn tokens<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Token>, Lexer) {
    let (mut lexer, mut text, mut tokens) = (Lexer::new(), Text::<4096>::new(), vec![]);
    for mut piece in pieces {
        while let Some(event) = lexer.event(&mut piece) {
            let (part, make): (_, fn(String) -> Token) = match event {
                Event::Open => {
                    tokens.push(Token::Open);
                    continue;
                }
                Event::Close => {
                    tokens.push(Token::Close);
                    continue;
                }
                Event::Key(part) => (part, Token::Key),
                Event::Str(part) => (part, Token::Str),
                Event::Scalar(part) => (part, Token::Scalar),
            };
            text.push(part.bytes, part.last);
            if part.last {
                tokens.push(make(
                    String::from_utf8(text.get().unwrap().to_vec()).unwrap(),
                ));
                text.clear();
            }
        }
        assert!(piece.is_empty() || lexer.malformed());
    }
    (tokens, lexer)
}

/// Builds the value that starts with `first`. Tokens do not say which kind a container is; a key does.
fn build(first: Token, rest: &mut impl Iterator<Item = Token>) -> Value {
    match first {
        Token::Str(text) => Value::String(text),
        Token::Scalar(text) => serde_json::from_str(&text).unwrap(),
        Token::Open => {
            let (mut list, mut map) = (vec![], serde_json::Map::new());
            loop {
                match rest.next().unwrap() {
                    Token::Close if map.is_empty() => return Value::Array(list),
                    Token::Close => return Value::Object(map),
                    Token::Key(key) => {
                        let first = rest.next().unwrap();
                        let value = build(first, rest);
                        map.insert(key, value);
                    }
                    other => list.push(build(other, rest)),
                }
            }
        }
        Token::Close | Token::Key(_) => unreachable!("no value starts so"),
    }
}

/// Empty objects look like empty arrays in tokens.
fn same_shape(value: Value) -> Value {
    match value {
        Value::Object(map) if map.is_empty() => Value::Array(vec![]),
        Value::Object(map) => Value::Object(
            map.into_iter()
                .map(|(key, value)| (key, same_shape(value)))
                .collect(),
        ),
        Value::Array(list) => Value::Array(list.into_iter().map(same_shape).collect()),
        other => other,
    }
}

#[test]
fn agrees_with_serde_json() {
    let mut rng = Rng(1);
    for _ in 0..1500 {
        let text = format!("{}{}{}", rng.space(), rng.object(4), rng.space());
        let expected = same_shape(serde_json::from_str(&text).unwrap());
        let (whole, lexer) = tokens([text.as_bytes()]);
        assert!(lexer.complete() && !lexer.malformed(), "{text}");
        let (cut, lexer) = tokens(rng.cut(text.as_bytes()));
        assert!(lexer.complete() && !lexer.malformed(), "{text}");
        assert_eq!(whole, cut, "{text}");
        let mut rest = cut.into_iter();
        let first = rest.next().unwrap();
        assert_eq!(build(first, &mut rest), expected, "{text}");
    }
}

/// What serde_json accepts is never refused, and a cut document is never complete.
#[test]
fn damaged_documents() {
    let mut rng = Rng(2);
    let mut accepted = 0;
    for _ in 0..4000 {
        let mut text = rng.object(3).into_bytes();
        let at = rng.below(text.len());
        match rng.below(3) {
            0 => text[at] = b"{}[]\",:\\x0 "[rng.below(11)],
            1 => drop(text.remove(at)),
            _ => text.truncate(at),
        }
        let (_, lexer) = tokens_lossy(rng.cut(&text));
        if serde_json::from_slice::<serde_json::Map<String, Value>>(&text).is_ok() {
            accepted += 1;
            assert!(lexer.complete(), "{}", String::from_utf8_lossy(&text));
        }
    }
    assert!(accepted > 100, "{accepted}");
}

/// Runs the tokenizer only for its end state.
fn tokens_lossy<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (usize, Lexer) {
    let (mut lexer, mut count) = (Lexer::new(), 0);
    for mut piece in pieces {
        while lexer.event(&mut piece).is_some() {
            count += 1;
        }
    }
    (count, lexer)
}

#[test]
fn malformed() {
    let table = [
        "[1]",
        "1",
        "\"a\"",
        "nope",
        "<html>",
        "{,}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{'a':1}",
        "{\"a\":1]",
        "{\"a\":[1}",
        "{\"a\":[1,]}",
        "{\"a\":[,1]}",
        "{\"a\" 1}",
        "{\"a\":1 2}",
        "{\"a\":1}{",
        "{\"a\":1}x",
        "{1:2}",
        "{\"a\":\"b\"\"c\"}",
        "}",
        "{\"a\":@}",
        "{\"a\":\u{feff}1}",
    ];
    for text in table {
        assert!(tokens_lossy([text.as_bytes()]).1.malformed(), "{text}");
        assert!(
            tokens_lossy(text.as_bytes().chunks(1)).1.malformed(),
            "{text}"
        );
    }
}

#[test]
fn unfinished_is_neither() {
    for text in [
        "",
        " ",
        "{",
        "{\"",
        "{\"a\\",
        "{\"a\":",
        "{\"a\":1",
        "{\"a\":tru",
        "{\"a\":[[{",
        "{\"a\":1,",
    ] {
        let (_, lexer) = tokens_lossy([text.as_bytes()]);
        assert!(!lexer.complete() && !lexer.malformed(), "{text}");
    }
}

#[test]
fn depth_is_bounded() {
    let nested = |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
    let most = MAX_DEPTH as usize - 1;
    assert!(tokens_lossy([nested(most).as_bytes()]).1.complete());
    assert!(tokens_lossy([nested(most + 1).as_bytes()]).1.malformed());
    let mut lexer = Lexer::new();
    let mut head = &b"{\"messages\":"[..];
    while lexer.event(&mut head).is_some() {}
    let megabyte = vec![b'['; 1 << 20];
    for _ in 0..10 {
        let mut piece = &megabyte[..];
        while lexer.event(&mut piece).is_some() {}
    }
    assert!(lexer.malformed());
}

#[test]
fn text_unescapes() {
    let table: [(&str, &str); 9] = [
        ("plain é", "plain é"),
        ("\\u006dodel", "model"),
        ("\\ud83d\\ude00!", "😀!"),
        ("\\ud83d!", "\u{fffd}!"),
        ("\\ud83d\\n", "\u{fffd}\n"),
        ("\\ud83d\\ud83d\\ude00", "\u{fffd}😀"),
        ("\\ude00", "\u{fffd}"),
        ("end \\ud83d", "end \u{fffd}"),
        ("\\\"\\\\\\/\\b\\f\\n\\r\\t", "\"\\/\u{8}\u{c}\n\r\t"),
    ];
    for (raw, expected) in table {
        for size in [1, 2, 5, 100] {
            let mut text = Text::<64>::new();
            raw.as_bytes()
                .chunks(size)
                .for_each(|part| text.push(part, false));
            text.push(b"", true);
            assert_eq!(text.get(), Some(expected.as_bytes()), "{raw}");
        }
    }
}

#[test]
fn text_that_does_not_fit_is_none() {
    let mut text = Text::<4>::new();
    text.push(b"abcd", true);
    assert_eq!(text.get(), Some(&b"abcd"[..]));
    text.clear();
    text.push(b"abcde", true);
    assert_eq!((text.get(), text.head()), (None, &b"abcd"[..]));
    text.clear();
    assert_eq!(text.get(), Some(&b""[..]));
}

#[test]
fn whole_numbers() {
    let table = [
        ("0", Some(0)),
        ("4294967295", Some(u32::MAX)),
        ("4294967296", None),
        ("-1", None),
        ("1.0", None),
        ("1e3", None),
        ("null", None),
        ("", None),
    ];
    for (text, expected) in table {
        assert_eq!(whole(text.as_bytes()), expected, "{text}");
    }
}
