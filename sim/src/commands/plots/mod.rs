//! `plimsoll-sim plots`: the contest in pictures.

mod chart;
mod figures;
mod style;

use std::path::PathBuf;

use clap::Args;

use super::arena;
use super::check::{self, Kind};
use super::contest::{Contest, Entrant, cells, default_policies};
use figures::Plots;

/// Arguments of `plots`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Folder for the SVG files; made if it is not there.
    #[arg(long, default_value = "docs/plots")]
    out: PathBuf,
    /// Folder of traces, as for `contest`.
    #[arg(long, default_value = "sim/data")]
    traces: PathBuf,
    /// What `contest --json` wrote: takes its rows for the composites instead of holding the contest again.
    #[arg(long)]
    rows: Option<PathBuf>,
    /// Only plots whose file name begins with one of these.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Requests of each workload, as for `contest`.
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u64).range(20..=1_000_000))]
    limit: u64,
    /// Plimsoll configuration (JSON) for the core's policies.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Seeds in a row, from 1.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=1000))]
    seeds: u64,
    /// No notes on standard error.
    #[arg(long)]
    quiet: bool,
}

/// Makes the plots and writes them.
pub(crate) fn run(arguments: &Arguments) -> Result<(), String> {
    let cells = cells(&arguments.traces, arguments.limit as usize, arguments.quiet);
    let plots = Plots {
        cells: &cells,
        seeds: arguments.seeds,
        config: arena::config(arguments.config.as_deref())?,
    };
    std::fs::create_dir_all(&arguments.out)
        .map_err(|error| format!("{}: {error}", arguments.out.display()))?;
    let wanted = |name: &str| {
        arguments.only.is_empty() || arguments.only.iter().any(|prefix| name.starts_with(prefix))
    };
    let write = |name: &str, svg: &str| {
        let path = arguments.out.join(name).with_extension("svg");
        if !arguments.quiet {
            eprintln!("{} ({} KB)", path.display(), svg.len().div_ceil(1024));
        }
        std::fs::write(&path, svg).map_err(|error| format!("{}: {error}", path.display()))
    };
    if wanted("composite") {
        let rows = match &arguments.rows {
            Some(path) => check::read_rows(path)?,
            None => {
                let policies = default_policies();
                let entrants = policies.iter();
                Contest {
                    cells: cells.iter().collect(),
                    entrants: entrants
                        .map(|policy| Entrant::plain(policy, &plots.config))
                        .collect(),
                    routers: vec![check::ONE, check::MANY],
                    seeds: 1..1 + arguments.seeds,
                    block_tokens: 64,
                    quiet: arguments.quiet,
                }
                .rows()?
            }
        };
        write("composite", &plots.composites(&rows)?)?;
    }
    if wanted("throttled-host") {
        write("throttled-host", &plots.change(Kind::Throttle)?)?;
    }
    if wanted("cold-join") {
        write("cold-join", &plots.change(Kind::Join)?)?;
    }
    if wanted("routers") {
        write("routers", &plots.routers()?)?;
    }
    if wanted("load") {
        let [goodput, ttft] = plots.loads()?;
        write("load-goodput", &goodput)?;
        write("load-ttft", &ttft)?;
    }
    Ok(())
}
