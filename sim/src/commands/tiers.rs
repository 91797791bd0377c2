//! `plimsoll-sim tiers`.

use std::path::PathBuf;

use clap::Args;
use plimsoll_core::config::Config;
use plimsoll_sim::engine::Fleet;
use plimsoll_sim::report::{Percentiles, Table};
use plimsoll_sim::tiers::{self, GUARANTEED, Outcome, POLICY, Scenario, TENANTS, fairness};
use serde::Serialize;

use super::check::{self, Check};

/// The longest wait that the policy allows, and a tick.
const LONGEST_WAIT_MS: f64 = 3025.0;

/// Arguments of `tiers`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Engines by GPU kind.
    #[arg(long, default_value = "8xh200")]
    fleet: Fleet,
    /// Offered load as a share of what the fleet completes when flooded.
    #[arg(long, default_value_t = 1.5, value_parser = super::positive)]
    load: f64,
    /// Seconds of arrivals at the load, and as many more at 50 % as the same requests take; a tenth of them is not counted.
    #[arg(long, default_value_t = 60.0, value_parser = super::positive)]
    seconds: f64,
    /// Workers of the proxy.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=64))]
    workers: u64,
    /// Seed of everything random.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Plimsoll configuration (JSON) with tiers and the five tenants instead of the built-in one.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Write the checks here as well.
    #[arg(long)]
    json: Option<PathBuf>,
}

#[derive(Serialize)]
struct Document {
    checks: Vec<Check>,
    /// The same of first come, first served; no promise.
    beside: Vec<Check>,
}

/// What one tenant got.
struct Got {
    ttft: Percentiles,
    served: usize,
    asked: usize,
    refused: usize,
    longest_wait_ms: f64,
    /// Cost a second that was served while requests arrived.
    cost: f64,
    /// Cost a second that was asked for.
    wanted: f64,
    /// Requests a second that were served while requests arrived.
    rate: f64,
}

fn of_tenant(outcomes: &[Outcome], tenant: usize, from: u64, to: u64) -> Got {
    let counted: Vec<&Outcome> = outcomes
        .iter()
        .filter(|outcome| outcome.tenant == tenant && outcome.asked >= from)
        .collect();
    let ms = |micros: u64| micros as f64 / 1000.0;
    let ttft = counted
        .iter()
        .filter_map(|outcome| Some(ms(outcome.first_token? - outcome.last_asked)));
    let all = outcomes.iter().filter(|outcome| outcome.tenant == tenant);
    let ended: Vec<f64> = all
        .filter(|outcome| outcome.end.is_some_and(|end| (from..to).contains(&end)))
        .map(|outcome| outcome.cost as f64)
        .collect();
    let seconds = (to - from) as f64 / 1e6;
    let wanted = counted.iter().map(|outcome| outcome.cost as f64);
    Got {
        ttft: Percentiles::of(ttft.collect()),
        served: counted.iter().filter(|o| o.end.is_some()).count(),
        asked: counted.len(),
        refused: counted.iter().filter(|outcome| outcome.tries > 1).count(),
        longest_wait_ms: counted.iter().map(|o| ms(o.waited)).fold(0.0, f64::max),
        cost: ended.iter().sum::<f64>() / seconds,
        wanted: wanted.sum::<f64>() / seconds,
        rate: ended.len() as f64 / seconds,
    }
}

fn config(hosts: usize, policy: &str) -> Result<Config, String> {
    let hosts: Vec<String> = (0..hosts)
        .map(|host| format!("\"10.0.{}.{}:8000\"", host / 256, host % 256))
        .collect();
    let comma = if policy.is_empty() { "" } else { "," };
    let json = format!("{{\"hosts\":[{}]{comma}{policy}}}", hosts.join(","));
    Config::parse(json.as_bytes()).map_err(|errors| errors.to_string())
}

