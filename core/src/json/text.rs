//! A short string kept from the tokenizer, unescaped on the way in.

use super::Part;

/// What a backslash has started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Escape {
    None,
    /// After the backslash.
    Start,
    /// Inside `\uXXXX`: digits still to come and their value so far.
    Hex(u8, u32),
}

/// Stands for what cannot be decoded (a surrogate without its pair).
const REPLACEMENT: u32 = 0xFFFD;

/// Up to `N` bytes of unescaped text, fed in parts.
#[derive(Clone, Debug)]
pub(crate) struct Text<const N: usize> {
    bytes: [u8; N],
    len: usize,
    /// More came than fits.
    overflow: bool,
    escape: Escape,
    /// A high surrogate that waits for its pair; 0 if none.
    high: u32,
}

impl<const N: usize> Text<N> {
    pub(crate) const fn new() -> Self {
        Self {
            bytes: [0; N],
            len: 0,
            overflow: false,
            escape: Escape::None,
            high: 0,
        }
    }

    pub(crate) const fn clear(&mut self) {
        self.len = 0;
        self.overflow = false;
        self.escape = Escape::None;
        self.high = 0;
    }

    /// The text so far; none if it did not fit.
    pub(crate) fn get(&self) -> Option<&[u8]> {
        if self.overflow {
            None
        } else {
            self.bytes.get(..self.len)
        }
    }

    /// As much of the text as fits.
    pub(crate) fn head(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// Reads a word that may come in parts. At its last part answers with what `of` makes of it, and is empty again; a word
    /// that does not fit reads as an empty one.
    pub(crate) fn read<T>(&mut self, part: Part<'_>, of: impl FnOnce(&[u8]) -> T) -> Option<T> {
        // Nearly every key and number is whole and has no escapes: those need no copy.
        let plain = part.last && self.len == 0 && self.escape == Escape::None && self.high == 0;
        if plain && part.bytes.len() <= N && !part.bytes.contains(&b'\\') {
            return Some(of(part.bytes));
        }
        self.push(part.bytes, part.last);
        if !part.last {
            return None;
        }
        let value = of(self.get().unwrap_or_default());
        self.clear();
        Some(value)
    }

    /// Appends the raw bytes of a JSON string. `last` ends the string.
    pub(crate) fn push(&mut self, raw: &[u8], last: bool) {
        if !self.overflow {
            for &byte in raw {
                self.byte(byte);
            }
        }
        if last {
            self.flush_high();
        }
    }

    fn byte(&mut self, byte: u8) {
        match self.escape {
            Escape::None if byte == b'\\' => self.escape = Escape::Start,
            Escape::None => {
                self.flush_high();
                self.put(byte);
            }
            Escape::Start if byte == b'u' => self.escape = Escape::Hex(4, 0),
            Escape::Start => {
                self.escape = Escape::None;
                self.flush_high();
                self.put(match byte {
                    b'b' => 8,
                    b'f' => 12,
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    other => other,
                });
            }
            Escape::Hex(left, value) => {
                // A digit that is none counts as 0: the engine refuses the document anyway.
                let digit = char::from(byte).to_digit(16).unwrap_or(0);
                let value = (value << 4) | digit;
                if left > 1 {
                    self.escape = Escape::Hex(left.saturating_sub(1), value);
                } else {
                    self.escape = Escape::None;
                    self.unit(value);
                }
            }
        }
    }

    /// One UTF-16 unit of a `\u` escape.
    fn unit(&mut self, unit: u32) {
        match unit {
            0xD800..=0xDBFF => {
                self.flush_high();
                self.high = unit;
            }
            0xDC00..=0xDFFF if self.high != 0 => {
                let code = 0x1_0000_u32
                    .saturating_add((self.high & 0x3FF) << 10)
                    .saturating_add(unit & 0x3FF);
                self.high = 0;
                self.code(code);
            }
            _ => {
                self.flush_high();
                self.code(unit);
            }
        }
    }

    fn flush_high(&mut self) {
        if self.high != 0 {
            self.high = 0;
            self.code(REPLACEMENT);
        }
    }

    fn code(&mut self, code: u32) {
        let mut utf8 = [0; 4];
        let letter = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
        for byte in letter.encode_utf8(&mut utf8).bytes() {
            self.put(byte);
        }
    }

    fn put(&mut self, byte: u8) {
        if let Some(slot) = self.bytes.get_mut(self.len) {
            *slot = byte;
            self.len = self.len.saturating_add(1);
        } else {
            self.overflow = true;
        }
    }
}
