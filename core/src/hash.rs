//! XXH64 (seed 0): the one hash of the core, for names and for prompt blocks.
//!
//! Why XXH64: four independent lanes of plain wrapping `u64` multiply and rotate, 32 bytes a round. WebAssembly has no
//! 64x64 -> 128 multiply, so hashes built on it are slow there; this one needs none. It has a public specification with
//! test vectors, and every proxy of a fleet computes the same values.
//!
//! Limits: not keyed and not collision resistant against someone who tries. A forged collision only makes a cache hit
//! be predicted that does not happen.

const P1: u64 = 0x9E37_79B1_85EB_CA87;
const P2: u64 = 0xC2B2_AE3D_27D4_EB4F;
const P3: u64 = 0x1656_67B1_9E37_79F9;
const P4: u64 = 0x85EB_CA77_C2B2_AE63;
const P5: u64 = 0x27D4_EB2F_1656_67C5;

/// Bytes of one round: four lanes of eight.
const STRIPE: usize = 32;

/// Hashes a name (model, tenant, session). Never 0, which stands for "unknown" everywhere.
#[must_use]
pub fn key(name: &[u8]) -> u64 {
    let mut chain = Chain::new();
    chain.update(name);
    chain.value().max(1)
}

/// An incremental hash of a byte stream that can be read at any point of it.
///
/// The value depends only on the bytes so far, not on how they were cut into `update` calls.
#[derive(Clone, Debug)]
pub struct Chain {
    lanes: [u64; 4],
    /// Bytes that do not fill a stripe yet.
    tail: [u8; STRIPE],
    tail_len: usize,
    total: u64,
}

impl Default for Chain {
    fn default() -> Self {
        Self::new()
    }
}

impl Chain {
    /// The hash of an empty stream.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            lanes: [P1.wrapping_add(P2), P2, 0, 0_u64.wrapping_sub(P1)],
            tail: [0; STRIPE],
            tail_len: 0,
            total: 0,
        }
    }

    /// Appends bytes to the stream.
    #[inline]
    pub fn update(&mut self, bytes: &[u8]) {
        self.total = self.total.wrapping_add(bytes.len() as u64);
        let mut rest = bytes;
        if self.tail_len > 0 {
            let Some(room) = self.tail.get_mut(self.tail_len..) else {
                return;
            };
            let take = room.len().min(rest.len());
            let Some((head, after)) = rest.split_at_checked(take) else {
                return;
            };
            for (slot, byte) in room.iter_mut().zip(head) {
                *slot = *byte;
            }
            self.tail_len = self.tail_len.saturating_add(take);
            rest = after;
            if self.tail_len < STRIPE {
                return;
            }
            self.lanes = stripe(self.lanes, &self.tail);
            self.tail_len = 0;
        }
        let (stripes, after) = rest.as_chunks::<STRIPE>();
        let mut lanes = self.lanes;
        for bytes in stripes {
            lanes = stripe(lanes, bytes);
        }
        self.lanes = lanes;
        for (slot, byte) in self.tail.iter_mut().zip(after) {
            *slot = *byte;
        }
        self.tail_len = after.len();
    }

    /// The hash of all bytes so far; the stream can go on after it.
    #[must_use]
    #[inline]
    pub fn value(&self) -> u64 {
        let [a, b, c, d] = self.lanes;
        let mut hash = if self.total >= STRIPE as u64 {
            let sum = a
                .rotate_left(1)
                .wrapping_add(b.rotate_left(7))
                .wrapping_add(c.rotate_left(12))
                .wrapping_add(d.rotate_left(18));
            self.lanes.iter().fold(sum, |hash, lane| {
                (hash ^ round(0, *lane)).wrapping_mul(P1).wrapping_add(P4)
            })
        } else {
            P5
        };
        hash = hash.wrapping_add(self.total);
        let tail = self.tail.get(..self.tail_len).unwrap_or_default();
        let (words, rest) = tail.as_chunks::<8>();
        for word in words {
            hash = (hash ^ round(0, u64::from_le_bytes(*word)))
                .rotate_left(27)
                .wrapping_mul(P1)
                .wrapping_add(P4);
        }
        let (halves, rest) = rest.as_chunks::<4>();
        for half in halves {
            let half = u64::from(u32::from_le_bytes(*half));
            hash = (hash ^ half.wrapping_mul(P1))
                .rotate_left(23)
                .wrapping_mul(P2)
                .wrapping_add(P3);
        }
        for byte in rest {
            hash = (hash ^ u64::from(*byte).wrapping_mul(P5))
                .rotate_left(11)
                .wrapping_mul(P1);
        }
        hash ^= hash >> 33;
        hash = hash.wrapping_mul(P2);
        hash ^= hash >> 29;
        hash = hash.wrapping_mul(P3);
        hash ^ (hash >> 32)
    }
}

#[inline]
const fn round(lane: u64, word: u64) -> u64 {
    lane.wrapping_add(word.wrapping_mul(P2))
        .rotate_left(31)
        .wrapping_mul(P1)
}

#[inline]
fn stripe(lanes: [u64; 4], bytes: &[u8; STRIPE]) -> [u64; 4] {
    let mut lanes = lanes;
    for (lane, word) in lanes.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *lane = round(*lane, u64::from_le_bytes(*word));
    }
    lanes
}

#[cfg(test)]
mod tests {
    use super::{Chain, key};
    use alloc::{collections::BTreeSet, vec::Vec};

    /// Published XXH64 vectors (seed 0), then two computed with the reference implementation. They hold for ever:
    /// hashes travel between proxies of different versions.
    const GOLDEN: [(&str, u64); 6] = [
        ("", 0xEF46_DB37_51D8_E999),
        ("a", 0xD24E_C4F1_A98C_6E5B),
        ("abc", 0x44BC_2CF5_AD77_0999),
        (
            "Nobody inspects the spammish repetition",
            0xFBCE_A83C_8A37_8BF1,
        ),
        ("meta-llama/Llama-3.1-8B-Instruct", 0xA903_820A_10F8_1CFF),
        (
            "You are a helpful assistant. Answer in one sentence, in the language of the question.",
            0x0F20_9BCD_0DFC_866E,
        ),
    ];

    #[test]
    fn golden_vectors() {
        for (text, hash) in GOLDEN {
            assert_eq!(
                key(text.as_bytes()),
                hash,
                "{text:?} {:#018X}",
                key(text.as_bytes())
            );
        }
    }

    #[test]
    fn chunked_equals_whole() {
        let bytes: Vec<u8> = (0..300_u32)
            .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
            .collect();
        for len in 0..bytes.len() {
            let whole = {
                let mut chain = Chain::new();
                chain.update(&bytes[..len]);
                chain.value()
            };
            for size in [1, 3, 7, 31, 32, 33, 64, 100] {
                let mut chain = Chain::new();
                for chunk in bytes[..len].chunks(size) {
                    chain.update(chunk);
                    let _ = chain.value();
                }
                assert_eq!(chain.value(), whole, "len {len}, chunks of {size}");
            }
        }
    }

    #[test]
    fn every_byte_and_its_place_matter() {
        let base = [7_u8; 96];
        let mut seen = BTreeSet::from([key(&base)]);
        for at in 0..base.len() {
            let mut other = base;
            other[at] ^= 1;
            assert!(seen.insert(key(&other)), "flip at {at}");
        }
    }
}