/// Runs the scenario at the load and at 50 %, and first come, first served beside it.
pub(crate) fn run(arguments: &Arguments) -> Result<(), String> {
    let hosts = arguments.fleet.0.len();
    let fcfs = config(hosts, "")?;
    let tiered = match &arguments.config {
        Some(path) => {
            let mut tiered = super::arena::config(Some(path))?;
            tiered.hosts = fcfs.hosts.clone();
            tiered
        }
        None => {
            let tenants =
                TENANTS.map(|t| format!(r#"{{"name":"{}","tier":"{}"}}"#, t.name, t.tier));
            config(
                hosts,
                &format!("{POLICY},\"tenants\":[{}]", tenants.join(",")),
            )?
        }
    };
    let at = |load: f64, config: &Config| {
        let seconds = arguments.seconds * arguments.load / load;
        let scenario = Scenario::new(&arguments.fleet.0, load, seconds, arguments.seed);
        let outcomes = tiers::run(
            &scenario,
            config,
            arguments.workers as usize,
            arguments.seed,
        );
        let (from, to) = (seconds * 1e5, seconds * 1e6);
        let got: Vec<Got> = (0..TENANTS.len())
            .map(|tenant| of_tenant(&outcomes, tenant, from as u64, to as u64))
            .collect();
        (outcomes, got)
    };
    let (_, calm) = at(0.5, &tiered);
    let (outcomes, loaded) = at(arguments.load, &tiered);
    let (_, first_come) = at(arguments.load, &fcfs);
    for (name, got) in [
        ("50 %, tiers".to_owned(), &calm),
        (format!("{:.0} %, tiers", arguments.load * 100.0), &loaded),
        (
            format!("{:.0} %, first come, first served", arguments.load * 100.0),
            &first_come,
        ),
    ] {
        println!("offered load {name}\n{}", table(got));
        let (cost, rate) = got.iter().fold((0.0, 0.0), |(cost, rate), got| {
            (cost + got.cost, rate + got.rate)
        });
        println!(
            "served: {rate:.1} requests a second, {:.1} thousand tokens a second (output tokens twice)\n",
            cost / 1000.0
        );
    }
    let checks = checks(&calm, &loaded, &outcomes);
    print!("{}", check::table(&checks));
    println!("first come, first served, beside it:");
    let beside = checks_of_shares(&calm, &first_come);
    print!("{}", check::table(&beside));
    super::write_json(arguments.json.as_deref(), &Document { checks, beside })
}

fn table(got: &[Got]) -> Table {
    let mut table = Table::new([
        "tenant",
        "tier",
        "asked",
        "served",
        "refused",
        "TTFT p50",
        "p99 ms",
        "longest wait ms",
        "share",
    ]);
    let all: f64 = got.iter().map(|got| got.cost).sum();
    for (tenant, got) in TENANTS.iter().zip(got) {
        table.line(vec![
            tenant.name.to_owned(),
            tenant.tier.to_owned(),
            got.asked.to_string(),
            got.served.to_string(),
            got.refused.to_string(),
            format!("{:.0}", got.ttft.p50),
            format!("{:.0}", got.ttft.p99),
            format!("{:.0}", got.longest_wait_ms),
            format!("{:.3}", got.cost / all),
        ]);
    }
    table
}

/// What the shares and times of a run come to.
fn checks_of_shares(calm: &[Got], loaded: &[Got]) -> Vec<Check> {
    let all: f64 = loaded.iter().map(|got| got.cost).sum();
    let equal = TENANTS.iter().zip(loaded);
    let equal = equal.filter(|(tenant, _)| tenant.tier == "interactive");
    let divided: Vec<(f64, f64)> = equal.map(|(_, got)| (got.wanted, got.cost)).collect();
    let [voice, .., nightly] = loaded else {
        return Vec::new();
    };
    let lowest = (nightly.cost / all).min(1.0);
    let floor = GUARANTEED.min(nightly.wanted / all);
    vec![
        Check::at_most(
            "p99 TTFT of the top tier, against 50 % load",
            voice.ttft.p99 / calm[0].ttft.p99.max(1e-9),
            1.2,
        ),
        Check::at_least("share of the lowest tier", lowest, floor),
        Check::at_least(
            "Jain index of equal tenants' tokens, against max-min fair parts",
            fairness(&divided),
            0.95,
        ),
    ]
}

fn checks(calm: &[Got], loaded: &[Got], outcomes: &[Outcome]) -> Vec<Check> {
    let mut checks = checks_of_shares(calm, loaded);
    let longest = loaded
        .iter()
        .map(|got| got.longest_wait_ms)
        .fold(0.0, f64::max);
    checks.push(Check::at_most(
        "longest wait of any request, ms",
        longest,
        LONGEST_WAIT_MS,
    ));
    let vain = outcomes
        .iter()
        .filter(|outcome| outcome.status == 504)
        .count();
    checks.push(Check::at_most(
        "share of requests that waited in vain",
        vain as f64 / outcomes.len().max(1) as f64,
        0.01,
    ));
    let told: Vec<&Outcome> = outcomes
        .iter()
        .filter(|outcome| TENANTS[outcome.tenant].name == "crawler" && outcome.tries > 1)
        .collect();
    let kept = told
        .iter()
        .filter(|o| o.tries == 2 && o.status == 200)
        .count();
    checks.push(Check::at_least(
        "requests of the abusive tenant that were told to come back",
        told.len() as f64,
        1.0,
    ));
    checks.push(Check::at_least(
        "of those, served at the second try",
        kept as f64 / told.len().max(1) as f64,
        0.9,
    ));
    checks
}
