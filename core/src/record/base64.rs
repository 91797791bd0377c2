//! Base64 (RFC 4648), so that a record fits into a log line.

use alloc::string::String;
use alloc::vec::Vec;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Appends `bytes` to `out`, padded.
pub fn encode(bytes: &[u8], out: &mut String) {
    out.reserve(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = (0..3).fold(0usize, |word, at| {
            word << 8 | chunk.get(at).map_or(0, |byte| usize::from(*byte))
        });
        for at in 0..4 {
            let letter = ALPHABET.get(word >> (18 - 6 * at) & 63);
            out.push(match letter {
                Some(letter) if at <= chunk.len() => char::from(*letter),
                _ => '=',
            });
        }
    }
}

/// Appends what `text` stands for to `out`; false when it is not base64. Padding may be missing.
pub fn decode(text: &[u8], out: &mut Vec<u8>) -> bool {
    let end = text.iter().rposition(|letter| *letter != b'=');
    let text = text.get(..end.map_or(0, |end| end + 1)).unwrap_or_default();
    for chunk in text.chunks(4) {
        let mut word = 0u32;
        for at in 0..4 {
            let value = match chunk.get(at) {
                None => 0,
                Some(b'+') => 62,
                Some(b'/') => 63,
                Some(letter @ b'A'..=b'Z') => letter - b'A',
                Some(letter @ b'a'..=b'z') => letter - b'a' + 26,
                Some(letter @ b'0'..=b'9') => letter - b'0' + 52,
                Some(_) => return false,
            };
            word = word << 6 | u32::from(value);
        }
        let [_, bytes @ ..] = word.to_be_bytes();
        if chunk.len() < 2 {
            return false;
        }
        out.extend(bytes.into_iter().take(chunk.len() - 1));
    }
    true
}
