//! The project's verbs: `cargo xtask <verb>`, the same on a laptop and in CI.

mod bench;
mod demo;
mod e2e;
mod failure;
mod fuzz;
mod interrupt;
mod miri;
mod peers;
mod race;
mod repo;
mod serve;
mod setup;
mod step;
mod test;
mod wasm;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::failure::Failure;
use crate::repo::Repo;

/// Plimsoll's verbs.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Installs what the other verbs need into .tools/; does nothing where it is there already
    Setup(setup::Args),
    /// Builds the module and holds it against budgets.toml
    Wasm,
    /// Runs Envoy with Plimsoll in front of your inference servers
    Serve(Box<serve::Args>),
    /// Replays a real trace through round robin, least request and Plimsoll, and compares
    Demo(demo::Args),
    /// Replays the demo's trace through the routers and proxies of others as well, and compares
    Peers(peers::Args),
    /// Runs every check, one line each
    Test(test::Args),
    /// Measures what the filter adds to Envoy, and the budgets of the core
    Bench(bench::Args),
    /// Runs the end-to-end tests on the real Envoy
    E2e(e2e::Args),
    /// Fuzzes every reader of the core; needs a nightly toolchain
    Fuzz(fuzz::Args),
    /// Runs the core's readers and tables under Miri; needs a nightly toolchain
    Miri,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = Repo::find().and_then(|repo| {
        interrupt::install()?;
        match cli.verb {
            Verb::Setup(args) => setup::run(&repo, &args),
            Verb::Wasm => wasm::run(&repo),
            Verb::Serve(args) => serve::run(&repo, &args),
            Verb::Demo(args) => demo::run(&repo, &args),
            Verb::Peers(args) => peers::run(&repo, &args),
            Verb::Test(args) => test::run(&repo, &args),
            Verb::Bench(args) => bench::run(&repo, &args),
            Verb::E2e(args) => e2e::run(&repo, &args),
            Verb::Fuzz(args) => fuzz::run(&repo, &args),
            Verb::Miri => miri::run(&repo),
        }
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Interrupted) => {
            eprintln!("interrupted; everything that was started has been stopped");
            ExitCode::from(130)
        }
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}
