//! Tiers, tenants and the queue on the real Envoy, each figure beside its limit. `cargo xtask e2e tiers` builds what it needs and runs it.

mod door;
mod overload;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use plimsoll_e2e::{Figure, books};
use serde_json::{Value, json};

/// Tiers, tenants and the queue on the real Envoy, each figure beside its limit.
#[derive(Parser)]
struct Cli {
    /// Writes every figure to this file.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Length of the overload in seconds; at 50 % load the same requests take three times as long.
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u64).range(10..=3600))]
    seconds: u64,
    /// Requests of the check of the books.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(10..=1_000_000))]
    requests: u64,
}

#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut figures = told("who may ask", door::play().await);
    figures.extend(told("the books", books::play(cli.requests).await));
    let overload = overload::play(Duration::from_secs(cli.seconds)).await;
    figures.extend(told("150 % of capacity, tiers", overload.tiers));
    let beside = told(
        "150 % of capacity, first come, first served",
        overload.beside,
    );
    if let Some(path) = &cli.json
        && let Err(error) = write(path, &figures, &beside)
    {
        eprintln!("{}: {error}", path.display());
        return ExitCode::FAILURE;
    }
    let missed = figures.iter().filter(|figure| !figure.pass()).count();
    if missed == 0 {
        ExitCode::SUCCESS
    } else {
        eprintln!("{missed} of {} missed", figures.len());
        ExitCode::FAILURE
    }
}

fn told(title: &str, figures: Vec<Figure>) -> Vec<Figure> {
    println!("{title}");
    for figure in &figures {
        println!("{}", figure.line());
    }
    figures
}

fn write(path: &Path, figures: &[Figure], beside: &[Figure]) -> std::io::Result<()> {
    let rows = |figures: &[Figure]| -> Vec<Value> {
        let row = |figure: &Figure| {
            json!({
                "name": figure.what(),
                "value": figure.value(),
                "limit": figure.limit(),
                "unit": figure.unit(),
                "pass": figure.pass(),
            })
        };
        figures.iter().map(row).collect()
    };
    let document = json!({"checks": rows(figures), "beside": rows(beside)});
    std::fs::write(path, format!("{document:#}\n"))
}
