//! The command line.

mod ablate;
mod arena;
mod check;
mod compare;
mod contest;
mod disturb;
mod engines;
mod load;
mod parallel;
mod plots;
mod replay;
mod report;
mod series;
mod tiers;
mod workload;

use std::path::Path;

use clap::{Parser, Subcommand};
use serde::Serialize;

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
    /// Measure what is promised of the decisions: figure beside limit, misses included.
    Check(check::Arguments),
    /// Change each weight of the score in turn and measure what that costs.
    Ablate(ablate::Arguments),
    /// Hold the contest: every policy on every workload, one number each.
    Contest(contest::Arguments),
    /// Draw the contest as SVG files.
    Plots(plots::Arguments),
    /// Replay a workload over HTTP, open loop, and report latencies, cache hits and balance.
    Load(Box<load::Arguments>),
    /// Overload a fleet with tenants of three tiers, one of them abusive: who is served, who waits, who is told to come back.
    Tiers(tiers::Arguments),
    /// Make a bill and a service report for every tenant from a proxy's access log.
    Report(report::Arguments),
    /// Make recorded decisions again, bit by bit, or ask what another policy would have done.
    Replay(replay::Arguments),
}

/// Runs the command.
pub(crate) fn run(cli: Cli) -> Result<(), String> {
    match cli.command {
        Command::Engines(arguments) => engines::run(arguments),
        Command::Compare(arguments) => compare::run(*arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Ablate(arguments) => ablate::run(&arguments),
        Command::Contest(arguments) => contest::run(&arguments),
        Command::Plots(arguments) => plots::run(&arguments),
        Command::Load(arguments) => load::run(*arguments),
        Command::Tiers(arguments) => tiers::run(&arguments),
        Command::Report(arguments) => report::run(&arguments),
        Command::Replay(arguments) => replay::run(&arguments),
    }
}

/// A runtime on this thread: engines and load generator are meant to leave the other cores to what they test.
fn runtime() -> Result<tokio::runtime::Runtime, String> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("tokio: {error}"))
}

/// Writes a report where one is wanted.
fn write_json(path: Option<&Path>, document: &impl Serialize) -> Result<(), String> {
    let Some(path) = path else { return Ok(()) };
    let text = serde_json::to_string_pretty(document).map_err(|error| error.to_string())?;
    std::fs::write(path, text + "\n").map_err(|error| format!("{}: {error}", path.display()))
}

/// Parses a number above zero.
fn positive(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|value: &f64| value.is_finite() && *value > 0.0)
        .ok_or_else(|| "a number above 0".to_owned())
}
