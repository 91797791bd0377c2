//! The body scanner: facts of an OpenAI-style request while its body streams by.
//!
//! Only top-level keys count, in any order and spelled with any escapes; of a repeated key the last value holds. The
//! prompt is never held: its strings go through the hash as the bytes between the quotes, escapes and all, and are
//! gone. Memory is fixed at construction.
//!
//! Limits: two spellings of one prompt (`é` and `\u00e9`) hash differently; a client does not change its JSON library
//! between two turns. Tool definitions are part of the hash only where they come before the messages, as in the engine's
//! prompt; elsewhere only their size counts.

use super::{Facts, Kind, prompt::Prompt};
use crate::{
    hash::key,
    json::{Event, Lexer, Part, Text, whole},
};

/// A top-level key that means something here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Model,
    Stream,
    MaxTokens,
    MaxCompletionTokens,
    CacheSalt,
    Temperature,
    Choices,
    Tools,
    Prompt,
    Other,
}

impl Field {
    fn from_key(kind: Kind, name: &[u8]) -> Self {
        match (name, kind) {
            (b"model", _) => Self::Model,
            (b"stream", _) => Self::Stream,
            (b"max_tokens", _) => Self::MaxTokens,
            (b"max_completion_tokens", _) => Self::MaxCompletionTokens,
            (b"cache_salt", _) => Self::CacheSalt,
            (b"temperature", _) => Self::Temperature,
            (b"n", _) => Self::Choices,
            (b"tools", Kind::Chat) => Self::Tools,
            (b"messages", Kind::Chat | Kind::Embeddings | Kind::Other)
            | (b"prompt", Kind::Completion | Kind::Embeddings | Kind::Other)
            | (b"input", Kind::Embeddings | Kind::Other) => Self::Prompt,
            _ => Self::Other,
        }
    }
}

/// Keys inside messages whose values the model does not read as text: media, their descriptions, and ids.
fn is_no_text(name: &[u8]) -> bool {
    matches!(
        name,
        b"type"
            | b"image_url"
            | b"image_embeds"
            | b"input_audio"
            | b"audio_url"
            | b"video_url"
            | b"audio"
            | b"file"
            | b"id"
            | b"tool_call_id"
    )
}

/// What a number or a literal says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Scalar {
    flag: Option<bool>,
    whole: Option<u32>,
    /// `0`, `0.0` and so on.
    zero: bool,
}

impl Scalar {
    fn read(word: &[u8]) -> Self {
        Self {
            flag: match word {
                b"true" => Some(true),
                b"false" => Some(false),
                _ => None,
            },
            whole: whole(word),
            zero: !word.is_empty() && word.iter().all(|byte| matches!(byte, b'0' | b'.')),
        }
    }
}

/// Longer than any key and any number that means something here.
const WORD: usize = 32;

/// Model names and salts that are kept whole.
const NAME: usize = 256;

/// An incremental scan of one request body. Reusable: [`Scanner::reset`] starts the next one without allocating.
#[derive(Clone, Debug)]
pub struct Scanner {
    kind: Kind,
    lexer: Lexer,
    /// The top-level key whose value is being read.
    field: Field,
    /// The key or number being read.
    word: Text<WORD>,
    /// Depth of the key below which nothing is text.
    no_text: Option<u32>,
    model: Text<NAME>,
    model_known: bool,
    salt_text: Text<NAME>,
    salt: u64,
    stream: Option<bool>,
    max_tokens: Option<u32>,
    max_completion_tokens: Option<u32>,
    /// `temperature` is 0.
    greedy: bool,
    /// `n` is given, and not 1.
    several: bool,
    prompt: Prompt,
    prompt_began: bool,
}

