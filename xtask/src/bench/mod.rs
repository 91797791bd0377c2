//! `cargo xtask bench`: what the filter adds to Envoy, and the benchmarks of the core.

mod added;
mod client;
mod cpu;
pub(crate) mod gates;
mod native;
mod upstream;

use std::path::PathBuf;

use crate::failure::Failure;
use crate::repo::Repo;
use crate::setup;

/// What to measure.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only what the filter adds in Envoy
    #[arg(long)]
    envoy_only: bool,
    /// Only what polling a large fleet costs in Envoy
    #[arg(long)]
    collector_only: bool,
    /// Only the counted instructions, and fails where one is over its budget
    #[arg(long)]
    gates: bool,
    /// Requests in one round of one size; the default is enough for 0.5 microseconds on a quiet machine
    #[arg(long, default_value_t = 4_000)]
    requests: u32,
    /// Rounds with and without the filter, alternating
    #[arg(long, default_value_t = 6)]
    rounds: u32,
    /// Another module to measure in the same run, such as that of another commit
    #[arg(long, value_name = "FILE")]
    against: Vec<PathBuf>,
}

pub(crate) fn run(repo: &Repo, args: &Args) -> Result<(), Failure> {
    if args.gates {
        if let Some(note) = gates::run(repo)? {
            println!("skipped: {note}");
        }
        return Ok(());
    }
    setup::basics(repo)?;
    let plan = added::Plan {
        requests: args.requests,
        rounds: args.rounds,
        against: &args.against,
    };
    if !args.collector_only {
        added::run(repo, &plan)?;
    }
    added::collector(repo, &args.against)?;
    if args.envoy_only || args.collector_only {
        return Ok(());
    }
    println!();
    native::run(repo)
}
