//! `plimsoll-sim plots`: the contest in pictures.

mod chart;
mod figures;
mod style;

use std::path::PathBuf;

use clap::Args;

use super::arena;
use super::check::{self, Kind};
use super::contest::{Field, named};
use figures::Plots;

/// Arguments of `plots`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Folder for the SVG files; made if it is not there.
    #[arg(long, default_value = "docs/plots")]
    out: PathBuf,
    #[command(flatten)]
    field: Field,
    /// What `contest --json` wrote: takes its rows for the composites instead of holding the contest again.
    #[arg(long)]
    rows: Option<PathBuf>,
    /// Only plots whose file name begins with one of these.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Plimsoll configuration (JSON) for the core's policies.
    #[arg(long)]
    config: Option<PathBuf>,
}

/// Makes the plots and writes them.
pub(crate) fn run(arguments: &Arguments) -> Result<(), String> {
    let cells = arguments.field.cells();
    let plots = Plots {
        cells: &cells,
        field: &arguments.field,
        config: arena::config(arguments.config.as_deref())?,
    };
    std::fs::create_dir_all(&arguments.out)
        .map_err(|error| format!("{}: {error}", arguments.out.display()))?;
    let wanted = |name: &str| named(name, &arguments.only);
    let write = |name: &str, svg: &str| {
        let path = arguments.out.join(name).with_extension("svg");
        if !arguments.field.quiet {
            eprintln!("{} ({} KB)", path.display(), svg.len().div_ceil(1024));
        }
        std::fs::write(&path, svg).map_err(|error| format!("{}: {error}", path.display()))
    };
    if wanted("composite") {
        let rows = check::rows(
            arguments.rows.as_deref(),
            &arguments.field,
            &cells,
            &plots.config,
        )?;
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
