//! One JSON object of a response: does it carry output, and does it report usage?
//!
//! Names count only at their place in the object, so generated text that looks like a usage report is just text.

use super::Usage;
use crate::json::{Event, Lexer, Part, Text, whole};

/// Levels whose keys are looked at. The deepest that matters is an item of `choices[].delta.tool_calls[]`.
const LEVELS: usize = 5;

/// Longer than any key and any number that means something here.
const WORD: usize = 32;

/// A key that means something, or an array's place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Name {
    #[default]
    Other,
    Choices,
    Delta,
    /// A string that is output: `content`, `text`, `reasoning_content` and the like.
    Output,
    /// A list whose items are output: `tool_calls`.
    Calls,
    Type,
    /// An object that wraps the one with the usage.
    Wrapper,
    Usage,
    PromptTokens,
    CompletionTokens,
    Details,
    CachedTokens,
}

impl Name {
    fn from_key(key: &[u8]) -> Self {
        match key {
            b"choices" => Self::Choices,
            b"delta" => Self::Delta,
            b"content" | b"text" | b"reasoning_content" | b"reasoning" | b"refusal"
            | b"thinking" | b"partial_json" => Self::Output,
            b"tool_calls" => Self::Calls,
            b"type" => Self::Type,
            b"message" | b"response" => Self::Wrapper,
            b"usage" => Self::Usage,
            b"prompt_tokens" | b"input_tokens" => Self::PromptTokens,
            b"completion_tokens" | b"output_tokens" => Self::CompletionTokens,
            b"prompt_tokens_details" | b"input_tokens_details" => Self::Details,
            b"cached_tokens" => Self::CachedTokens,
            _ => Self::Other,
        }
    }
}

/// What a whole object told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// It carries output.
    pub(super) output: bool,
    /// It reports usage.
    pub(super) usage: Option<Usage>,
    /// It says that the response has ended (Anthropic and the Responses API have no `[DONE]`).
    pub(super) stopped: bool,
}

/// Reads objects one after the other.
#[derive(Clone, Debug)]
pub(super) struct Message {
    lexer: Lexer,
    path: [Name; LEVELS],
    word: Text<WORD>,
    output: bool,
    stopped: bool,
    prompt_tokens: Option<u32>,
    completion_tokens: Option<u32>,
    cached_tokens: Option<u32>,
    /// The usage of earlier objects: Anthropic reports the prompt in the first and the output in the last.
    before: Usage,
}

impl Message {
    pub(super) const fn new() -> Self {
        Self {
            lexer: Lexer::new(),
            path: [Name::Other; LEVELS],
            word: Text::new(),
            output: false,
            stopped: false,
            prompt_tokens: None,
            completion_tokens: None,
            cached_tokens: None,
            before: Usage {
                prompt_tokens: 0,
                completion_tokens: 0,
                cached_tokens: None,
            },
        }
    }

    /// Starts the next object, whatever became of this one.
    pub(super) const fn next(&mut self) {
        let before = self.before;
        *self = Self::new();
        self.before = before;
    }

    /// Reads on; answers once, when the object ends.
    pub(super) fn feed(&mut self, piece: &[u8]) -> Option<Told> {
        let mut rest = piece;
        let mut told = None;
        while let Some(event) = self.lexer.event(&mut rest) {
            match event {
                Event::Open => self.open(),
                Event::Close if self.lexer.complete() => told = Some(self.told()),
                Event::Close => {}
                Event::Key(part) => self.key(part),
                Event::Str(part) => self.string(part),
                Event::Scalar(part) => self.scalar(part),
            }
        }
        told
    }

    fn told(&mut self) -> Told {
        let usage = if self.prompt_tokens.is_some() || self.completion_tokens.is_some() {
            let usage = Usage {
                prompt_tokens: self.prompt_tokens.unwrap_or(self.before.prompt_tokens),
                completion_tokens: self
                    .completion_tokens
                    .unwrap_or(self.before.completion_tokens),
                cached_tokens: self.cached_tokens.or(self.before.cached_tokens),
            };
            self.before = usage;
            Some(usage)
        } else {
            None
        };
        Told {
            output: self.output,
            usage,
            stopped: self.stopped,
        }
    }

    fn slot(&mut self) -> Option<&mut Name> {
        let level = usize::try_from(self.lexer.depth()).ok()?.checked_sub(1)?;
        self.path.get_mut(level)
    }

    /// The names from the top to the value that comes, if it is not too deep to matter.
    fn place(&self) -> &[Name] {
        let depth = usize::try_from(self.lexer.depth()).unwrap_or(usize::MAX);
        self.path.get(..depth).unwrap_or_default()
    }

    fn open(&mut self) {
        if let Some(slot) = self.slot() {
            // An array's items have no key.
            *slot = Name::Other;
        }
        // `open` comes after the depth has grown, so the container's own place is one up.
        let depth = usize::try_from(self.lexer.depth())
            .unwrap_or(usize::MAX)
            .saturating_sub(1);
        let place = self.path.get(..depth).unwrap_or_default();
        self.output |= matches!(place, [Name::Choices, _, Name::Delta, Name::Calls, _]);
    }

    fn key(&mut self, part: Part<'_>) {
        if self.slot().is_some()
            && let Some(name) = self.word.read(part, Name::from_key)
            && let Some(slot) = self.slot()
        {
            *slot = name;
        }
    }

    fn string(&mut self, part: Part<'_>) {
        match self.place() {
            [Name::Choices, _, Name::Delta, Name::Output]
            | [Name::Choices, _, Name::Output]
            | [Name::Delta, Name::Output]
            | [Name::Delta] => {
                self.output |= !part.bytes.is_empty();
            }
            [Name::Type] => {
                let stops = |word: &[u8]| matches!(word, b"message_stop" | b"response.completed");
                self.stopped = self.word.read(part, stops).unwrap_or(false);
            }
            _ => {}
        }
    }

    fn scalar(&mut self, part: Part<'_>) {
        let place = match self.place() {
            [Name::Usage, rest @ ..] | [Name::Wrapper, Name::Usage, rest @ ..] => rest,
            _ => return,
        };
        let name = match place {
            [name @ (Name::PromptTokens | Name::CompletionTokens)]
            | [Name::Details, name @ Name::CachedTokens] => *name,
            _ => return,
        };
        let Some(count) = self.word.read(part, whole) else {
            return;
        };
        match name {
            Name::PromptTokens => self.prompt_tokens = count,
            Name::CompletionTokens => self.completion_tokens = count,
            _ => self.cached_tokens = count,
        }
    }
}
