//! The rest of a metrics line after the name: labels and value.

use crate::find;
use crate::number::Number;

/// Labels and value of one sample, as written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample<'a> {
    /// Between the braces; empty if there are none.
    labels: &'a [u8],
    value: &'a [u8],
}

impl<'a> Sample<'a> {
    /// Splits what follows a name. None if the name goes on (so it is another one) or the line is cut short.
    pub(super) fn parse(after_name: &'a [u8]) -> Option<Self> {
        let (labels, rest) = match after_name {
            [b'{', inside @ ..] => {
                let end = labels_end(inside)?;
                (inside.get(..end)?, inside.get(end.checked_add(1)?..)?)
            }
            [b' ' | b'\t', rest @ ..] => (&[][..], rest),
            _ => return None,
        };
        // A timestamp may follow the value.
        let value = rest
            .split(u8::is_ascii_whitespace)
            .find(|word| !word.is_empty())?;
        Some(Self { labels, value })
    }

    pub(super) fn value(&self) -> Option<Number> {
        Number::parse(self.value)
    }

    /// The value of a label as written between the quotes.
    pub(super) fn label(&self, wanted: &[u8]) -> Option<&'a [u8]> {
        let mut rest = self.labels;
        while let Some(equals) = find::byte(b'=', rest) {
            let name = rest.get(..equals)?.trim_ascii();
            let quoted = rest
                .get(equals.checked_add(1)?..)?
                .trim_ascii_start()
                .strip_prefix(b"\"")?;
            let end = quote_end(quoted)?;
            if name == wanted {
                return quoted.get(..end);
            }
            let after = quoted.get(end.checked_add(1)?..)?.trim_ascii_start();
            rest = after.strip_prefix(b",").unwrap_or(after);
        }
        None
    }
}

/// Where the braces close; braces inside quotes do not count.
fn labels_end(labels: &[u8]) -> Option<usize> {
    let mut at = 0_usize;
    loop {
        let rest = labels.get(at..)?;
        let found = find::either(b'"', b'}', rest)?;
        at = at.checked_add(found)?;
        if labels.get(at) == Some(&b'}') {
            return Some(at);
        }
        at = at.checked_add(1)?;
        at = at
            .checked_add(quote_end(labels.get(at..)?)?)?
            .checked_add(1)?;
    }
}

/// Where the quote closes that `text` begins after.
fn quote_end(text: &[u8]) -> Option<usize> {
    let mut at = 0_usize;
    loop {
        let found = find::either(b'"', b'\\', text.get(at..)?)?;
        at = at.checked_add(found)?;
        if text.get(at) == Some(&b'"') {
            return Some(at);
        }
        at = at.checked_add(2)?;
    }
}

#[cfg(test)]
mod tests {
    use super::{Number, Sample};

    fn value(after_name: &str) -> Option<u64> {
        Sample::parse(after_name.as_bytes())?
            .value()
            .map(Number::whole)
    }

    #[test]
    fn values() {
        let table = [
            (" 3", Some(3)),
            ("\t3.0 1795149585000", Some(3)),
            ("{a=\"b\"} 4\r", Some(4)),
            ("{a=\"}\",b=\"\\\"}\\\\\"}5", Some(5)),
            ("{} 6", Some(6)),
            ("_by_reason{a=\"b\"} 7", None),
            ("{a=\"b\"}", None),
            ("{a=\"b", None),
            ("{a=\"b\\", None),
            ("", None),
            (" NaN", None),
            (" ", None),
        ];
        for (text, expected) in table {
            assert_eq!(value(text), expected, "{text}");
        }
    }

    #[test]
    fn labels() {
        let sample = Sample::parse(
            br#"{_block_size_resolved="True",block_size="32", x = "a=\"b\",c" ,last="}"} 1"#,
        )
        .unwrap();
        assert_eq!(sample.label(b"block_size"), Some(&b"32"[..]));
        assert_eq!(sample.label(b"x"), Some(&br#"a=\"b\",c"#[..]));
        assert_eq!(sample.label(b"last"), Some(&b"}"[..]));
        assert_eq!(sample.label(b"size"), None);
        assert_eq!(sample.label(b""), None);
    }
}
