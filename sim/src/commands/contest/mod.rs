//! `plimsoll-sim contest`: every policy on every workload, and one number for each.

mod cells;
mod hold;
mod score;

pub(crate) use cells::{Cell, cells};
pub(crate) use hold::{Contest, Entrant, Routers};
pub(crate) use score::{Composite, OURS, best_rival, composites};

use std::path::PathBuf;

use clap::Args;
use plimsoll_sim::fleet::ResultRow;
use serde::Serialize;

use super::arena;

/// Arguments of `contest`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Folder with `mooncake-conversation.jsonl`, or with the folders mooncake, azure and ragpulse; traces that are
    /// not there are left out.
    #[arg(long, default_value = "sim/data")]
    traces: PathBuf,
    /// Policies; by default all but the plain statistics of round robin's kind.
    #[arg(
        long,
        value_delimiter = ',',
        default_values_t = default_policies(),
        value_parser = clap::builder::PossibleValuesParser::new(arena::names())
    )]
    policies: Vec<String>,
    /// Independent routers and the milliseconds between their polls, as 16@1000.
    #[arg(long, value_delimiter = ',', default_value = "1@200,16@1000")]
    routers: Vec<Routers>,
    /// Only workloads whose name begins with one of these.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Requests of each workload (azure: four times as many).
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u64).range(20..=1_000_000))]
    limit: u64,
    /// Tokens a prefix-cache block of the engines.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=4096))]
    block_tokens: u32,
    /// Plimsoll configuration (JSON) for the core's policies.
    #[arg(long)]
    config: Option<PathBuf>,
    /// First seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Seeds in a row.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=1000))]
    seeds: u64,
    /// Write rows and composites here as well.
    #[arg(long)]
    json: Option<PathBuf>,
    /// No notes on standard error.
    #[arg(long)]
    quiet: bool,
}

/// Every policy but those that are no more than round robin.
pub(crate) fn default_policies() -> Vec<String> {
    let out = ["weighted_round_robin", "random"];
    let all = arena::names().into_iter();
    all.filter(|name| !out.contains(name))
        .map(str::to_owned)
        .collect()
}

#[derive(Serialize)]
struct Document {
    rows: Vec<ResultRow>,
    composites: Vec<Composite>,
}

/// Holds the contest and prints its tables.
pub(crate) fn run(arguments: &Arguments) -> Result<(), String> {
    let config = arena::config(arguments.config.as_deref())?;
    let cells = cells(&arguments.traces, arguments.limit as usize, arguments.quiet);
    let contest = Contest {
        cells: cells
            .iter()
            .filter(|cell| cell.named(&arguments.only))
            .collect(),
        entrants: arguments
            .policies
            .iter()
            .map(|policy| Entrant::plain(policy, &config))
            .collect(),
        routers: arguments.routers.clone(),
        seeds: arguments.seed..arguments.seed + arguments.seeds,
        block_tokens: arguments.block_tokens,
        quiet: arguments.quiet,
    };
    let rows = contest.rows()?;
    if rows.is_empty() {
        return Err("no workload is left: see --traces and --only".to_owned());
    }
    let composites = composites(&rows);
    for routers in &arguments.routers {
        println!("{routers}");
        let of = |composite: &&Composite| {
            (composite.routers, composite.poll_ms) == (routers.count, routers.poll_ms)
        };
        let chosen: Vec<&Composite> = composites.iter().filter(of).collect();
        println!("{}", score::overall(&chosen));
        println!("{}", score::by_workload(&chosen));
    }
    super::write_json(arguments.json.as_deref(), &Document { rows, composites })
}
