//! `plimsoll-sim load`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use plimsoll_sim::engine::{Fleet, Gpu};
use plimsoll_sim::load::{self, Config};

use super::workload::{Scenario, Workload};

/// Arguments of `load`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Where to send, such as http://127.0.0.1:10000.
    #[arg(long, required_unless_present = "targets", conflicts_with = "targets")]
    target: Option<String>,
    /// Several servers that take turns.
    #[arg(long, value_delimiter = ',')]
    targets: Vec<String>,
    #[command(flatten)]
    workload: Workload,
    /// Fleet behind the target, for --load (documents: 4xl4, else 8xh200).
    #[arg(long)]
    fleet: Option<Fleet>,
    /// Tokens a prefix-cache block of the engines, for --load.
    #[arg(long, default_value_t = 64)]
    block_tokens: u32,
    /// The engines' speed-up.
    #[arg(long, default_value_t = 1.0, value_parser = super::positive)]
    speedup: f64,
    /// Leading requests that are sent but not counted.
    #[arg(long, default_value_t = 0)]
    warmup: usize,
    /// Engines to sample for balance, ip:port each.
    #[arg(long, value_delimiter = ',')]
    engines: Vec<String>,
    /// Model name in the requests.
    #[arg(long, default_value = "sim")]
    model: String,
    /// Longest a request may take, seconds of the engines' time.
    #[arg(long, default_value_t = 1200)]
    timeout_s: u64,
    /// Name in the report; by default the workload's.
    #[arg(long)]
    name: Option<String>,
    /// Write the report here; else to standard output.
    #[arg(long)]
    json: Option<PathBuf>,
    /// No progress bar and no notes.
    #[arg(long)]
    quiet: bool,
}

/// Replays the workload and writes the report.
pub(crate) fn run(arguments: Arguments) -> Result<(), String> {
    let documents = arguments.workload.scenario == Some(Scenario::Documents);
    let fleet = arguments.fleet.map_or_else(
        || vec![if documents { Gpu::L4 } else { Gpu::H200 }; if documents { 4 } else { 8 }],
        |fleet| fleet.0,
    );
    let seed = arguments.workload.seed;
    let (rows, _) =
        arguments
            .workload
            .rows(&fleet, arguments.block_tokens, seed, arguments.quiet)?;
    let authority = |target: &String| -> Result<String, String> {
        let rest = target
            .strip_prefix("http://")
            .unwrap_or(target)
            .trim_end_matches('/');
        if rest.contains("://") || rest.contains('/') || !rest.contains(':') {
            return Err(format!("target `{target}`: write http://HOST:PORT"));
        }
        Ok(rest.to_owned())
    };
    let name = arguments.name.unwrap_or_else(|| arguments.workload.name());
    let config = Config {
        targets: arguments
            .targets
            .iter()
            .chain(&arguments.target)
            .map(authority)
            .collect::<Result<_, _>>()?,
        engines: arguments
            .engines
            .iter()
            .map(authority)
            .collect::<Result<_, _>>()?,
        model: arguments.model,
        speedup: arguments.speedup,
        warmup: arguments.warmup,
        timeout: Duration::from_secs(arguments.timeout_s),
        name,
        quiet: arguments.quiet,
    };
    let report = super::runtime()?.block_on(load::replay(&config, rows));
    let text = serde_json::to_string_pretty(&report).map_err(|error| error.to_string())?;
    match arguments.json {
        Some(path) => std::fs::write(&path, text + "\n")
            .map_err(|error| format!("{}: {error}", path.display())),
        None => {
            println!("{text}");
            Ok(())
        }
    }
}
