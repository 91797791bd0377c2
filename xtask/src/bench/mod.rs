//! `cargo xtask bench`: what the filter adds to Envoy, and the benchmarks of the core.

mod added;
mod client;
mod cpu;
mod native;
mod upstream;

use crate::failure::Failure;
use crate::repo::Repo;
use crate::setup;

/// What to measure.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only what the filter adds in Envoy
    #[arg(long)]
    envoy_only: bool,
    /// Requests in one round of one size; the default is enough for 0.5 microseconds on a quiet machine
    #[arg(long, default_value_t = 4_000)]
    requests: u32,
    /// Rounds with and without the filter, alternating
    #[arg(long, default_value_t = 6)]
    rounds: u32,
}

pub(crate) fn run(repo: &Repo, args: &Args) -> Result<(), Failure> {
    setup::basics(repo)?;
    added::run(repo, args.requests, args.rounds)?;
    added::collector(repo)?;
    if args.envoy_only {
        return Ok(());
    }
    println!();
    native::run(repo)
}
