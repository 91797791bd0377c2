//! `plimsoll-sim compare`.

use std::path::{Path, PathBuf};

use clap::Args;
use plimsoll_sim::engine::{Fleet, Gpu};
use plimsoll_sim::fleet::ResultRow;
use plimsoll_sim::policy::Decisions;
use plimsoll_sim::report::Table;
use serde::Serialize;

use super::arena::{self, Arena, Proxies};
use super::disturb::Disturb;
use super::workload::{Scenario, Workload};

/// Arguments of `compare`.
#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    workload: Workload,
    #[command(flatten)]
    disturb: Disturb,
    /// Engines by GPU kind (documents: 4xl4, else 8xh200).
    #[arg(long)]
    fleet: Option<Fleet>,
    /// Policies, and `bound`: what none can beat.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "round_robin,least_request,lmetric,gie,plimsoll,oracle,bound",
        value_parser = clap::builder::PossibleValuesParser::new(arena::names())
    )]
    policies: Vec<String>,
    /// Independent routers, each with a view of its own.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1024))]
    routers: u64,
    /// Workers of each router: they share its polls and tell each other what they do every 25 ms.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=256))]
    workers: u64,
    /// Milliseconds between two polls of a router.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=600_000))]
    poll_ms: u64,
    /// Tokens a prefix-cache block of the engines.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=4096))]
    block_tokens: u32,
    /// Plimsoll configuration (JSON) for the core's policies: weights, priors, table sizes.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Leading requests that are not counted; by default a tenth.
    #[arg(long)]
    warmup: Option<usize>,
    /// Seeds in a row, starting with --seed.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1000))]
    seeds: u64,
    /// Write the rows here as well.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Record every decision of the core's policies into this file, for `plimsoll-sim replay`.
    #[arg(long)]
    record: Option<PathBuf>,
    /// No notes on standard error.
    #[arg(long)]
    quiet: bool,
}

#[derive(Serialize)]
struct Document {
    rows: Vec<ResultRow>,
}

/// Runs every policy on the same requests and prints the table.
pub(crate) fn run(arguments: Arguments) -> Result<(), String> {
    let documents = arguments.workload.scenario == Some(Scenario::Documents);
    let fleet = match arguments.fleet {
        Some(fleet) => fleet,
        None if documents => Fleet(vec![Gpu::L4; 4]),
        None => Fleet(vec![Gpu::H200; 8]),
    };
    let config = arena::config(arguments.config.as_deref())?;
    let proxies = Proxies {
        routers: arguments.routers as usize,
        workers: arguments.workers as usize,
        poll_ms: arguments.poll_ms,
        warmup: arguments.warmup,
        faults: arguments.disturb.faults(fleet.0.len())?,
    };
    let named = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
    let decisions = match &arguments.record {
        Some(path) => Some(Decisions::create(path).map_err(|error| named(path, error))?),
        None => None,
    };
    let mut rows = Vec::new();
    for seed in arguments.workload.seed..arguments.workload.seed + arguments.seeds {
        let mut arena = Arena::new(
            &arguments.workload,
            &fleet,
            arguments.block_tokens,
            seed,
            arguments.quiet,
        )?;
        arena.set_decisions(&decisions);
        for name in &arguments.policies {
            rows.push(arena.run(name, &proxies, &config));
        }
    }
    if let (Some(decisions), Some(path)) = (&decisions, &arguments.record) {
        decisions.finish().map_err(|error| named(path, error))?;
    }
    print!("{}", table(&rows));
    super::write_json(arguments.json.as_deref(), &Document { rows })
}

fn table(rows: &[ResultRow]) -> Table {
    let mut table = Table::new([
        "policy",
        "seed",
        "TTFT mean",
        "p50",
        "p99 ms",
        "TPOT p99",
        "E2E mean",
        "p50",
        "p99 ms",
        "hits",
        "goodput",
        "req/s",
        "spread",
    ]);
    for row in rows {
        let result = &row.result;
        table.line(vec![
            row.policy.clone(),
            row.seed.to_string(),
            format!("{:.0}", result.ttft_ms.mean),
            format!("{:.0}", result.ttft_ms.p50),
            format!("{:.0}", result.ttft_ms.p99),
            format!("{:.0}", result.tpot_ms.p99),
            format!("{:.0}", result.e2e_ms.mean),
            format!("{:.0}", result.e2e_ms.p50),
            format!("{:.0}", result.e2e_ms.p99),
            format!("{:.3}", result.hit_ratio),
            format!("{:.3}", result.goodput),
            format!("{:.3}", result.throughput_rps),
            format!("{:.1}", result.work_spread_points),
        ]);
    }
    table
}
