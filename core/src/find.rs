//! Finds bytes in text: the inner loop of all that reads bodies and metrics pages.
//!
//! Natively `memchr` does it with the machine's vector instructions. The module has none, since not every proxy runs a module that asks
//! for them, and a word there is 4 bytes for `memchr`: eight at a time take a third of its instructions.

#[cfg(not(target_family = "wasm"))]
pub(crate) use memchr::{memchr as byte, memchr2 as either};
#[cfg(target_family = "wasm")]
pub(crate) use words::{byte, either};

#[cfg(any(test, target_family = "wasm"))]
mod words {
    /// One in every byte.
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = ONES << 7;
    const WORD: usize = 8;
    /// Words looked at before a branch.
    const STRIDE: usize = 4;

    /// Where `needle`, an ASCII character, is first in `text`.
    #[inline(never)]
    pub(crate) fn byte(needle: u8, text: &[u8]) -> Option<usize> {
        find(text, [needle])
    }

    /// Where either of two ASCII characters is first in `text`.
    #[inline(never)]
    pub(crate) fn either(a: u8, b: u8, text: &[u8]) -> Option<usize> {
        find(text, [a, b])
    }

    /// The high bit of the first byte that is one of the needles, and none of a byte before it.
    ///
    /// Taking one from each byte borrows into its high bit where the byte is zero, that is where text and needle agree. A byte
    /// behind such a one may show a bit too, and one that is not ASCII would: the needles are ASCII, so the text's own high bit
    /// tells those.
    #[inline(always)]
    fn marks<const N: usize>(word: u64, needles: [u64; N]) -> u64 {
        let mut found = 0;
        for needle in needles {
            found |= (word ^ needle).wrapping_sub(ONES);
        }
        found & !word
    }

    #[inline(always)]
    fn find<const N: usize>(text: &[u8], needles: [u8; N]) -> Option<usize> {
        let spread = needles.map(|needle| u64::from(needle) * ONES);
        let (strides, rest) = text.as_chunks::<{ WORD * STRIDE }>();
        let mut at = 0_usize;
        for stride in strides {
            let (words, _) = stride.as_chunks::<WORD>();
            let mut any = 0;
            for word in words {
                any |= marks(u64::from_le_bytes(*word), spread);
            }
            if any & HIGH != 0 {
                for word in words {
                    let found = marks(u64::from_le_bytes(*word), spread) & HIGH;
                    if found != 0 {
                        return Some(at.wrapping_add(found.trailing_zeros() as usize / 8));
                    }
                    at = at.wrapping_add(WORD);
                }
            }
            at = at.wrapping_add(WORD * STRIDE);
        }
        let (words, rest) = rest.as_chunks::<WORD>();
        for word in words {
            let found = marks(u64::from_le_bytes(*word), spread) & HIGH;
            if found != 0 {
                return Some(at.wrapping_add(found.trailing_zeros() as usize / 8));
            }
            at = at.wrapping_add(WORD);
        }
        let found = rest.iter().position(|byte| needles.contains(byte))?;
        Some(at.wrapping_add(found))
    }
}

#[cfg(test)]
mod tests {
    use super::words;
    use crate::json::tests::Rng;

    #[test]
    fn agrees_with_memchr() {
        let mut rng = Rng(7);
        let alphabet = b"aab\"\\\n\x00\x01\x7f\x80\x81\xa2\xdc\xff !#[]";
        for _ in 0..20_000 {
            let common = rng.below(2) == 0;
            let text: alloc::vec::Vec<u8> = (0..rng.below(150))
                .map(|_| {
                    if common && rng.below(40) > 0 {
                        b'a'
                    } else {
                        alphabet[rng.below(alphabet.len())]
                    }
                })
                .collect();
            for needle in [b'\n', b'"', 0, 0x7f] {
                assert_eq!(
                    words::byte(needle, &text),
                    memchr::memchr(needle, &text),
                    "{text:?}"
                );
            }
            assert_eq!(
                words::either(b'"', b'\\', &text),
                memchr::memchr2(b'"', b'\\', &text),
                "{text:?}"
            );
        }
    }
}
