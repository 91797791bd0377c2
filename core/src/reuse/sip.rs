//! SipHash-2-4 with 128 bits (Aumasson and Bernstein, SipHash: a fast short-input PRF, 2012): who does not know the secret can neither tell nor
//! choose what a message comes to.
//!
//! Why not SHA-256: it takes a module ten times as long, and its workers wait for it.

/// The value of `message` under `secret`.
pub(super) fn sip128(secret: [u64; 2], message: &[u8]) -> [u64; 2] {
    let [k0, k1] = secret;
    let mut v = [
        k0 ^ 0x736f_6d65_7073_6575,
        k1 ^ 0x646f_7261_6e64_6f6d ^ 0xee,
        k0 ^ 0x6c79_6765_6e65_7261,
        k1 ^ 0x7465_6462_7974_6573,
    ];
    let (words, rest) = message.as_chunks::<8>();
    for word in words {
        v = take(v, u64::from_le_bytes(*word));
    }
    let mut last = [0; 8];
    for (to, from) in last.iter_mut().zip(rest) {
        *to = *from;
    }
    let [a, b, c, d] = take(v, u64::from_le_bytes(last) | (message.len() as u64) << 56);
    v = finish([a, b, c ^ 0xee, d]);
    let first = xor(v);
    let [a, b, c, d] = v;
    [first, xor(finish([a, b ^ 0xdd, c, d]))]
}

#[inline]
fn take(v: [u64; 4], word: u64) -> [u64; 4] {
    let [a, b, c, d] = v;
    let [a, b, c, d] = round(round([a, b, c, d ^ word]));
    [a ^ word, b, c, d]
}

#[inline(never)]
fn finish(v: [u64; 4]) -> [u64; 4] {
    (0..4).fold(v, |v, _| round(v))
}

fn xor([a, b, c, d]: [u64; 4]) -> u64 {
    a ^ b ^ c ^ d
}

#[inline]
fn round([mut a, mut b, mut c, mut d]: [u64; 4]) -> [u64; 4] {
    a = a.wrapping_add(b);
    b = b.rotate_left(13) ^ a;
    a = a.rotate_left(32);
    c = c.wrapping_add(d);
    d = d.rotate_left(16) ^ c;
    a = a.wrapping_add(d);
    d = d.rotate_left(21) ^ a;
    c = c.wrapping_add(b);
    b = b.rotate_left(17) ^ c;
    c = c.rotate_left(32);
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::sip128;

    /// Of the reference implementation: the key counts from 0, and so does the message.
    #[test]
    fn vectors() {
        let secret = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];
        let message: [u8; 64] = core::array::from_fn(|at| at as u8);
        for (len, expected) in [
            (0, [0xe6a8_25ba_047f_81a3, 0x9302_55c7_1472_f66d]),
            (1, [0x44af_996b_d8c1_87da, 0x45fc_229b_1159_7634]),
            (7, [0x53c1_dbd8_beeb_f1a1, 0x3982_f01f_a64a_b8c0]),
            (8, [0x61f5_5862_baa9_623b, 0xb497_14f3_64e2_830f]),
            (15, [0x11a8_b033_99e9_9354, 0xd9c3_cf97_0fec_087e]),
            (63, [0x4a83_502f_77d1_5051, 0x7cbd_3f97_9a06_3e50]),
        ] {
            assert_eq!(sip128(secret, &message[..len]), expected, "{len} bytes");
        }
    }
}
