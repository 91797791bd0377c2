//! The chaos suite: faults under load on the real Envoy. `cargo xtask e2e chaos` builds what it needs and runs it.

mod memory;
mod report;
mod scenarios;
mod stage;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use plimsoll_e2e::Figure;
use serde_json::{Value, json};
use tokio::task::{LocalSet, spawn_local};

use crate::report::Report;

/// Faults under load on the real Envoy, each figure beside its limit.
#[derive(Parser)]
struct Cli {
    /// Plays only the scenarios whose names begin with this.
    scenario: Option<String>,
    /// Writes every figure to this file.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Plays in real time, with the default configuration, what the suite plays faster, and nothing else.
    #[arg(long)]
    real_time: bool,
    /// Judges what is counted, and only tells what is timed: for a machine that does other work.
    #[arg(long)]
    untimed: bool,
    /// Length of the soak, which runs beside the others.
    #[arg(long, default_value_t = 60)]
    soak_seconds: u64,
}

/// The scenario that runs beside the others.
const SOAK: &str = "soak";

#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let wanted = cli.scenario.unwrap_or_default();
    let scenarios = if cli.real_time {
        scenarios::SLOW
    } else {
        scenarios::ALL
    };
    let soaks = !cli.real_time && SOAK.starts_with(&wanted);
    let soak = soaks.then(|| soak(cli.soak_seconds));
    let mut rows: Vec<Value> = Vec::new();
    let mut failed = Vec::new();
    for (name, play) in scenarios {
        if !name.starts_with(&wanted) {
            continue;
        }
        // A task of its own, so that a scenario that panics fails alone.
        let scenario = LocalSet::new();
        let report = match scenario
            .run_until(async { spawn_local(play()).await })
            .await
        {
            Ok(report) => report,
            Err(error) => Report::broken(name, &message(error)),
        };
        conclude(report, cli.untimed, &mut rows, &mut failed);
    }
    if let Some(soak) = soak {
        let report = soak
            .join()
            .unwrap_or_else(|panic| Report::broken(SOAK, &words(&*panic)));
        conclude(report, cli.untimed, &mut rows, &mut failed);
    }
    if let Some(path) = cli.json
        && let Err(error) = std::fs::write(&path, format!("{:#}\n", json!({"scenarios": rows})))
    {
        eprintln!("{}: {error}", path.display());
        return ExitCode::FAILURE;
    }
    if rows.is_empty() {
        eprintln!("no scenario is called {wanted}");
        return ExitCode::FAILURE;
    }
    if failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        eprintln!("failed: {}", failed.join(", "));
        ExitCode::FAILURE
    }
}

fn conclude(
    mut report: Report,
    untimed: bool,
    rows: &mut Vec<Value>,
    failed: &mut Vec<&'static str>,
) {
    if untimed {
        report.figures = report.figures.into_iter().map(Figure::untimed).collect();
    }
    report.print();
    rows.extend(report.rows());
    if !report.pass() {
        failed.push(report.name);
    }
}

/// Starts the soak on a thread of its own.
fn soak(seconds: u64) -> std::thread::JoinHandle<Report> {
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(scenarios::soak::play(Duration::from_secs(seconds)))
    })
}

fn message(error: tokio::task::JoinError) -> String {
    match error.try_into_panic() {
        Ok(panic) => words(&*panic),
        Err(error) => error.to_string(),
    }
}

fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string))
        .unwrap_or_default()
}
