//! Mooncake traces (FAST'25).

use std::path::Path;

use serde::Deserialize;

use super::{Row, Segment, TraceError};
use crate::random::Random;

/// Tokens a hash id stands for.
const BLOCK_TOKENS: u32 = 512;

#[derive(Deserialize)]
struct Line {
    /// Milliseconds.
    timestamp: u64,
    input_length: u32,
    output_length: u32,
    hash_ids: Vec<u64>,
}

/// Parses JSON lines.
///
/// Timestamps come in steps (3 s in the conversation trace), many requests on each. Requests that share a timestamp
/// are spread uniformly, in their order, over the time to the next one: real clients do not arrive in volleys, and
/// volleys would measure how a policy breaks ties.
pub(super) fn parse(path: &Path, text: &str, seed: u64) -> Result<Vec<Row>, TraceError> {
    let mut lines = Vec::new();
    for (position, line) in text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
    {
        let line: Line = serde_json::from_str(line)
            .map_err(|error| TraceError::new(path, position + 1, error))?;
        if u64::from(line.input_length.div_ceil(BLOCK_TOKENS)) != line.hash_ids.len() as u64 {
            return Err(TraceError::new(
                path,
                position + 1,
                "input_length does not match the number of hash_ids",
            ));
        }
        lines.push(line);
    }
    lines.sort_by_key(|line| line.timestamp);
    let mut random = Random::new(seed);
    let first = lines.first().map_or(0, |line| line.timestamp);
    let mut rows = Vec::with_capacity(lines.len());
    for group in lines.chunk_by(|a, b| a.timestamp == b.timestamp) {
        let start = (group[0].timestamp - first) * 1000;
        let step = match lines.get(rows.len() + group.len()) {
            Some(next) => (next.timestamp - group[0].timestamp) * 1000,
            None => 0,
        };
        // A pause in the trace is a pause, not a step to fill.
        let step = if group.len() > 1 {
            step.min(3_000_000)
        } else {
            0
        };
        let mut offsets: Vec<u64> = group.iter().map(|_| random.below(step)).collect();
        offsets.sort_unstable();
        for (line, offset) in group.iter().zip(offsets) {
            rows.push(row(line, start + offset));
        }
    }
    Ok(rows)
}

fn row(line: &Line, at_micros: u64) -> Row {
    let mut left = line.input_length;
    let segments = line.hash_ids.iter().map(|&id| {
        let tokens = left.min(BLOCK_TOKENS);
        left -= tokens;
        Segment { id, tokens }
    });
    Row {
        at_micros,
        segments: segments.collect(),
        output_tokens: line.output_length.max(1),
        tenant: 0,
        session: 0,
    }
}
