//! The prompt as a stream: its size and the chain of block hashes.
//!
//! Block ends are fine where prompts usually part (system prompts, templates) and coarse where only long documents
//! reach: every 256 bytes to 4 KiB, every 1 KiB to 64 KiB, every 4 KiB after that.

use alloc::vec::Vec;

use super::Block;
use crate::hash::Chain;

/// Most blocks of one prompt. They cover its first 784 KiB; what follows is counted, not hashed.
pub const MAX_BLOCKS: usize = 256;

/// Ends a string in the hash, so that `"ab" "c"` and `"a" "bc"` differ. No JSON string contains it unescaped.
const SEPARATOR: [u8; 1] = [0];

/// Bytes that stand for one token of a token array, so that text and tokens have one unit.
const BYTES_PER_TOKEN: u64 = 4;

#[derive(Clone, Debug)]
pub(super) struct Prompt {
    chain: Chain,
    blocks: Vec<Block>,
    /// Prompt bytes that are in the chain (or would be, were there room for more blocks).
    position: u64,
    /// Where the next block ends.
    next: u64,
    /// Prompt bytes that are only counted.
    aside: u64,
}

impl Prompt {
    pub(super) fn new() -> Self {
        Self {
            chain: Chain::new(),
            blocks: Vec::with_capacity(MAX_BLOCKS),
            position: 0,
            next: block_end(0),
            aside: 0,
        }
    }

    pub(super) fn reset(&mut self) {
        self.chain = Chain::new();
        self.blocks.clear();
        self.position = 0;
        self.next = block_end(0);
        self.aside = 0;
    }

    pub(super) fn bytes(&self) -> u64 {
        self.position.saturating_add(self.aside)
    }

    pub(super) fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// Text: hashed and counted.
    pub(super) fn text(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !self.full() {
            let room =
                usize::try_from(self.next.saturating_sub(self.position)).unwrap_or(usize::MAX);
            let Some((head, after)) = rest.split_at_checked(room) else {
                break;
            };
            self.chain.update(head);
            self.advance(head.len() as u64);
            rest = after;
        }
        self.mark(rest);
        self.position = self.position.saturating_add(rest.len() as u64);
    }

    /// What tells prompts apart but is no text (images, audio, ids): hashed, not counted.
    pub(super) fn mark(&mut self, bytes: &[u8]) {
        if !self.full() {
            self.chain.update(bytes);
        }
    }

    /// Text that stands elsewhere in the engine's prompt than in the body: counted, not hashed.
    pub(super) const fn count(&mut self, bytes: &[u8]) {
        self.aside = self.aside.saturating_add(bytes.len() as u64);
    }

    /// The end of a string.
    pub(super) fn separate(&mut self) {
        self.mark(&SEPARATOR);
    }

    /// The end of a token of a token array, after its digits were given to [`Self::mark`].
    pub(super) fn token(&mut self) {
        self.separate();
        self.advance(BYTES_PER_TOKEN);
    }

    fn full(&self) -> bool {
        self.blocks.len() >= MAX_BLOCKS
    }

    /// Moves on by bytes that are in the chain; a block may end here.
    fn advance(&mut self, bytes: u64) {
        self.position = self.position.saturating_add(bytes);
        if self.position >= self.next && !self.full() {
            let end = u32::try_from(self.position).unwrap_or(u32::MAX);
            self.blocks.push(Block {
                hash: self.chain.value(),
                end,
            });
            self.next = block_end(self.position);
        }
    }
}

/// The first block end after `position`.
const fn block_end(position: u64) -> u64 {
    let within_block = match position {
        0..0x1000 => 0xFF,
        0x1000..0x1_0000 => 0x3FF,
        _ => 0xFFF,
    };
    (position | within_block).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::{MAX_BLOCKS, Prompt};

    #[test]
    fn block_ends_and_their_bound() {
        let mut prompt = Prompt::new();
        prompt.text(&[b'x'; 2_000_000]);
        let ends: alloc::vec::Vec<u32> = prompt.blocks().iter().map(|block| block.end).collect();
        assert_eq!(ends.len(), MAX_BLOCKS);
        assert_eq!(ends[..3], [256, 512, 768]);
        assert_eq!(ends[14..18], [3840, 4096, 5120, 6144]);
        assert_eq!(ends[75..78], [65_536, 69_632, 73_728]);
        assert_eq!(ends[255], 784 * 1024);
        assert_eq!(prompt.bytes(), 2_000_000);
    }

    #[test]
    fn chunks_do_not_matter() {
        let text: alloc::vec::Vec<u8> = (0..20_000_u32)
            .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect();
        let mut whole = Prompt::new();
        whole.text(&text);
        for size in [1, 255, 256, 257, 1000, 4097] {
            let mut parts = Prompt::new();
            text.chunks(size).for_each(|chunk| parts.text(chunk));
            assert_eq!(parts.blocks(), whole.blocks(), "chunks of {size}");
        }
    }

    #[test]
    fn marks_change_the_hash_and_not_the_ends() {
        let (mut plain, mut marked) = (Prompt::new(), Prompt::new());
        for prompt in [&mut plain, &mut marked] {
            prompt.text(&[b'a'; 300]);
        }
        marked.mark(b"data:image/png;base64,AAAA");
        for prompt in [&mut plain, &mut marked] {
            prompt.text(&[b'a'; 300]);
        }
        assert_eq!(plain.blocks()[0], marked.blocks()[0]);
        assert_eq!(plain.blocks()[1].end, marked.blocks()[1].end);
        assert_ne!(plain.blocks()[1].hash, marked.blocks()[1].hash);
        assert_eq!(plain.bytes(), marked.bytes());
    }

    #[test]
    fn counted_bytes_stay_out_of_the_chain() {
        let mut prompt = Prompt::new();
        prompt.count(&[b'x'; 1000]);
        prompt.text(&[b'a'; 300]);
        assert_eq!((prompt.blocks().len(), prompt.bytes()), (1, 1300));
    }
}
