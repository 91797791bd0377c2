//! Decimal numbers without floats: the same value on every machine.

use crate::fixed;

/// Digits that are kept. More do not matter to any fact, and 14 leave room to shift a fraction by 16 bits.
const DIGITS: u32 = 14;

/// `mantissa` x 10^`exponent`; never negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Number {
    mantissa: u64,
    exponent: i32,
}

impl Number {
    /// Reads `12`, `0.5`, `1.5e+09`, `.5`, `5.`; none for anything else, for negative numbers, NaN and infinities.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let text = text.strip_prefix(b"+").unwrap_or(text);
        let mut number = Self {
            mantissa: 0,
            exponent: 0,
        };
        let mut kept = 0_u32;
        let (mut digits, mut fraction) = (false, false);
        let mut rest = text;
        while let Some((&byte, after)) = rest.split_first() {
            match byte {
                b'0'..=b'9' => {
                    digits = true;
                    if kept < DIGITS {
                        number.mantissa = number
                            .mantissa
                            .wrapping_mul(10)
                            .wrapping_add(u64::from(byte.wrapping_sub(b'0')));
                        kept = kept.saturating_add(u32::from(number.mantissa > 0));
                        number.exponent = number.exponent.saturating_sub(i32::from(fraction));
                    } else {
                        number.exponent = number.exponent.saturating_add(i32::from(!fraction));
                    }
                }
                b'.' if !fraction => fraction = true,
                b'e' | b'E' if digits => {
                    number.exponent = number.exponent.saturating_add(exponent(after)?);
                    return Some(number);
                }
                _ => return None,
            }
            rest = after;
        }
        digits.then_some(number)
    }

    /// The whole part; `u64::MAX` if it does not fit.
    pub(crate) fn whole(self) -> u64 {
        scale(self.mantissa, self.exponent)
    }

    /// The number in Q16, to the nearest; saturates.
    pub(crate) fn q16(self) -> u64 {
        let twice = scale(self.mantissa.saturating_mul(fixed::ONE << 1), self.exponent);
        twice.saturating_add(1) >> 1
    }
}

/// `value` x 10^`exponent`, rounded down, saturating.
fn scale(value: u64, exponent: i32) -> u64 {
    let power = 10_u64.checked_pow(exponent.unsigned_abs());
    match (power, exponent >= 0) {
        (Some(power), true) => value.saturating_mul(power),
        (Some(power), false) => value.checked_div(power).unwrap_or(0),
        (None, true) if value > 0 => u64::MAX,
        (None, _) => 0,
    }
}

/// The digits after `e`, saturating far outside of what matters.
fn exponent(text: &[u8]) -> Option<i32> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] | digits => (false, digits),
    };
    if digits.is_empty() {
        return None;
    }
    let value = digits.iter().try_fold(0_i32, |value, byte| {
        byte.is_ascii_digit().then(|| {
            value
                .saturating_mul(10)
                .saturating_add(i32::from(byte.wrapping_sub(b'0')))
        })
    })?;
    Some(if negative {
        value.saturating_neg()
    } else {
        value
    })
}

#[cfg(test)]
mod tests {
    use super::Number;

    #[test]
    fn whole() {
        let table: [(&str, Option<u64>); 24] = [
            ("0", Some(0)),
            ("0.0", Some(0)),
            ("7", Some(7)),
            ("7.0", Some(7)),
            ("+7", Some(7)),
            ("7.999", Some(7)),
            ("5.", Some(5)),
            (".5", Some(0)),
            ("1.7951495854912102e+09", Some(1_795_149_585)),
            ("1.5E3", Some(1500)),
            ("25e-1", Some(2)),
            ("00000000000000000000012", Some(12)),
            ("12345678901234567", Some(12_345_678_901_234_000)),
            ("1e400", Some(u64::MAX)),
            ("0e400", Some(0)),
            ("1e-400", Some(0)),
            ("1e99999999999999999999", Some(u64::MAX)),
            ("-1", None),
            ("NaN", None),
            ("+Inf", None),
            ("1e", None),
            ("1.2.3", None),
            (".", None),
            ("", None),
        ];
        for (text, value) in table {
            assert_eq!(
                Number::parse(text.as_bytes()).map(Number::whole),
                value,
                "{text}"
            );
        }
    }

    #[test]
    fn q16() {
        let table = [
            ("0", 0),
            ("1", 65_536),
            ("1.5", 98_304),
            ("1000", 65_536_000),
            ("0.1", 6_554),
            ("0.5", 32_768),
            ("5e-1", 32_768),
            ("0.0000076", 0),
            ("0.0000077", 1),
            ("0.9999999999999999", 65_536),
            ("1e-30", 0),
        ];
        for (text, value) in table {
            assert_eq!(
                Number::parse(text.as_bytes()).map(Number::q16),
                Some(value),
                "{text}"
            );
        }
    }

    /// Against the standard library's floats, over many spellings of ratios.
    #[test]
    fn q16_agrees_with_floats() {
        for i in 0..2000_u32 {
            let ratio = f64::from(i) / 1999.0;
            for text in [
                std::format!("{ratio}"),
                std::format!("{ratio:e}"),
                std::format!("{ratio:.6}"),
            ] {
                let float: f64 = text.parse().unwrap();
                let q16 = Number::parse(text.as_bytes()).map(Number::q16).unwrap();
                assert!(
                    (q16 as f64 - float * 65_536.0).abs() <= 0.51,
                    "{text}: {q16}"
                );
            }
        }
    }
}
