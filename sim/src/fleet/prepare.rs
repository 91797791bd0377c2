//! Requests in the forms that engines and routers want, worked out once for all policies.

use plimsoll_core::request::{Block, Kind, Scanner};

use crate::engine::Prompt;
use crate::trace::{Row, chat_body};

/// Bytes of body that a router reads before it decides: the filter's default.
const DECIDE_AFTER_BYTES: usize = 64 * 1024;

/// One request.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// Ordinal from 0; the engines' job identifier.
    pub id: u64,
    /// Arrival, microseconds.
    pub at_micros: u64,
    /// The prompt as engines see it.
    pub prompt: Prompt,
    /// Tokens of the answer. Only the engine and the oracle may look.
    pub output_tokens: u32,
    /// The prompt as the filter sees it after the first bytes of the body.
    pub blocks: Vec<Block>,
    /// Whether those bytes are the whole body.
    pub blocks_complete: bool,
    /// Prompt bytes, with the unread rest of the body.
    pub prompt_bytes: u64,
    /// Tenant (0: unknown).
    pub tenant: u64,
    /// Conversation (0: unknown).
    pub session: u64,
}

/// Runs every row through the core's own body scanner, as the filter does, and hashes its blocks for the engines.
#[must_use]
pub fn prepare(rows: &[Row], block_tokens: u32) -> Vec<Prepared> {
    let prepare = |(id, row): (usize, &Row)| {
        let body = chat_body("sim", row);
        let (head, rest) = body.split_at(body.len().min(DECIDE_AFTER_BYTES));
        let mut scanner = Scanner::new(Kind::Chat);
        scanner.feed(head);
        let facts = scanner.facts();
        Prepared {
            id: id as u64,
            at_micros: row.at_micros,
            prompt: row.prompt(block_tokens),
            output_tokens: row.output_tokens,
            blocks: facts.blocks.to_vec(),
            blocks_complete: rest.is_empty(),
            prompt_bytes: facts.prompt_bytes + rest.len() as u64,
            tenant: row.tenant,
            session: row.session,
        }
    };
    rows.iter().enumerate().map(prepare).collect()
}
