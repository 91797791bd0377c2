//! Azure LLM inference traces (Splitwise, ISCA'24): lengths and times, no prefixes.

use std::path::Path;

use super::{Row, Segment, TraceError};

/// Parses `TIMESTAMP,ContextTokens,GeneratedTokens`. Every prompt is its own.
pub(super) fn parse(path: &Path, text: &str) -> Result<Vec<Row>, TraceError> {
    let mut rows = Vec::new();
    let mut first = None;
    for (position, line) in text
        .lines()
        .enumerate()
        .skip(1)
        .filter(|(_, line)| !line.trim().is_empty())
    {
        let problem = |what: &str| TraceError::new(path, position + 1, what);
        let mut fields = line.trim().split(',');
        let mut field = || {
            fields
                .next()
                .ok_or_else(|| problem("three fields are expected"))
        };
        let at = micros(field()?)
            .ok_or_else(|| problem("time: YYYY-MM-DD HH:MM:SS.fraction is expected"))?;
        let input: u32 = field()?
            .parse()
            .map_err(|_| problem("ContextTokens: a number is expected"))?;
        let output: u32 = field()?
            .parse()
            .map_err(|_| problem("GeneratedTokens: a number is expected"))?;
        let start = *first.get_or_insert(at);
        rows.push(Row {
            at_micros: at.saturating_sub(start),
            segments: vec![Segment {
                id: position as u64,
                tokens: input.max(1),
            }],
            output_tokens: output.max(1),
            tenant: 0,
            session: 0,
        });
    }
    Ok(rows)
}

/// Microseconds since the first of the month: the traces span an hour of one day.
fn micros(text: &str) -> Option<u64> {
    let (date, time) = text.split_once(' ')?;
    let day: u64 = date.rsplit('-').next()?.parse().ok()?;
    let mut parts = time.split(':');
    let hours: u64 = parts.next()?.parse().ok()?;
    let minutes: u64 = parts.next()?.parse().ok()?;
    let (seconds, fraction) = parts.next()?.split_once('.')?;
    let seconds: u64 = seconds.parse().ok()?;
    let fraction = format!("{fraction:0<6}");
    let micros: u64 = fraction.get(..6)?.parse().ok()?;
    Some((((day * 24 + hours) * 60 + minutes) * 60 + seconds) * 1_000_000 + micros)
}
