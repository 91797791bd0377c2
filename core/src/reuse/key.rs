//! What makes two requests one.

use alloc::vec::Vec;

use super::sip::sip128;

/// Who asks, and for what. Requests with equal keys may be answered alike.
///
/// It is a keyed hash of all of it under a secret that never leaves the worker. So nobody can make a request whose key is that of another, neither of
/// another tenant's nor of a body that would be answered otherwise, but by chance: one in 2^128 for any two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key([u64; 2]);

/// What is asked for beside the body, and whose it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked<'a> {
    /// Host and path that are asked for, and the credentials that come with it (`authorization`, `x-api-key`); empty where absent.
    pub words: [&'a [u8]; 4],
    /// A tenant of the configuration, whatever its credentials; 0 for whoever has these credentials.
    pub tenant: u64,
}

impl Asked<'_> {
    /// The key with `body`, whose memory is used; `None` where nothing tells one client from another.
    pub fn key(mut self, secret: [u64; 2], mut body: Vec<u8>) -> Option<Key> {
        let [_, _, credentials @ ..] = &mut self.words;
        if self.tenant != 0 {
            *credentials = [&[]; 2];
        } else if credentials.iter().all(|word| word.is_empty()) {
            return None;
        }
        // The lengths follow the words, each of one size, so that no two requests read alike.
        for word in self.words {
            body.extend_from_slice(word);
        }
        for number in self.words.map(|word| word.len() as u64) {
            body.extend_from_slice(&number.to_le_bytes());
        }
        body.extend_from_slice(&self.tenant.to_le_bytes());
        Some(Key(sip128(secret, &body)))
    }
}
