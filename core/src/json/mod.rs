//! An incremental JSON tokenizer in constant memory, shared by the request scanner and the response observer.
//!
//! Text goes in in arbitrary pieces, tokens come out as slices of those pieces: nothing is copied and nothing allocated.
//! A string that spans pieces, or is larger than any buffer, arrives in several parts.
//!
//! Limits, all on the tolerant side because the engine behind is the one that judges: control characters and invalid
//! UTF-8 inside strings pass, numbers and literals are only checked by their alphabet. The top level has to be an object.
//! Deeper than [`MAX_DEPTH`] levels is refused, which bounds the memory for any input.

mod text;
mod value;

pub(crate) use text::Text;
pub(crate) use value::{Map, Value};

use crate::find;

/// Nesting that is followed. Python's and Rust's common parsers stop in the same order of magnitude.
pub(crate) const MAX_DEPTH: u32 = 128;

/// A token, or a part of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event<'a> {
    /// `{` or `[`; [`Lexer::depth`] already counts it.
    Open,
    /// `}` or `]`; [`Lexer::depth`] no longer counts it.
    Close,
    /// Part of an object's key, without quotes, still escaped.
    Key(Part<'a>),
    /// Part of a string value, without quotes, still escaped.
    Str(Part<'a>),
    /// Part of a number, `true`, `false` or `null`.
    Scalar(Part<'a>),
}

/// Bytes of a token. A token is the concatenation of its parts up to and including the one with `last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) last: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the top-level `{`.
    Start,
    /// After `{`: a key or `}`.
    FirstKey,
    /// After `,` in an object.
    NextKey,
    /// After a key.
    Colon,
    /// After `:`, or after `,` in an array.
    Value,
    /// After `[`: a value or `]`.
    FirstItem,
    /// After a value: `,` or the end of the container.
    Comma,
    Key,
    Str,
    Scalar,
    /// After the top-level object.
    End,
    Malformed,
}

/// The tokenizer. One per document.
#[derive(Clone, Debug)]
pub(crate) struct Lexer {
    state: State,
    /// The piece ended after a backslash: the next byte of the string is not its end.
    escaped: bool,
    depth: u32,
    /// One bit a level, the innermost lowest: 1 for an object.
    objects: u128,
}

impl Lexer {
    pub(crate) const fn new() -> Self {
        Self {
            state: State::Start,
            escaped: false,
            depth: 0,
            objects: 0,
        }
    }

    /// Containers open at this point.
    pub(crate) const fn depth(&self) -> u32 {
        self.depth
    }

    /// The top-level object was closed.
    pub(crate) fn complete(&self) -> bool {
        self.state == State::End
    }

    /// The text is no JSON object. No event comes after this.
    pub(crate) fn malformed(&self) -> bool {
        self.state == State::Malformed
    }

    /// Ends a document that its reader finds wrong.
    const fn refuse(&mut self) {
        self.state = State::Malformed;
    }

    /// Takes the next event off the front of `input`; none when `input` is used up or the text is malformed.
    #[inline]
    pub(crate) fn event<'a>(&mut self, input: &mut &'a [u8]) -> Option<Event<'a>> {
        loop {
            match self.state {
                State::Key | State::Str => return self.string(input),
                State::Scalar => return self.scalar(input),
                State::Malformed => return None,
                _ => {}
            }
            let (&byte, rest) = input.split_first()?;
            if matches!(byte, b'-' | b'0'..=b'9' | b't' | b'f' | b'n' | b'N' | b'I') {
                // A scalar has no opening mark: its first byte stays in the input.
                self.state = if self.wants_value() {
                    State::Scalar
                } else {
                    State::Malformed
                };
                continue;
            }
            *input = rest;
            if let Some(event) = self.mark(byte) {
                return Some(event);
            }
        }
    }

    const fn wants_value(&self) -> bool {
        matches!(self.state, State::Value | State::FirstItem)
    }

    /// One byte between tokens.
    fn mark(&mut self, byte: u8) -> Option<Event<'static>> {
        match (byte, self.state) {
            (b' ' | b'\n' | b'\r' | b'\t', _) => return None,
            (b'"', State::FirstKey | State::NextKey) => self.state = State::Key,
            (b'"', State::Value | State::FirstItem) => self.state = State::Str,
            (b':', State::Colon) => self.state = State::Value,
            (b',', State::Comma) => {
                self.state = if self.in_object() {
                    State::NextKey
                } else {
                    State::Value
                }
            }
            (b'{', State::Start | State::Value | State::FirstItem) => return self.open(true),
            (b'[', State::Value | State::FirstItem) => return self.open(false),
            (b'}', State::FirstKey) => return self.close(),
            (b'}', State::Comma) if self.in_object() => return self.close(),
            (b']', State::FirstItem) => return self.close(),
            (b']', State::Comma) if !self.in_object() => return self.close(),
            _ => self.state = State::Malformed,
        }
        None
    }

    const fn in_object(&self) -> bool {
        self.objects & 1 == 1
    }

    fn open(&mut self, object: bool) -> Option<Event<'static>> {
        if self.depth >= MAX_DEPTH {
            self.state = State::Malformed;
            return None;
        }
        self.depth = self.depth.saturating_add(1);
        self.objects = (self.objects << 1) | u128::from(object);
        self.state = if object {
            State::FirstKey
        } else {
            State::FirstItem
        };
        Some(Event::Open)
    }

    fn close(&mut self) -> Option<Event<'static>> {
        self.depth = self.depth.saturating_sub(1);
        self.objects >>= 1;
        self.state = if self.depth == 0 {
            State::End
        } else {
            State::Comma
        };
        Some(Event::Close)
    }

    /// The rest of a string: everything up to its closing quote, or all of `input`.
    fn string<'a>(&mut self, input: &mut &'a [u8]) -> Option<Event<'a>> {
        let bytes = *input;
        if bytes.is_empty() {
            return None;
        }
        let mut from = usize::from(self.escaped);
        self.escaped = false;
        let part = loop {
            let rest = bytes.get(from..).unwrap_or_default();
            let Some(at) = find::either(b'"', b'\\', rest) else {
                *input = &[];
                break Part { bytes, last: false };
            };
            let at = from.saturating_add(at);
            if bytes.get(at) == Some(&b'"') {
                let (text, rest) = bytes.split_at_checked(at).unwrap_or_default();
                *input = rest.get(1..).unwrap_or_default();
                break Part {
                    bytes: text,
                    last: true,
                };
            }
            from = at.saturating_add(2);
            if from > bytes.len() {
                self.escaped = true;
                *input = &[];
                break Part { bytes, last: false };
            }
        };
        let event = if self.state == State::Key {
            Event::Key(part)
        } else {
            Event::Str(part)
        };
        if part.last {
            self.state = if self.state == State::Key {
                State::Colon
            } else {
                State::Comma
            };
        }
        Some(event)
    }

    /// The rest of a number or literal: it ends before the first byte that cannot belong to one.
    fn scalar<'a>(&mut self, input: &mut &'a [u8]) -> Option<Event<'a>> {
        let bytes = *input;
        if bytes.is_empty() {
            return None;
        }
        let inside = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
        let end = bytes.iter().position(|byte| !inside(byte));
        let (text, rest) = bytes
            .split_at_checked(end.unwrap_or(bytes.len()))
            .unwrap_or_default();
        *input = rest;
        if end.is_some() {
            self.state = State::Comma;
        }
        Some(Event::Scalar(Part {
            bytes: text,
            last: end.is_some(),
        }))
    }
}

/// Reads a number that is whole, not negative and fits.
pub(crate) fn whole(digits: &[u8]) -> Option<u32> {
    self::digits(digits).and_then(|value| u32::try_from(value).ok())
}

/// Reads a number that is written as digits alone and fits.
pub(crate) fn digits(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |value, byte| {
        let digit = char::from(*byte).to_digit(10)?;
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

#[cfg(test)]
pub(crate) mod tests;
