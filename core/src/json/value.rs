//! A whole document as a tree: for the configuration, never on the request path.
//!
//! Numbers stay text until a field says what it wants of them, so no float is ever parsed or printed: the tables of that would be a
//! tenth of the WebAssembly module. Structure is as strict as the tokenizer; in addition numbers and literals have to be JSON's, and
//! the text has to be UTF-8. The last of equal keys counts.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write as _};

use super::{Event, Lexer, text};
use crate::number::Number;

/// A JSON value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    /// As written.
    Number(String),
    String(String),
    Array(Vec<Self>),
    Object(Map),
}

/// The fields of an object, in the order of the document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Map(Vec<(String, Value)>);

impl Map {
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.iter()
            .rev()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value)
    }

    pub(crate) fn iter(&self) -> core::slice::Iter<'_, (String, Value)> {
        self.0.iter()
    }
}

impl Value {
    /// Reads a document whose top level is an object; the error is the byte at which it stops being one.
    pub(crate) fn parse(document: &[u8]) -> Result<Map, usize> {
        let text = core::str::from_utf8(document).map_err(|error| error.valid_up_to())?;
        let mut lexer = Lexer::new();
        let mut rest = text.as_bytes();
        let root = read(&mut lexer, &mut rest);
        // What follows the end is taken for a mark that does not belong there.
        let more = lexer.event(&mut rest).is_some() || lexer.malformed() || !lexer.complete();
        match root {
            Some(Self::Object(map)) if !more => Ok(map),
            _ => Err(text.len().saturating_sub(rest.len())),
        }
    }

    pub(crate) fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn is_string(&self) -> bool {
        self.as_str().is_some()
    }

    /// A number that is written as digits alone and fits.
    pub(crate) fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Number(text) => super::digits(text.as_bytes()),
            _ => None,
        }
    }

    /// A number that is not negative, in Q16 to the nearest.
    pub(crate) fn as_q16(&self) -> Option<u64> {
        match self {
            Self::Number(text) => Number::parse(text.as_bytes()).map(Number::q16),
            _ => None,
        }
    }
}

/// The next value. None at the end of a container as well as of a document that is none; the caller's lexer tells.
fn read(lexer: &mut Lexer, rest: &mut &[u8]) -> Option<Value> {
    match lexer.event(rest)? {
        Event::Open if lexer.in_object() => {
            let mut fields = Vec::new();
            while let Some(Event::Key(key)) = lexer.event(rest) {
                fields.push((text::unescaped(key.bytes), read(lexer, rest)?));
            }
            Some(Value::Object(Map(fields)))
        }
        Event::Open => {
            let mut items = Vec::new();
            while let Some(item) = read(lexer, rest) {
                items.push(item);
            }
            Some(Value::Array(items))
        }
        Event::Str(part) => Some(Value::String(text::unescaped(part.bytes))),
        Event::Scalar(part) => {
            let value = scalar(part.bytes);
            if value.is_none() {
                lexer.refuse();
            }
            value
        }
        Event::Close | Event::Key(_) => None,
    }
}

fn scalar(text: &[u8]) -> Option<Value> {
    match text {
        b"null" => Some(Value::Null),
        b"true" => Some(Value::Bool(true)),
        b"false" => Some(Value::Bool(false)),
        _ if is_number(text) => core::str::from_utf8(text)
            .ok()
            .map(|text| Value::Number(text.into())),
        _ => None,
    }
}

/// JSON's grammar of numbers, which is narrower than that of metrics pages.
fn is_number(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let (whole, rest) = split_digits(text);
    let (fraction, rest) = match rest {
        [b'.', rest @ ..] => split_digits(rest),
        _ => (&b"0"[..], rest),
    };
    let (exponent, rest) = match rest {
        [b'e' | b'E', b'+' | b'-', rest @ ..] | [b'e' | b'E', rest @ ..] => split_digits(rest),
        _ => (&b"0"[..], rest),
    };
    let leading_zero = whole.len() > 1 && whole.starts_with(b"0");
    let missing = [whole, fraction, exponent]
        .iter()
        .any(|part| part.is_empty());
    rest.is_empty() && !missing && !leading_zero
}

fn split_digits(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| !byte.is_ascii_digit());
    text.split_at_checked(end.unwrap_or(text.len()))
        .unwrap_or_default()
}

/// As JSON, without spaces.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(true) => f.write_str("true"),
            Self::Bool(false) => f.write_str("false"),
            Self::Number(text) => f.write_str(text),
            Self::String(text) => quoted(f, text),
            Self::Array(items) => {
                f.write_str("[")?;
                for (at, item) in items.iter().enumerate() {
                    f.write_str(if at > 0 { "," } else { "" })?;
                    item.fmt(f)?;
                }
                f.write_str("]")
            }
            Self::Object(fields) => {
                f.write_str("{")?;
                for (at, (name, value)) in fields.iter().enumerate() {
                    f.write_str(if at > 0 { "," } else { "" })?;
                    quoted(f, name)?;
                    f.write_str(":")?;
                    value.fmt(f)?;
                }
                f.write_str("}")
            }
        }
    }
}

fn quoted(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_str("\"")?;
    for letter in text.chars() {
        let code = u32::from(letter);
        if matches!(letter, '"' | '\\') {
            f.write_str("\\")?;
        } else if code < 0x20 {
            f.write_str(if code < 0x10 { "\\u000" } else { "\\u001" })?;
            f.write_char(char::from_digit(code & 0xF, 16).unwrap_or('0'))?;
            continue;
        }
        f.write_char(letter)?;
    }
    f.write_str("\"")
}

#[cfg(test)]
mod tests;
