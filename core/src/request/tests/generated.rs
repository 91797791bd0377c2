//! Generated bodies against a naive model of the prompt stream, and damaged ones.

use alloc::{
    format,
    string::{String, ToString},
    vec,
    vec::Vec,
};

use serde_json::Value;

use super::{Facts, facts, scan};
use crate::{
    json::tests::Rng,
    request::{Block, Kind, Scanner, key},
};

/// A generated chat body and the prompt stream it stands for: bytes and whether they count.
struct Case {
    body: String,
    stream: Vec<(u8, bool)>,
}

impl Case {
    fn push(&mut self, raw: &str, counts: bool) {
        self.body.push('"');
        self.body.push_str(raw);
        self.body.push('"');
        self.stream.extend(raw.bytes().map(|byte| (byte, counts)));
        self.stream.push((0, false));
    }

    fn generate(rng: &mut Rng) -> Self {
        let mut case = Self {
            body: String::from("{"),
            stream: vec![(0, false)],
        };
        let scalars = [
            "\"model\":\"m\\u002f1\"",
            "\"stream\": true",
            "\"max_tokens\":12",
            "\"cache_salt\":\"s\"",
            "\"model\" : \"last\"",
            "\"max_completion_tokens\":-1",
            "\"stream\":null",
        ];
        let place = rng.below(6);
        for member in 0..6 {
            if member > 0 {
                case.body.push(',');
            }
            if member == place {
                case.messages(rng);
            } else if rng.below(3) > 0 {
                case.body.push_str(rng.pick(&scalars));
            } else {
                let value = rng.value(3);
                case.body
                    .push_str(&format!("\"x{}\":{value}", rng.string()));
            }
        }
        case.body.push('}');
        case
    }

    fn messages(&mut self, rng: &mut Rng) {
        self.body.push_str("\"messages\" : [");
        for i in 0..rng.below(6) {
            self.body
                .push_str(if i > 0 { ", {\"role\":" } else { "{\"role\":" });
            self.push(rng.pick(&["user", "system", "assistant"]), true);
            self.body.push_str(", \"content\" : ");
            let text = |rng: &mut Rng| (0..rng.below(60)).map(|_| rng.string()).collect::<String>();
            match rng.below(3) {
                0 | 1 => {
                    let text = text(rng);
                    self.push(&text, true);
                }
                _ => {
                    self.body.push_str("[{\"type\":");
                    self.push("text", false);
                    self.body.push_str(",\"text\":");
                    let text = text(rng);
                    self.push(&text, true);
                    self.body.push_str("},{\"image_url\":{\"url\":");
                    self.push("data:image/png;base64,AAAA", false);
                    self.body.push_str("}}]");
                }
            }
            self.body.push_str(",\"n\":null}");
        }
        self.body.push(']');
    }

    /// What the scanner should say, computed the slow way.
    fn expected(&self) -> Facts {
        let body: Value = serde_json::from_str(&self.body).unwrap();
        let whole = |name: &str| {
            body[name]
                .as_u64()
                .and_then(|value| u32::try_from(value).ok())
        };
        let (mut bytes, mut hashed, mut blocks, mut end) = (0_u64, vec![], vec![], 256);
        for (byte, counts) in &self.stream {
            hashed.push(*byte);
            bytes += u64::from(*counts);
            if *counts && bytes == end {
                blocks.push(Block {
                    hash: key(&hashed),
                    end: end as u32,
                });
                end += if end < 4096 { 256 } else { 1024 };
            }
        }
        Facts {
            model: body["model"].as_str().map(ToString::to_string),
            stream: body["stream"].as_bool(),
            max_tokens: whole("max_completion_tokens").or_else(|| whole("max_tokens")),
            salt: body["cache_salt"]
                .as_str()
                .map_or(0, |salt| key(salt.as_bytes())),
            prompt_bytes: bytes,
            blocks,
            complete: true,
            malformed: false,
        }
    }
}

#[test]
fn agrees_with_the_naive_model_however_it_is_cut() {
    let mut rng = Rng(3);
    let (mut scanner, mut blocks) = (Scanner::new(Kind::Chat), 0);
    for _ in 0..250 {
        let case = Case::generate(&mut rng);
        let expected = case.expected();
        scanner.reset(Kind::Chat);
        rng.cut(case.body.as_bytes())
            .into_iter()
            .for_each(|piece| scanner.feed(piece));
        assert_eq!(facts(&scanner), expected, "{}", case.body);
        assert_eq!(scan(Kind::Chat, &case.body), expected, "{}", case.body);
        blocks += expected.blocks.len();
    }
    assert!(blocks > 500, "{blocks}");
}

#[test]
fn noise_does_no_harm() {
    let mut rng = Rng(4);
    let mut scanner = Scanner::new(Kind::Chat);
    for round in 0..600 {
        let kind = [Kind::Chat, Kind::Completion, Kind::Other][round % 3];
        let mut body = Case::generate(&mut rng).body.into_bytes();
        for _ in 0..rng.below(4) {
            let at = rng.below(body.len());
            body[at] = rng.below(256) as u8;
        }
        if round % 10 == 0 {
            body.iter_mut()
                .for_each(|byte| *byte = rng.below(256) as u8);
        }
        scanner.reset(kind);
        rng.cut(&body)
            .into_iter()
            .for_each(|piece| scanner.feed(piece));
        let facts = scanner.facts();
        assert!(facts.prompt_bytes <= 4 * body.len() as u64);
        assert!(facts.blocks.is_sorted_by(|a, b| a.end < b.end));
        assert!(
            facts
                .blocks
                .last()
                .is_none_or(|block| u64::from(block.end) <= facts.prompt_bytes)
        );
    }
}
