//! Requests in a compact form that a wasm module can be handed.
//!
//! Little endian u32: arrival in milliseconds, prompt tokens, output tokens, number of blocks, then the blocks' ids. A block is 512 tokens, a
//! token four bytes, as in the Mooncake traces.

use plimsoll_core::request::Block;
use plimsoll_core::rng::mix;
use plimsoll_core::time::Instant;

/// Bytes of a block.
const BLOCK_BYTES: u32 = 2048;
/// Blocks that are looked at before a host is named: 64 KiB of body.
const SEEN: usize = 32;
/// How many times as fast as in the trace requests arrive: as many as the toy fleet can bear.
const RATE: u64 = 20;

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// When it arrives.
    pub at: Instant,
    /// Bytes of its prompt.
    pub prompt_bytes: u64,
    /// Tokens of its answer.
    pub output_tokens: u32,
    /// The blocks of its prompt that are looked at.
    pub blocks: Vec<Block>,
    /// Whether that is the whole prompt.
    pub whole: bool,
    /// Its number.
    pub number: u64,
}

/// Requests in the order of their arrival.
#[derive(Clone, Debug)]
pub struct Trace<'a> {
    rows: Vec<&'a [u8]>,
}

fn word(bytes: &[u8], at: usize) -> u32 {
    let bytes = bytes.get(at * 4..).and_then(|rest| rest.first_chunk());
    bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

/// Appends a request to `out`.
pub fn push(out: &mut Vec<u8>, at_ms: u32, input_tokens: u32, output_tokens: u32, blocks: &[u32]) {
    let count = u32::try_from(blocks.len()).unwrap_or(u32::MAX);
    for word in [at_ms, input_tokens, output_tokens, count]
        .iter()
        .chain(blocks)
    {
        out.extend_from_slice(&word.to_le_bytes());
    }
}

impl<'a> Trace<'a> {
    /// Reads what [`push`] wrote; a request that is cut off ends it.
    pub fn new(mut bytes: &'a [u8]) -> Self {
        let mut rows = Vec::new();
        loop {
            let length = (word(bytes, 3) as usize)
                .saturating_mul(4)
                .saturating_add(16);
            let Some((row, rest)) = bytes.split_at_checked(length) else {
                break;
            };
            rows.push(row);
            bytes = rest;
        }
        Self { rows }
    }

    /// Request `n` of the trace repeated for ever. Its prompts are new ones after every `known` repetitions.
    pub fn row(&self, n: u64, known: u64) -> Option<Row> {
        let count = self.rows.len() as u64;
        let (pass, index) = (n.checked_div(count)?, n.checked_rem(count)?);
        let row = self.rows.get(usize::try_from(index).ok()?)?;
        let last = self.rows.last().map_or(0, |last| word(last, 0));
        let millis = u64::from(word(row, 0)) + pass * (u64::from(last) + 1000);
        let blocks = word(row, 3) as usize;
        let mut hash = pass / known.max(1);
        let blocks: Vec<Block> = (0..blocks.min(SEEN))
            .zip(1..)
            .map(|(at, number)| {
                hash = mix(hash ^ u64::from(word(row, 4 + at)));
                Block {
                    hash,
                    end: number * BLOCK_BYTES,
                }
            })
            .collect();
        Some(Row {
            at: Instant::from_micros(1_700_000_000_000_000 + millis * 1000 / RATE),
            prompt_bytes: u64::from(word(row, 1)) * 4,
            output_tokens: word(row, 2),
            whole: word(row, 3) as usize <= SEEN,
            blocks,
            number: n,
        })
    }
}
