//! The ABI's serialisation of a header map, read in place.
//!
//! Layout (little endian): number of pairs, then name and value length of each, then name, NUL, value, NUL of each.
//! One host call brings the whole map; reading it allocates nothing.

use alloc::vec::Vec;

/// Pairs of a serialised header map.
///
/// A map that is cut short or lies about its lengths ends the iteration early; nothing is read out of bounds.
#[derive(Clone, Debug)]
pub struct Pairs<'a> {
    sizes: &'a [u8],
    bytes: &'a [u8],
}

impl<'a> Pairs<'a> {
    /// Reads `map` as returned by `Host::header_map`.
    #[must_use]
    pub fn new(map: &'a [u8]) -> Self {
        let empty = Self {
            sizes: &[],
            bytes: &[],
        };
        let Some((count, rest)) = read_u32(map) else {
            return empty;
        };
        match count
            .checked_mul(8)
            .and_then(|sizes| rest.split_at_checked(sizes))
        {
            Some((sizes, bytes)) => Self { sizes, bytes },
            None => empty,
        }
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (name_len, rest) = read_u32(self.sizes)?;
        let (value_len, rest) = read_u32(rest)?;
        self.sizes = rest;
        let (name, rest) = read_text(self.bytes, name_len)?;
        let (value, rest) = read_text(rest, value_len)?;
        self.bytes = rest;
        Some((name, value))
    }
}

fn read_u32(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<4>()?;
    Some((u32::from_le_bytes(*number) as usize, rest))
}

/// `len` bytes and the NUL after them.
fn read_text(bytes: &[u8], len: usize) -> Option<(&[u8], &[u8])> {
    let (text, rest) = bytes.split_at_checked(len)?;
    let (_, rest) = rest.split_first()?;
    Some((text, rest))
}

/// Serialises pairs as [`Pairs`] reads them.
#[must_use]
pub fn serialize(pairs: &[(&str, &str)]) -> Vec<u8> {
    let text: usize = pairs.iter().map(|(n, v)| n.len() + v.len() + 10).sum();
    let mut map = Vec::with_capacity(4 + text);
    map.extend_from_slice(&(pairs.len() as u32).to_le_bytes());
    for (name, value) in pairs {
        map.extend_from_slice(&(name.len() as u32).to_le_bytes());
        map.extend_from_slice(&(value.len() as u32).to_le_bytes());
    }
    for (name, value) in pairs {
        map.extend_from_slice(name.as_bytes());
        map.push(0);
        map.extend_from_slice(value.as_bytes());
        map.push(0);
    }
    map
}

/// Decimal number of a header value; `None` unless every byte is a digit and it fits.
#[must_use]
pub fn decimal(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let pairs = [
            (":path", "/v1/completions"),
            ("empty", ""),
            ("twice", "a"),
            ("twice", "b"),
        ];
        let map = serialize(&pairs);
        let read: Vec<_> = Pairs::new(&map).collect();
        let expected: Vec<_> = pairs
            .iter()
            .map(|(n, v)| (n.as_bytes(), v.as_bytes()))
            .collect();
        assert_eq!(read, expected);
    }

    #[test]
    fn every_cut_of_a_map_is_safe() {
        let map = serialize(&[("a", "1"), ("bb", "22")]);
        for cut in 0..map.len() {
            assert!(Pairs::new(&map[..cut]).count() < 2);
        }
    }

    #[test]
    fn lying_lengths_end_the_iteration() {
        let mut map = serialize(&[("a", "1")]);
        map[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(Pairs::new(&map).count(), 0);
        map[0..4].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(Pairs::new(&map).count(), 0);
    }

    #[test]
    fn decimals_are_strict() {
        assert_eq!(decimal(b"200"), Some(200));
        assert_eq!(decimal(b"18446744073709551615"), Some(u64::MAX));
        for refused in [
            &b""[..],
            b"-1",
            b"+1",
            b" 1",
            b"1e3",
            b"18446744073709551616",
        ] {
            assert_eq!(decimal(refused), None);
        }
    }
}
