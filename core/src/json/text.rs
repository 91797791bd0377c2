//! A short string kept from the tokenizer, unescaped on the way in.

use alloc::string::String;

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

/// Undoes the escapes of one string that is fed in parts. Apart from the text it goes to, so that all lengths share one code.
#[derive(Clone, Debug)]
struct Unescaper {
    len: usize,
    /// More came than fits.
    overflow: bool,
    escape: Escape,
    /// A high surrogate that waits for its pair; 0 if none.
    high: u32,
}

/// Up to `N` bytes of unescaped text, fed in parts.
#[derive(Clone, Debug)]
pub(crate) struct Text<const N: usize> {
    bytes: [u8; N],
    state: Unescaper,
}

impl<const N: usize> Text<N> {
    pub(crate) const fn new() -> Self {
        Self {
            bytes: [0; N],
            state: Unescaper::new(),
        }
    }

    pub(crate) const fn clear(&mut self) {
        self.state = Unescaper::new();
    }

    /// The text so far; none if it did not fit.
    pub(crate) fn get(&self) -> Option<&[u8]> {
        if self.state.overflow {
            None
        } else {
            self.bytes.get(..self.state.len)
        }
    }

    /// As much of the text as fits.
    pub(crate) fn head(&self) -> &[u8] {
        self.bytes.get(..self.state.len).unwrap_or_default()
    }

    /// Reads a word that may come in parts. At its last part answers with what `of` makes of it, and is empty again; a word
    /// that does not fit reads as an empty one.
    pub(crate) fn read<T>(&mut self, part: Part<'_>, of: impl FnOnce(&[u8]) -> T) -> Option<T> {
        // Nearly every key and number is whole and has no escapes: those need no copy.
        let plain = part.last && self.state.is_fresh();
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
        self.state.push(raw, last, &mut self.bytes);
    }
}

/// The text of a whole JSON string; what no escape can mean is replaced.
pub(super) fn unescaped(raw: &[u8]) -> String {
    // An escape is never shorter than what it stands for.
    let mut bytes = alloc::vec![0; raw.len()];
    let mut state = Unescaper::new();
    state.push(raw, true, &mut bytes);
    bytes.truncate(state.len);
    String::from_utf8(bytes).unwrap_or_default()
}

impl Unescaper {
    const fn new() -> Self {
        Self {
            len: 0,
            overflow: false,
            escape: Escape::None,
            high: 0,
        }
    }

    fn is_fresh(&self) -> bool {
        self.len == 0 && self.escape == Escape::None && self.high == 0
    }

    fn push(&mut self, raw: &[u8], last: bool, out: &mut [u8]) {
        if !self.overflow {
            for &byte in raw {
                self.byte(byte, out);
            }
        }
        if last {
            self.flush_high(out);
        }
    }

    fn byte(&mut self, byte: u8, out: &mut [u8]) {
        match self.escape {
            Escape::None if byte == b'\\' => self.escape = Escape::Start,
            Escape::None => {
                self.flush_high(out);
                self.put(byte, out);
            }
            Escape::Start if byte == b'u' => self.escape = Escape::Hex(4, 0),
            Escape::Start => {
                self.escape = Escape::None;
                self.flush_high(out);
                let meant = match byte {
                    b'b' => 8,
                    b'f' => 12,
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    other => other,
                };
                self.put(meant, out);
            }
            Escape::Hex(left, value) => {
                // A digit that is none counts as 0: the engine refuses the document anyway.
                let digit = char::from(byte).to_digit(16).unwrap_or(0);
                let value = (value << 4) | digit;
                if left > 1 {
                    self.escape = Escape::Hex(left.saturating_sub(1), value);
                } else {
                    self.escape = Escape::None;
                    self.unit(value, out);
                }
            }
        }
    }

    /// One UTF-16 unit of a `\u` escape.
    fn unit(&mut self, unit: u32, out: &mut [u8]) {
        match unit {
            0xD800..=0xDBFF => {
                self.flush_high(out);
                self.high = unit;
            }
            0xDC00..=0xDFFF if self.high != 0 => {
                let code = 0x1_0000_u32
                    .saturating_add((self.high & 0x3FF) << 10)
                    .saturating_add(unit & 0x3FF);
                self.high = 0;
                self.code(code, out);
            }
            _ => {
                self.flush_high(out);
                self.code(unit, out);
            }
        }
    }

    fn flush_high(&mut self, out: &mut [u8]) {
        if self.high != 0 {
            self.high = 0;
            self.code(REPLACEMENT, out);
        }
    }

    fn code(&mut self, code: u32, out: &mut [u8]) {
        let mut utf8 = [0; 4];
        let letter = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
        for byte in letter.encode_utf8(&mut utf8).bytes() {
            self.put(byte, out);
        }
    }

    fn put(&mut self, byte: u8, out: &mut [u8]) {
        if let Some(slot) = out.get_mut(self.len) {
            *slot = byte;
            self.len = self.len.saturating_add(1);
        } else {
            self.overflow = true;
        }
    }
}
