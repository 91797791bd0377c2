//! What every command about the contest takes: traces, how much of them, how often.

use std::path::PathBuf;

use clap::Args;

use super::cells::{self, Cell};
use super::hold::{Contest, Entrant, Routers};

/// Tokens a prefix-cache block of the engines, unless a command asks.
pub(crate) const BLOCK_TOKENS: u32 = 64;

/// The workloads and how often they run.
#[derive(Args)]
pub(crate) struct Field {
    /// Folder with `mooncake-conversation.jsonl`, or with the folders mooncake, azure and ragpulse; traces that are
    /// not there are left out.
    #[arg(long, default_value = "sim/data")]
    traces: PathBuf,
    /// Requests of each workload (azure: four times as many).
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u64).range(20..=1_000_000))]
    limit: u64,
    /// Seeds in a row.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub(crate) seeds: u64,
    /// No notes on standard error.
    #[arg(long)]
    pub(crate) quiet: bool,
}

impl Field {
    /// The workloads.
    pub(crate) fn cells(&self) -> Vec<Cell> {
        cells::cells(&self.traces, self.limit as usize, self.quiet)
    }

    /// A contest on `cells`, with seeds from 1.
    pub(crate) fn contest<'a>(
        &self,
        cells: Vec<&'a Cell>,
        entrants: Vec<Entrant>,
        routers: Vec<Routers>,
    ) -> Contest<'a> {
        Contest {
            cells,
            entrants,
            routers,
            seeds: 1..1 + self.seeds,
            block_tokens: BLOCK_TOKENS,
            quiet: self.quiet,
        }
    }
}

/// Whether `name` begins with one of `prefixes`; all do when there are none.
pub(crate) fn named(name: &str, prefixes: &[String]) -> bool {
    prefixes.is_empty() || prefixes.iter().any(|prefix| name.starts_with(prefix))
}