impl Scanner {
    /// A scanner for a body of this kind; all its memory is allocated here (about 5 KiB).
    #[must_use]
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            lexer: Lexer::new(),
            field: Field::Other,
            word: Text::new(),
            no_text: None,
            model: Text::new(),
            model_known: false,
            salt_text: Text::new(),
            salt: 0,
            stream: None,
            max_tokens: None,
            max_completion_tokens: None,
            greedy: false,
            several: false,
            prompt: Prompt::new(),
            prompt_began: false,
        }
    }

    /// Forgets everything and starts a body of this kind.
    pub fn reset(&mut self, kind: Kind) {
        self.kind = kind;
        self.lexer = Lexer::new();
        self.field = Field::Other;
        self.word.clear();
        self.no_text = None;
        self.model.clear();
        self.model_known = false;
        self.salt_text.clear();
        self.salt = 0;
        self.stream = None;
        self.max_tokens = None;
        self.max_completion_tokens = None;
        self.greedy = false;
        self.several = false;
        self.prompt.reset();
        self.prompt_began = false;
    }

    /// What is known so far.
    #[must_use]
    pub fn facts(&self) -> Facts<'_> {
        Facts {
            model: if self.model_known {
                self.model.get()
            } else {
                None
            },
            stream: self.stream,
            max_tokens: self.max_completion_tokens.or(self.max_tokens),
            salt: self.salt,
            prompt_bytes: self.prompt.bytes(),
            blocks: self.prompt.blocks(),
            repeatable: match self.kind {
                Kind::Chat | Kind::Completion => self.greedy && !self.several,
                Kind::Embeddings => true,
                Kind::Other => false,
            },
            complete: self.lexer.complete(),
            malformed: self.lexer.malformed(),
        }
    }

    /// Reads the next piece of the body.
    pub fn feed(&mut self, piece: &[u8]) {
        let mut rest = piece;
        while let Some(event) = self.lexer.event(&mut rest) {
            match event {
                Event::Open => {}
                Event::Close => self.close(),
                Event::Key(part) => self.key(part),
                Event::Str(part) => self.string(part),
                Event::Scalar(part) => self.scalar(part),
            }
        }
    }

    fn close(&mut self) {
        if self.no_text.is_some_and(|depth| self.lexer.depth() < depth) {
            self.no_text = None;
        }
    }

    fn key(&mut self, part: Part<'_>) {
        let depth = self.lexer.depth();
        if depth > 1 && self.field == Field::Tools {
            return self.tool(part);
        }
        if depth > 1 && self.field != Field::Prompt {
            return;
        }
        if depth == 1 {
            if let Some(field) = self
                .word
                .read(part, |name| Field::from_key(self.kind, name))
            {
                self.begin(field);
            }
        } else if let Some(no_text) = self.word.read(part, is_no_text)
            && self.no_text.is_none_or(|outer| depth <= outer)
        {
            self.no_text = no_text.then_some(depth);
        }
    }

    /// A top-level value is about to come; what an earlier one of the same key said no longer holds.
    fn begin(&mut self, field: Field) {
        self.field = field;
        match field {
            Field::Model => {
                self.model.clear();
                self.model_known = false;
            }
            Field::Stream => self.stream = None,
            Field::MaxTokens => self.max_tokens = None,
            Field::MaxCompletionTokens => self.max_completion_tokens = None,
            Field::CacheSalt => {
                self.salt_text.clear();
                self.salt = 0;
            }
            Field::Temperature => self.greedy = false,
            Field::Choices => self.several = true,
            Field::Prompt => {
                self.no_text = None;
                self.prompt.separate();
                self.prompt_began = true;
            }
            Field::Tools | Field::Other => {}
        }
    }

    fn string(&mut self, part: Part<'_>) {
        match self.field {
            Field::Prompt => {
                if self.no_text.is_some() {
                    self.prompt.mark(part.bytes);
                } else {
                    self.prompt.text(part.bytes);
                }
                if part.last {
                    self.prompt.separate();
                }
            }
            Field::Tools => self.tool(part),
            Field::Model if self.lexer.depth() == 1 => {
                self.model.push(part.bytes, part.last);
                self.model_known = part.last;
            }
            Field::CacheSalt if self.lexer.depth() == 1 => {
                self.salt_text.push(part.bytes, part.last);
                if part.last {
                    self.salt = key(self.salt_text.head());
                }
            }
            _ => {}
        }
    }

    /// A key, string or scalar of the tool definitions.
    fn tool(&mut self, part: Part<'_>) {
        if self.prompt_began {
            self.prompt.count(part.bytes);
        } else {
            self.prompt.text(part.bytes);
            if part.last {
                self.prompt.separate();
            }
        }
    }

    fn scalar(&mut self, part: Part<'_>) {
        match self.field {
            Field::Prompt if self.kind != Kind::Chat => {
                self.prompt.mark(part.bytes);
                if part.last {
                    self.prompt.token();
                }
            }
            Field::Tools => self.tool(part),
            _ if self.lexer.depth() == 1 => {
                let Some(said) = self.word.read(part, Scalar::read) else {
                    return;
                };
                match self.field {
                    Field::Stream => self.stream = said.flag,
                    Field::MaxTokens => self.max_tokens = said.whole,
                    Field::MaxCompletionTokens => self.max_completion_tokens = said.whole,
                    Field::Temperature => self.greedy = said.zero,
                    Field::Choices => self.several = said.whole != Some(1),
                    _ => {}
                }
            }
            _ => {}
        }
    }
}
