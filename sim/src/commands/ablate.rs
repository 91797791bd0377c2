//! `plimsoll-sim ablate`: what each weight of the score is worth.

use std::path::PathBuf;

use clap::Args;
use plimsoll_core::config::Config;
use plimsoll_sim::fleet::ResultRow;
use plimsoll_sim::report::{Table, ln_composite, mean};
use serde::Serialize;
use serde_json::{Value, json};

use super::contest::{Entrant, Field, OURS, Routers, named};

/// Arguments of `ablate`.
#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    field: Field,
    /// Independent routers and the milliseconds between their polls, as 16@1000.
    #[arg(long, value_delimiter = ',', default_value = "1@200,16@1000")]
    routers: Vec<Routers>,
    /// Only workloads whose name begins with one of these.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Only weights whose name begins with one of these.
    #[arg(long, value_delimiter = ',')]
    weights: Vec<String>,
    /// Write the figures here as well.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// What one change does under one condition; above 1 it is worse than the defaults.
#[derive(Serialize)]
struct Effect {
    variant: String,
    routers: usize,
    poll_ms: u64,
    /// Geometric mean over workloads and seeds of the composite against the defaults.
    composite: f64,
    /// Standard deviation over seeds of its logarithm; absent with one seed.
    seed_sd: Option<f64>,
    /// The workload that it harms most, and its composite.
    worst: (String, f64),
    /// The workload that it serves best, and its composite.
    best: (String, f64),
}

#[derive(Serialize)]
struct Document {
    effects: Vec<Effect>,
}

/// Every weight off, halved and doubled.
fn variants(prefixes: &[String]) -> Result<Vec<Entrant>, String> {
    let schema = Config::schema();
    let weights = schema.pointer("/properties/weights/properties");
    let weights = weights
        .and_then(Value::as_object)
        .ok_or("the configuration has no weights")?;
    let mut variants = Vec::new();
    for (name, field) in weights {
        let chosen = named(name, prefixes);
        let default = field.get("default").and_then(Value::as_f64).unwrap_or(0.0);
        let most = field
            .get("maximum")
            .and_then(Value::as_f64)
            .unwrap_or(f64::MAX);
        for (what, factor) in [("off", 0.0), ("halved", 0.5), ("doubled", 2.0)] {
            // A weight that is 0 by default has nothing to halve.
            let value = (default * factor).min(most);
            if !chosen || value == default {
                continue;
            }
            let document = json!({"weights": {name: value}}).to_string();
            variants.push(Entrant {
                name: format!("{name} {what} ({value})"),
                policy: OURS.to_owned(),
                config: Config::parse(document.as_bytes()).map_err(|errors| errors.to_string())?,
            });
        }
    }
    Ok(variants)
}

/// Runs the variants and prints their table.
pub(crate) fn run(arguments: &Arguments) -> Result<(), String> {
    let cells = arguments.field.cells();
    let variants = variants(&arguments.weights)?;
    let mut entrants = vec![Entrant::plain(OURS, &Config::default())];
    entrants.extend(variants.iter().cloned());
    let chosen = cells.iter().filter(|cell| cell.named(&arguments.only));
    let rows = arguments
        .field
        .contest(chosen.collect(), entrants, arguments.routers.clone())
        .rows()?;
    let mut effects = Vec::new();
    for &routers in &arguments.routers {
        let mut table = Table::new(["variant", "composite", "seed sd", "worst", "", "best", ""]);
        for variant in &variants {
            let Some(effect) = effect(&rows, &variant.name, routers) else {
                continue;
            };
            table.line(vec![
                effect.variant.clone(),
                format!("{:.3}", effect.composite),
                effect
                    .seed_sd
                    .map_or_else(|| "-".to_owned(), |sd| format!("{:.1} %", sd * 100.0)),
                effect.worst.0.clone(),
                format!("{:.3}", effect.worst.1),
                effect.best.0.clone(),
                format!("{:.3}", effect.best.1),
            ]);
            effects.push(effect);
        }
        println!("{routers}\n{table}");
    }
    super::write_json(arguments.json.as_deref(), &Document { effects })
}

fn effect(rows: &[ResultRow], variant: &str, routers: Routers) -> Option<Effect> {
    let of = |policy: &str| {
        let own = rows.iter().filter(|row| {
            row.policy == policy && (row.routers, row.poll_ms) == (routers.count, routers.poll_ms)
        });
        own.collect::<Vec<_>>()
    };
    let defaults = of(OURS);
    let logarithms: Vec<(&ResultRow, f64)> = of(variant)
        .into_iter()
        .filter_map(|row| {
            let same = |other: &&&ResultRow| {
                (&other.trace, &other.fleet, other.seed) == (&row.trace, &row.fleet, row.seed)
            };
            let default = defaults.iter().find(same)?;
            Some((row, ln_composite(&row.result, &default.result)))
        })
        .collect();
    let mean_of = |chosen: &dyn Fn(&ResultRow) -> bool| {
        let chosen = logarithms.iter().filter(|(row, _)| chosen(row));
        mean(&chosen.map(|(_, ln)| *ln).collect::<Vec<_>>())
    };
    let mut seeds: Vec<u64> = logarithms.iter().map(|(row, _)| row.seed).collect();
    seeds.sort_unstable();
    seeds.dedup();
    let by_seed = seeds.iter().map(|&seed| mean_of(&|row| row.seed == seed));
    let by_seed: Vec<f64> = by_seed.collect();
    let centre = mean(&by_seed);
    let squares: f64 = by_seed.iter().map(|mean| (mean - centre).powi(2)).sum();
    let mut workloads: Vec<(String, f64)> = Vec::new();
    for (row, _) in &logarithms {
        let name = format!("{} {}", row.trace, row.fleet);
        if workloads.iter().all(|(known, _)| *known != name) {
            let ln = mean_of(&|other| (&other.trace, &other.fleet) == (&row.trace, &row.fleet));
            workloads.push((name, ln.exp()));
        }
    }
    workloads.sort_by(|(_, a), (_, b)| a.total_cmp(b));
    Some(Effect {
        variant: variant.to_owned(),
        routers: routers.count,
        poll_ms: routers.poll_ms,
        composite: mean_of(&|_| true).exp(),
        seed_sd: (by_seed.len() > 1).then(|| (squares / (by_seed.len() - 1) as f64).sqrt()),
        best: workloads.first()?.clone(),
        worst: workloads.last()?.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_weight_has_its_variants() {
        let all = variants(&[]).unwrap();
        assert!(
            all.iter().any(|variant| variant.name == "stall off (0)"),
            "{:?}",
            all.len()
        );
        let prefill = variants(&["prefill".to_owned()]).unwrap();
        assert_eq!(prefill.len(), 3);
        let default = Config::default().weights.prefill;
        let values: Vec<u64> = prefill
            .iter()
            .map(|variant| variant.config.weights.prefill)
            .collect();
        assert_eq!(values, [0, default / 2, default * 2]);
    }
}
