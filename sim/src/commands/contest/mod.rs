//! `plimsoll-sim contest`: every policy on every workload, and one number for each.

mod cells;
mod score;

use core::str::FromStr;
use std::path::PathBuf;

use clap::Args;
use plimsoll_sim::fleet::{Faults, ResultRow};
use serde::Serialize;

use super::arena::{self, Arena, BOUND, Proxies};
use score::{Composite, composites};

/// The oracle sees everything itself: how many routers there are changes nothing for it, nor for the bound.
const ORACLE: &str = "oracle";

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

fn default_policies() -> Vec<String> {
    let out = ["weighted_round_robin", "random"];
    let all = arena::names().into_iter();
    all.filter(|name| !out.contains(name))
        .map(str::to_owned)
        .collect()
}

/// How many routers, and how often they poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Routers {
    count: usize,
    poll_ms: u64,
}

impl FromStr for Routers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once('@').and_then(|(count, poll_ms)| {
            let count = count
                .parse()
                .ok()
                .filter(|count| (1..=1024).contains(count));
            let poll_ms = poll_ms.parse().ok().filter(|ms| (1..=600_000).contains(ms));
            Some(Self {
                count: count?,
                poll_ms: poll_ms?,
            })
        });
        parsed.ok_or_else(|| format!("`{text}` is not ROUTERS@POLL_MS, as 16@1000"))
    }
}

#[derive(Serialize)]
struct Document {
    rows: Vec<ResultRow>,
    composites: Vec<Composite>,
}

/// Holds the contest and prints its tables.
pub(crate) fn run(arguments: &Arguments) -> Result<(), String> {
    let config = arena::config(arguments.config.as_deref())?;
    let cells = cells::cells(&arguments.traces, arguments.limit as usize, arguments.quiet);
    let mut rows = Vec::new();
    for cell in cells.iter().filter(|cell| cell.named(&arguments.only)) {
        for seed in arguments.seed..arguments.seed + arguments.seeds {
            if !arguments.quiet {
                eprintln!("{} on {}, seed {seed}", cell.name, cell.fleet);
            }
            let arena = Arena::new(
                &cell.workload,
                &cell.fleet,
                arguments.block_tokens,
                seed,
                true,
            )?;
            for row in hold(&arena, arguments, &config) {
                rows.push(ResultRow {
                    trace: cell.name.to_owned(),
                    ..row
                });
            }
        }
    }
    if rows.is_empty() {
        return Err("no workload is left: see --traces and --only".to_owned());
    }
    let composites = composites(&rows);
    for routers in &arguments.routers {
        println!(
            "{} router{}, polls every {} ms",
            routers.count,
            if routers.count == 1 { "" } else { "s" },
            routers.poll_ms
        );
        let of = |composite: &&Composite| {
            (composite.routers, composite.poll_ms) == (routers.count, routers.poll_ms)
        };
        let chosen: Vec<&Composite> = composites.iter().filter(of).collect();
        println!("{}", score::overall(&chosen));
        println!("{}", score::by_workload(&chosen));
    }
    if let Some(path) = &arguments.json {
        let document = Document { rows, composites };
        let text = serde_json::to_string_pretty(&document).map_err(|error| error.to_string())?;
        std::fs::write(path, text + "\n")
            .map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

/// Every policy on one workload, by condition.
fn hold(
    arena: &Arena,
    arguments: &Arguments,
    config: &plimsoll_core::config::Config,
) -> Vec<ResultRow> {
    let mut rows: Vec<ResultRow> = Vec::new();
    for routers in &arguments.routers {
        let proxies = Proxies {
            routers: routers.count,
            workers: 1,
            poll_ms: routers.poll_ms,
            warmup: None,
            faults: Faults::default(),
        };
        for policy in &arguments.policies {
            let known = rows.iter().find(|row| {
                [ORACLE, BOUND].contains(&row.policy.as_str()) && row.policy == *policy
            });
            let row = match known {
                Some(row) => ResultRow {
                    routers: routers.count,
                    poll_ms: routers.poll_ms,
                    ..row.clone()
                },
                None => arena.run(policy, &proxies, config),
            };
            rows.push(row);
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routers_and_polls_are_read() {
        let routers = Routers {
            count: 16,
            poll_ms: 1000,
        };
        assert_eq!("16@1000".parse(), Ok(routers));
        for wrong in ["16", "0@5", "a@b", "4@0"] {
            let result: Result<Routers, String> = wrong.parse();
            assert!(result.unwrap_err().contains(wrong));
        }
    }
}
