//! `plimsoll-sim replay`.

use std::io::Read as _;
use std::path::PathBuf;

use clap::Args;
use plimsoll_core::config::Policy;
use plimsoll_core::fixed::ONE;
use plimsoll_core::record::View;
use plimsoll_sim::replay::{self, Difference, Other, Tally, Weight};
use serde::Serialize;

/// Arguments of `replay`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Decision records, or a proxy's log or access log that holds them; - reads standard input.
    file: PathBuf,
    /// Ask what this policy would have done.
    #[arg(long, value_parser = clap::builder::PossibleValuesParser::new(Policy::NAMES.map(|(name, _)| name)))]
    policy: Option<String>,
    /// Ask what other weights would have done, as prefill=3,stall=0.5; the weights that are not named are as recorded.
    #[arg(long, value_delimiter = ',', value_parser = weight)]
    weights: Vec<(Weight, u64)>,
    /// Write the counts here as well.
    #[arg(long)]
    json: Option<PathBuf>,
}

fn weight(text: &str) -> Result<(Weight, u64), String> {
    let known = Weight::NAMES.map(|(name, _)| name).join(", ");
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| format!("give NAME=NUMBER, of {known}"))?;
    let (_, weight) = Weight::NAMES
        .into_iter()
        .find(|(known, _)| *known == name)
        .ok_or_else(|| format!("{name} is not one of {known}"))?;
    let value: f64 = value
        .parse()
        .map_err(|_| format!("{value} is not a number"))?;
    if !(0.0..=1000.0).contains(&value) {
        return Err(format!("{value} is not from 0 to 1000"));
    }
    Ok((weight, (value * ONE as f64 + 0.5) as u64))
}

#[derive(Default, Serialize)]
struct Report {
    records: u64,
    identical: u64,
    differing: u64,
    unreadable: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    under: Option<Tally>,
}

/// Makes every recorded decision again, and says which differ.
pub(crate) fn run(arguments: &Arguments) -> Result<(), String> {
    let path = &arguments.file;
    let named = |error: std::io::Error| format!("{}: {error}", path.display());
    let mut bytes = Vec::new();
    if path.as_os_str() == "-" {
        std::io::stdin().read_to_end(&mut bytes).map_err(named)?;
    } else {
        bytes = std::fs::read(path).map_err(named)?;
    }
    let found = replay::read(&bytes);
    let other = other(arguments);
    let mut report = Report::default();
    let mut tally = Tally::default();
    for place in &found.unreadable {
        println!("{place}: not a record");
        report.unreadable += 1;
    }
    for (number, record) in (1..).zip(&found.records) {
        report.records += 1;
        let view = match View::new_checked(record) {
            Ok(view) => view,
            Err(error) => {
                println!("record {number}: {error}");
                report.unreadable += 1;
                continue;
            }
        };
        let pair = replay::again(&view);
        if pair.recorded == pair.again {
            report.identical += 1;
        } else {
            report.differing += 1;
            println!("record {number}: {}", Difference(&view, &pair));
        }
        if let Some(other) = &other {
            tally.add(&view, other);
        }
    }
    println!(
        "{} records: {} identical, {} differ, {} unreadable",
        report.records, report.identical, report.differing, report.unreadable
    );
    if let Some(other) = other {
        say(&tally, other.policy.name());
        report.policy = Some(other.policy.name().to_owned());
        report.under = Some(tally);
    }
    super::write_json(arguments.json.as_deref(), &report)?;
    if report.records == 0 {
        return Err(format!("{}: no decision records", path.display()));
    }
    if report.differing + report.unreadable > 0 {
        return Err("not every decision is what was recorded".to_owned());
    }
    Ok(())
}

fn other(arguments: &Arguments) -> Option<Other> {
    let policy = arguments.policy.as_deref().and_then(Policy::from_name);
    if policy.is_none() && arguments.weights.is_empty() {
        return None;
    }
    Some(Other {
        policy: policy.unwrap_or(Policy::Plimsoll),
        weights: arguments.weights.clone(),
    })
}

fn say(tally: &Tally, name: &str) {
    let all = (tally.agreed + tally.disagreed).max(1) as f64;
    println!(
        "{name} agrees on {} and chooses another host for {} ({:.2} %)",
        tally.agreed,
        tally.disagreed,
        tally.disagreed as f64 / all * 100.0
    );
    let each = (tally.disagreed - tally.unpredicted).max(1) as f64;
    println!(
        "by the recorded weights that costs {:.1} ms a disagreement ({:.3} ms a request); by its own it gains {:.1} ms",
        tally.regret_us as f64 / each / 1e3,
        tally.regret_us as f64 / all / 1e3,
        tally.gain_us as f64 / each / 1e3
    );
    if tally.unpredicted > 0 {
        println!(
            "{} disagreements came before anything was known of costs",
            tally.unpredicted
        );
    }
}
