//! SHA-256 of a short message. The compression is the crate's; the padding (FIPS 180-4, section 5.1.1) is here, since the crate's streaming
//! interface is three times the code.

use sha2::compress256;

/// Initial state (FIPS 180-4, section 5.3.3).
const START: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];
const BLOCK: usize = 64;
/// Bytes of a block before the length of the message.
const BEFORE_LENGTH: usize = BLOCK - 8;

/// The digest of `message`.
pub(super) fn sha256(message: &[u8]) -> [u8; 32] {
    let mut state = START;
    let (whole, rest) = message.as_chunks::<BLOCK>();
    let mut compress = |block: [u8; BLOCK]| compress256(&mut state, &[block.into()]);
    for block in whole {
        compress(*block);
    }
    let mut last = [0; BLOCK];
    for (to, from) in last.iter_mut().zip(rest.iter().chain([&0x80])) {
        *to = *from;
    }
    if rest.len() >= BEFORE_LENGTH {
        compress(core::mem::replace(&mut last, [0; BLOCK]));
    }
    let bits = (message.len() as u64).wrapping_mul(8).to_be_bytes();
    for (to, from) in last.iter_mut().skip(BEFORE_LENGTH).zip(bits) {
        *to = from;
    }
    compress(last);
    let mut digest = [0; 32];
    let words = state.iter().flat_map(|word| word.to_be_bytes());
    for (to, from) in digest.iter_mut().zip(words) {
        *to = from;
    }
    digest
}

#[cfg(test)]
mod tests {
    use super::sha256;
    use alloc::vec;
    use sha2::{Digest, Sha256};

    #[test]
    fn agrees_with_the_crate_at_every_length() {
        for len in 0..300 {
            let message = vec![len as u8; len];
            let expected: [u8; 32] = Sha256::digest(&message).into();
            assert_eq!(sha256(&message), expected, "{len} bytes");
        }
    }
}
