//! The command line.

mod arena;
mod compare;
mod contest;
mod disturb;
mod engines;
mod load;
mod workload;

use clap::{Parser, Subcommand};

/// Simulated LLM engines, load against them, and routing policies compared.
#[derive(Parser)]
#[command(name = "plimsoll-sim", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve simulated engines over HTTP, compatible with vLLM.
    Engines(engines::Arguments),
    /// Compare routing policies in a discrete-event fleet.
    Compare(Box<compare::Arguments>),
    /// Hold the contest: every policy on every workload, one number each.
    Contest(contest::Arguments),
    /// Replay a workload over HTTP, open loop, and report latencies, cache hits and balance.
    Load(Box<load::Arguments>),
}

/// Runs the command.
pub(crate) fn run(cli: Cli) -> Result<(), String> {
    match cli.command {
        Command::Engines(arguments) => engines::run(arguments),
        Command::Compare(arguments) => compare::run(*arguments),
        Command::Contest(arguments) => contest::run(&arguments),
        Command::Load(arguments) => load::run(*arguments),
    }
}

/// A runtime on this thread: engines and load generator are meant to leave the other cores to what they test.
fn runtime() -> Result<tokio::runtime::Runtime, String> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("tokio: {error}"))
}

/// Parses a number above zero.
fn positive(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|value: &f64| value.is_finite() && *value > 0.0)
        .ok_or_else(|| "a number above 0".to_owned())
}
