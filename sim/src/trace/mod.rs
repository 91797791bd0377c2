//! Workloads: what is asked, when, and which parts of prompts are equal.

mod azure;
mod body;
mod generate;
mod mooncake;
mod ragpulse;
mod servegen;
#[cfg(test)]
mod tests;
mod text;

pub use body::chat_body;
pub use generate::{Agents, Bursts, Documents, MultiTurn};
pub use text::{put_text, segment_text};

use core::fmt;
use core::str::FromStr;
use std::path::Path;

use crate::engine::{Prompt, chain, mix};

/// A stretch of prompt: equal identifiers mean equal text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Decides the text.
    pub id: u64,
    /// Length in tokens.
    pub tokens: u32,
}

/// One request of a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Arrival, in microseconds since the workload's start.
    pub at_micros: u64,
    /// The prompt, in order.
    pub segments: Vec<Segment>,
    /// Tokens that the answer will have, at least 1.
    pub output_tokens: u32,
    /// Who asks (0: unknown).
    pub tenant: u64,
    /// Which conversation (0: unknown).
    pub session: u64,
}

impl Row {
    /// Prompt length in tokens.
    #[must_use]
    pub fn input_tokens(&self) -> u32 {
        self.segments.iter().map(|segment| segment.tokens).sum()
    }

    /// The prompt as an engine with blocks of `block_tokens` tokens sees it, without writing the text: a block's hash
    /// covers which stretch of which segments it consists of.
    #[must_use]
    pub fn prompt(&self, block_tokens: u32) -> Prompt {
        let mut blocks = Vec::with_capacity((self.input_tokens() / block_tokens) as usize);
        let mut hash = mix(1);
        let mut room = block_tokens;
        for segment in &self.segments {
            let mut start = 0;
            while start < segment.tokens {
                let take = room.min(segment.tokens - start);
                hash = chain(
                    chain(hash, segment.id),
                    u64::from(start) << 32 | u64::from(take),
                );
                start += take;
                room -= take;
                if room == 0 {
                    blocks.push(hash);
                    room = block_tokens;
                }
            }
        }
        Prompt {
            tokens: self.input_tokens().max(1),
            blocks: blocks.into(),
        }
    }
}

/// Format of a trace file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Mooncake: JSON lines with one hash id a block of 512 tokens.
    Mooncake,
    /// Azure LLM inference trace: CSV of time and lengths.
    Azure,
    /// RAGPulse: JSON lines of component ids; their lengths lie in files beside it.
    Ragpulse,
    /// ServeGen: one CSV of rates and burstiness a client, in a folder. Lengths are synthesised.
    Servegen,
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "mooncake" => Ok(Self::Mooncake),
            "azure" => Ok(Self::Azure),
            "ragpulse" => Ok(Self::Ragpulse),
            "servegen" => Ok(Self::Servegen),
            _ => Err(format!(
                "unknown trace format `{text}`; accepted: mooncake, azure, ragpulse, servegen"
            )),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mooncake => "mooncake",
            Self::Azure => "azure",
            Self::Ragpulse => "ragpulse",
            Self::Servegen => "servegen",
        })
    }
}

/// A file that cannot be read as a trace.
#[derive(Debug)]
pub struct TraceError {
    file: String,
    /// 0 when the file as a whole is meant.
    line: usize,
    problem: String,
}

impl fmt::Display for TraceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.problem),
            line => write!(f, "{}:{line}: {}", self.file, self.problem),
        }
    }
}

impl std::error::Error for TraceError {}

impl TraceError {
    fn new(path: &Path, line: usize, problem: impl fmt::Display) -> Self {
        Self {
            file: path.display().to_string(),
            line,
            problem: problem.to_string(),
        }
    }
}

/// Reads a trace, ordered by arrival; the first request arrives at about 0. `seed` decides what the trace leaves open
/// (arrivals within a time step, lengths).
///
/// # Errors
///
/// File, line and what is wrong with it.
pub fn read(path: &Path, format: Format, seed: u64) -> Result<Vec<Row>, TraceError> {
    let mut rows = match format {
        Format::Mooncake => mooncake::parse(path, &text_of(path)?, seed)?,
        Format::Azure => azure::parse(path, &text_of(path)?)?,
        Format::Ragpulse => ragpulse::read(path)?,
        Format::Servegen => servegen::read(path, seed)?,
    };
    rows.sort_by_key(|row| row.at_micros);
    if rows.is_empty() {
        return Err(TraceError::new(path, 0, "no requests"));
    }
    Ok(rows)
}

fn text_of(path: &Path) -> Result<String, TraceError> {
    std::fs::read_to_string(path).map_err(|error| TraceError::new(path, 0, error))
}

/// Scales arrival times so that the mean rate is `rate` requests a second.
pub fn set_rate(rows: &mut [Row], rate: f64) {
    let Some(last) = rows.last() else { return };
    let span = last.at_micros.max(1) as f64 / 1e6;
    let native = rows.len() as f64 / span;
    scale_rate(rows, rate / native);
}

/// Divides arrival times by `factor`.
pub fn scale_rate(rows: &mut [Row], factor: f64) {
    for row in rows {
        row.at_micros = (row.at_micros as f64 / factor) as u64;
    }
}
