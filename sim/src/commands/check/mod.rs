//! `plimsoll-sim check`: what is promised of the decisions, figure beside limit.

mod changes;
mod composites;

pub(crate) use changes::{FAIR, Kind, THROTTLED, courses, share};

use std::path::{Path, PathBuf};

use clap::Args;
use plimsoll_core::config::Config;
use plimsoll_sim::fleet::ResultRow;
use plimsoll_sim::report::Table;
use serde::{Deserialize, Serialize};

use super::arena;
use super::contest::{Cell, EXCHANGE, Entrant, Field, OURS, Routers, default_policies};

/// Arguments of `check`.
#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    field: Field,
    /// What `contest --json` wrote: takes its rows instead of holding the contest again.
    #[arg(long)]
    rows: Option<PathBuf>,
    /// Plimsoll configuration (JSON) for the core's policies.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Write the checks here as well.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// One promise.
#[derive(Serialize)]
pub(crate) struct Check {
    name: String,
    value: f64,
    limit: f64,
    /// Whether the limit is the least that will do, not the most.
    at_least: bool,
    pass: bool,
}

impl Check {
    /// `value` must not exceed `limit`.
    pub(crate) fn at_most(name: impl Into<String>, value: f64, limit: f64) -> Self {
        Self {
            name: name.into(),
            value,
            limit,
            at_least: false,
            pass: value <= limit,
        }
    }

    /// `value` must reach `limit`.
    pub(crate) fn at_least(name: impl Into<String>, value: f64, limit: f64) -> Self {
        Self {
            at_least: true,
            pass: value >= limit,
            ..Self::at_most(name, value, limit)
        }
    }
}

#[derive(Serialize)]
struct Document {
    checks: Vec<Check>,
}

/// What is read of the contest's report.
#[derive(Deserialize)]
struct Rows {
    rows: Vec<ResultRow>,
}

/// Rows of the contest from the file that it wrote.
fn read_rows(path: &Path) -> Result<Vec<ResultRow>, String> {
    let text = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let rows: Rows =
        serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(rows.rows)
}

/// The conditions that the promises are about.
pub(crate) const ONE: Routers = Routers {
    count: 1,
    poll_ms: 200,
};
/// See [`ONE`].
pub(crate) const MANY: Routers = Routers {
    count: 16,
    poll_ms: 1000,
};

/// The rows that `contest --json` wrote to `path`, or those of a contest of all policies on `cells` with few routers and with many.
pub(crate) fn rows(
    path: Option<&Path>,
    field: &Field,
    cells: &[Cell],
    config: &Config,
) -> Result<Vec<ResultRow>, String> {
    match path {
        Some(path) => read_rows(path),
        None => {
            let entrants = Entrant::plains(&default_policies(), config);
            let cells = cells.iter().collect();
            field.contest(cells, entrants, vec![ONE, MANY]).rows()
        }
    }
}

/// Measures everything and prints it.
pub(crate) fn run(arguments: &Arguments) -> Result<(), String> {
    let config = arena::config(arguments.config.as_deref())?;
    let cells = arguments.field.cells();
    let rows = rows(arguments.rows.as_deref(), &arguments.field, &cells, &config)?;
    let mut checks = composites::against_others(&rows);
    let slow = vec![composites::FAST, composites::SLOW];
    let equal = |cell: &&Cell| cell.is_equal() && ["agents", "conversation"].contains(&cell.name);
    let ours = Entrant::plains(&[OURS, EXCHANGE], &config);
    let equal = cells.iter().filter(equal).collect();
    let stale = arguments.field.contest(equal, ours, slow).rows()?;
    checks.extend(composites::slow_polls(&stale));
    checks.extend(composites::mixed_fleets(&rows));
    checks.extend(changes::checks(arguments.field.seeds, &config)?);
    print!("{}", table(&checks));
    super::write_json(arguments.json.as_deref(), &Document { checks })
}

/// Each figure beside its limit.
pub(crate) fn table(checks: &[Check]) -> Table {
    let mut table = Table::new(["", "figure", "limit", ""]);
    for check in checks {
        let sign = if check.at_least { ">=" } else { "<=" };
        table.line(vec![
            check.name.clone(),
            format!("{:.3}", check.value),
            format!("{sign} {}", check.limit),
            if check.pass { "pass" } else { "MISS" }.to_owned(),
        ]);
    }
    table
}
