//! What a response tells: tokens as they stream by, and the usage the engine reports.
//!
//! Inputs: the content type and the body in arbitrary pieces. Output: one [`Seen`] a piece. Shapes that are understood:
//! OpenAI chat/completions and completions (streamed or not), the Responses API, and Anthropic's messages.
//!
//! Limits: the body is read as sent, so a compressed response tells nothing.

mod message;
mod sse;

use message::Message;
use sse::{Line, Lines};

/// How the response body has to be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Body {
    /// `text/event-stream`: server-sent events.
    Sse,
    /// `application/json`: one object.
    Json,
    /// Anything else; nothing is read from it.
    #[default]
    Opaque,
}

impl Body {
    /// Chooses by the `content-type` header; parameters and case do not matter.
    #[must_use]
    pub fn from_content_type(value: &[u8]) -> Self {
        let end = crate::find::byte(b';', value).unwrap_or(value.len());
        let media = value.get(..end).unwrap_or_default().trim_ascii();
        if media.eq_ignore_ascii_case(b"text/event-stream") {
            Self::Sse
        } else if media.eq_ignore_ascii_case(b"application/json") {
            Self::Json
        } else {
            Self::Opaque
        }
    }
}

/// What one piece of a response body told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Events that carried output (text, reasoning, tool calls) and ended in this piece. Engines may put several tokens
    /// in one event, so this is a lower bound; 0 for bodies that are not streamed.
    pub tokens: u32,
    /// The usage report that ended in this piece; the last one if there are several.
    pub usage: Option<Usage>,
    /// The response is whole: `[DONE]` or the API's own last event for a stream, the end of the object for JSON.
    pub done: bool,
}

/// Token counts as the engine reports them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the prompt, cached ones included.
    pub prompt_tokens: u32,
    /// Tokens generated.
    pub completion_tokens: u32,
    /// Prompt tokens that came from the prefix cache; none if the engine does not say.
    pub cached_tokens: Option<u32>,
}

/// Reads one response body. Fixed size, no allocation, a few hundred bytes.
#[derive(Clone, Debug)]
pub struct Observer {
    body: Body,
    lines: Lines,
    message: Message,
}

impl Observer {
    /// An observer at the start of a body.
    #[must_use]
    pub const fn new(body: Body) -> Self {
        Self {
            body,
            lines: Lines::new(),
            message: Message::new(),
        }
    }

    /// How it reads.
    pub const fn body(&self) -> Body {
        self.body
    }

    /// Reads the next piece of the body.
    pub fn feed(&mut self, piece: &[u8]) -> Seen {
        match self.body {
            Body::Sse => self.events(piece),
            Body::Json => self.object(piece),
            Body::Opaque => Seen::default(),
        }
    }

    fn object(&mut self, piece: &[u8]) -> Seen {
        let Some(told) = self.message.feed(piece) else {
            return Seen::default();
        };
        Seen {
            tokens: 0,
            usage: told.usage,
            done: true,
        }
    }

    fn events(&mut self, piece: &[u8]) -> Seen {
        let mut seen = Seen::default();
        let mut rest = piece;
        while let Some(line) = self.lines.next(&mut rest) {
            match line {
                Line::Data(bytes) => {
                    let Some(told) = self.message.feed(bytes) else {
                        continue;
                    };
                    seen.tokens = seen.tokens.saturating_add(u32::from(told.output));
                    seen.usage = told.usage.or(seen.usage);
                    seen.done |= told.stopped;
                }
                Line::Done => seen.done = true,
                Line::EndOfEvent => self.message.next(),
            }
        }
        seen
    }
}

#[cfg(test)]
mod tests;
