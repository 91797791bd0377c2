//! Server-sent events: finds the data lines of a stream that is cut anywhere, without holding any of it.
//!
//! Source: the WHATWG HTML standard, "Server-sent events". Limits: a lone carriage return does not end a line (no engine
//! sends that); of an event's fields only `data` is read.

use crate::find;

const FIELD: &[u8] = b"data:";
const DONE: &[u8] = b"[DONE]";

/// Something in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// Part of the event's data. Several data lines of one event follow one another.
    Data(&'a [u8]),
    /// The data `[DONE]`.
    Done,
    /// An empty line: what follows belongs to the next event.
    EndOfEvent,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// This many bytes of `data:` have matched since the start of the line.
    Field(usize),
    /// After `data:`: this many bytes of `[DONE]` have matched, leading spaces not counted.
    Value(usize),
    /// In data.
    Data,
    /// In a line that does not matter: a comment or another field.
    Skip,
}

/// Cuts a stream into lines.
#[derive(Clone, Debug)]
pub(super) struct Lines {
    state: State,
}

impl Lines {
    pub(super) const fn new() -> Self {
        Self {
            state: State::Field(0),
        }
    }

    /// Takes the next line, or what is there of it, off the front of `input`.
    pub(super) fn next<'a>(&mut self, input: &mut &'a [u8]) -> Option<Line<'a>> {
        loop {
            match self.state {
                State::Field(matched) => {
                    let byte = take(input)?;
                    if byte == b'\n' {
                        self.state = State::Field(0);
                        if matched == 0 {
                            return Some(Line::EndOfEvent);
                        }
                    } else if byte == b'\r' && matched == 0 {
                        // Part of an empty line's `\r\n`.
                    } else if FIELD.get(matched) == Some(&byte) {
                        let matched = matched.saturating_add(1);
                        self.state = if matched == FIELD.len() {
                            State::Value(0)
                        } else {
                            State::Field(matched)
                        };
                    } else {
                        self.state = State::Skip;
                    }
                }
                State::Value(matched) => {
                    let byte = *input.first()?;
                    if byte == b' ' && matched == 0 {
                        take(input);
                    } else if DONE.get(matched) == Some(&byte) {
                        take(input);
                        let matched = matched.saturating_add(1);
                        self.state = State::Value(matched);
                        if matched == DONE.len() {
                            self.state = State::Skip;
                            return Some(Line::Done);
                        }
                    } else {
                        self.state = State::Data;
                        // An event's data is an object; what began like `[DONE]` and is not is refused as such.
                        if matched > 0 {
                            return DONE.get(..matched).map(Line::Data);
                        }
                    }
                }
                State::Data => {
                    if input.is_empty() {
                        return None;
                    }
                    return Some(Line::Data(self.line(input)));
                }
                State::Skip => {
                    if input.is_empty() {
                        return None;
                    }
                    self.line(input);
                }
            }
        }
    }

    /// The rest of the line as far as it is there, its line feed included: to JSON that is white space.
    fn line<'a>(&mut self, input: &mut &'a [u8]) -> &'a [u8] {
        let Some(at) = find::byte(b'\n', input) else {
            return core::mem::take(input);
        };
        self.state = State::Field(0);
        let (line, rest) = input
            .split_at_checked(at.saturating_add(1))
            .unwrap_or_default();
        *input = rest;
        line
    }
}

fn take(input: &mut &[u8]) -> Option<u8> {
    let (&byte, rest) = input.split_first()?;
    *input = rest;
    Some(byte)
}
