//! `plimsoll-sim contest`: every policy on every workload, and one number for each.

mod cells;
mod field;
mod hold;
mod score;

pub(crate) use cells::Cell;
pub(crate) use field::{BLOCK_TOKENS, Field, named};
pub(crate) use hold::{Contest, Entrant, Routers};
pub(crate) use score::{Composite, EXCHANGE, OURS, best_rival, composites};

use std::path::PathBuf;

use clap::Args;
use plimsoll_sim::fleet::ResultRow;
use serde::Serialize;

use super::arena;

/// Arguments of `contest`.
#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    field: Field,
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
    /// Tokens a prefix-cache block of the engines.
    #[arg(long, default_value_t = BLOCK_TOKENS, value_parser = clap::value_parser!(u32).range(1..=4096))]
    block_tokens: u32,
    /// Plimsoll configuration (JSON) for the core's policies.
    #[arg(long)]
    config: Option<PathBuf>,
    /// First seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write rows and composites here as well.
    #[arg(long)]
    json: Option<PathBuf>,
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
    let cells = arguments.field.cells();
    let chosen = cells.iter().filter(|cell| cell.named(&arguments.only));
    let entrants = Entrant::plains(&arguments.policies, &config);
    let contest = Contest {
        seeds: arguments.seed..arguments.seed + arguments.field.seeds,
        block_tokens: arguments.block_tokens,
        ..arguments
            .field
            .contest(chosen.collect(), entrants, arguments.routers.clone())
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
