//! Prompt text from segment identifiers: deterministic words, four bytes a token.

use bytes::{BufMut, BytesMut};

use super::Segment;
use crate::engine::{TOKEN_BYTES, mix};

/// Appends the text of a segment: the same identifier gives the same bytes, and a shorter segment is a prefix of a
/// longer one. Lower-case letters and spaces only, so that it needs no JSON escapes.
pub fn put_text(out: &mut BytesMut, segment: Segment) {
    let bytes = segment.tokens as usize * TOKEN_BYTES;
    out.reserve(bytes + 8);
    let end = out.len() + bytes;
    let mut word = 0;
    while out.len() < end {
        // Eight bytes a draw: a word of three to seven letters and spaces up to the eighth byte.
        let draw = mix(mix(segment.id).wrapping_add(word));
        word += 1;
        let letters = 3 + (draw >> 60) % 5;
        let mut unit = [b' '; 8];
        for (position, byte) in unit.iter_mut().enumerate().take(letters as usize) {
            *byte = b'a' + ((draw >> (7 * position)) % 26) as u8;
        }
        out.put_slice(&unit);
    }
    out.truncate(end);
}

/// The text of a segment.
#[must_use]
pub fn segment_text(segment: Segment) -> String {
    let mut out = BytesMut::new();
    put_text(&mut out, segment);
    String::from_utf8_lossy(&out).into_owned()
}
