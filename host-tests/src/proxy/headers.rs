//! Header maps and their ABI serialisation.

use super::status::{Answer, PARSE_FAILURE};

/// Headers in order, names in lower case as Envoy holds them, values raw bytes, duplicates kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderMap(Vec<(String, Vec<u8>)>);

impl HeaderMap {
    /// Map of the given pairs.
    pub fn new<N: AsRef<str>, V: AsRef<[u8]>>(pairs: &[(N, V)]) -> Self {
        let mut map = Self::default();
        for (name, value) in pairs {
            map.add(name.as_ref(), value.as_ref());
        }
        map
    }

    /// First value of a header.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.0
            .iter()
            .find(|(have, _)| have.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_slice())
    }

    /// First value of a header as text; what is not UTF-8 is replaced.
    pub fn text(&self, name: &str) -> Option<String> {
        self.get(name)
            .map(|value| String::from_utf8_lossy(value).into_owned())
    }

    /// Adds one more value.
    pub fn add(&mut self, name: &str, value: &[u8]) {
        self.0.push((name.to_ascii_lowercase(), value.to_vec()));
    }

    /// Replaces all values by one, in the place of the first.
    pub fn replace(&mut self, name: &str, value: &[u8]) {
        let at = self
            .0
            .iter()
            .position(|(have, _)| have.eq_ignore_ascii_case(name));
        self.remove(name);
        let pair = (name.to_ascii_lowercase(), value.to_vec());
        match at {
            Some(at) => self.0.insert(at, pair),
            None => self.0.push(pair),
        }
    }

    /// Removes all values.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(have, _)| !have.eq_ignore_ascii_case(name));
    }

    /// Pairs in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// Number of pairs.
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no pair.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes of names and values together.
    pub fn byte_size(&self) -> usize {
        self.iter().map(|(n, v)| n.len() + v.len()).sum()
    }

    /// The ABI's form: count, then a pair of lengths each, then NUL-ended names and values; all numbers u32 little endian.
    pub fn serialise(&self) -> Vec<u8> {
        let word = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes();
        let mut out = word(self.0.len()).to_vec();
        for (name, value) in self.iter() {
            out.extend(word(name.len()));
            out.extend(word(value.len()));
        }
        for (name, value) in self.iter() {
            out.extend(name.as_bytes());
            out.push(0);
            out.extend(value);
            out.push(0);
        }
        out
    }

    /// Reads the ABI's form.
    pub fn parse(bytes: &[u8]) -> Answer<Self> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let word = |at: usize| -> Answer<usize> {
            let word = bytes.get(at..at + 4).ok_or(PARSE_FAILURE)?;
            Ok(u32::from_le_bytes(word.try_into().map_err(|_| PARSE_FAILURE)?) as usize)
        };
        let count = word(0)?;
        let mut text = 4 + count * 8;
        let mut map = Self::default();
        for pair in 0..count {
            let mut field = |len: usize| -> Answer<&[u8]> {
                let field = bytes.get(text..text + len).ok_or(PARSE_FAILURE)?;
                text += len + 1;
                Ok(field)
            };
            let name = field(word(4 + pair * 8)?)?;
            let value = field(word(8 + pair * 8)?)?;
            map.add(std::str::from_utf8(name).map_err(|_| PARSE_FAILURE)?, value);
        }
        Ok(map)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serialises_as_the_abi_says_and_reads_it_back() {
        let map = HeaderMap::new(&[(":method", "GET"), ("A", "b")]);
        let bytes = map.serialise();
        assert_eq!(bytes[..4], [2, 0, 0, 0]);
        assert_eq!(
            bytes[4..20],
            [7, 0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0]
        );
        assert_eq!(&bytes[20..], b":method\0GET\0a\0b\0");
        assert_eq!(HeaderMap::parse(&bytes), Ok(map));
        assert_eq!(HeaderMap::parse(&[9, 0, 0, 0]), Err(PARSE_FAILURE));
    }

    #[test]
    fn replace_leaves_one_value() {
        let mut map = HeaderMap::new(&[("a", "1"), ("b", "2"), ("A", "3")]);
        map.replace("a", b"4");
        assert_eq!(map, HeaderMap::new(&[("a", "4"), ("b", "2")]));
        map.remove("A");
        assert_eq!(map.len(), 1);
    }
}
