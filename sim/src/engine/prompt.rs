//! What a prompt is to the engine: a length and the chain hashes of its full blocks.

use std::sync::Arc;

/// Bytes of message content that make one token, in the load generator and in the simulated engine alike.
pub const TOKEN_BYTES: usize = 4;

/// A prompt as the prefix cache sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    /// Length in tokens.
    pub tokens: u32,
    /// Chain hash of every full block: equal hashes mean equal prompts up to the end of that block.
    pub blocks: Arc<[u64]>,
}

/// One finalising round of the splitmix64 generator: spreads every input bit over the result.
#[must_use]
pub const fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

/// Extends a chain hash by one value.
#[must_use]
pub const fn chain(hash: u64, value: u64) -> u64 {
    let hash = hash.rotate_left(23).wrapping_add(0x5851_F42D_4C95_7F2D);
    mix(hash ^ value.wrapping_mul(0x9E37_79B9_7F4A_7C15))
}

/// Builds a [`Prompt`] from text that arrives in pieces; where one message ends and the next begins does not matter.
pub struct PromptHasher {
    block_bytes: usize,
    hash: u64,
    /// Bytes of the block in progress.
    pending: Vec<u8>,
    bytes: usize,
    blocks: Vec<u64>,
}

impl PromptHasher {
    /// Blocks of `block_tokens` tokens; `salt` isolates caches (0: none).
    #[must_use]
    pub fn new(block_tokens: u32, salt: u64) -> Self {
        let block_bytes = block_tokens as usize * TOKEN_BYTES;
        Self {
            block_bytes,
            hash: mix(salt.wrapping_add(1)),
            pending: Vec::with_capacity(block_bytes),
            bytes: 0,
            blocks: Vec::new(),
        }
    }

    /// Appends message content.
    pub fn feed(&mut self, mut text: &[u8]) {
        self.bytes += text.len();
        while !text.is_empty() {
            if self.pending.is_empty() && text.len() >= self.block_bytes {
                let (block, rest) = text.split_at(self.block_bytes);
                self.close_block(block);
                text = rest;
                continue;
            }
            let take = (self.block_bytes - self.pending.len()).min(text.len());
            let (head, rest) = text.split_at(take);
            self.pending.extend_from_slice(head);
            text = rest;
            if self.pending.len() == self.block_bytes {
                let block = core::mem::take(&mut self.pending);
                self.close_block(&block);
                self.pending = block;
                self.pending.clear();
            }
        }
    }

    /// Digest of everything fed so far, the unfinished block included.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.pending
            .iter()
            .fold(self.hash, |hash, &byte| chain(hash, u64::from(byte)))
    }

    /// The prompt; an empty one counts as one token, for an engine always computes the last position.
    #[must_use]
    pub fn finish(self) -> Prompt {
        let tokens = self.bytes.div_ceil(TOKEN_BYTES).max(1);
        Prompt {
            tokens: u32::try_from(tokens).unwrap_or(u32::MAX),
            blocks: self.blocks.into(),
        }
    }

    fn close_block(&mut self, block: &[u8]) {
        let mut hash = self.hash;
        let (words, _) = block.as_chunks::<8>();
        for word in words {
            hash = (hash ^ u64::from_le_bytes(*word)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            hash ^= hash >> 29;
        }
        for &byte in &block[words.len() * 8..] {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            hash ^= hash >> 29;
        }
        self.hash = mix(hash);
        self.blocks.push(self.hash);
    }
}
