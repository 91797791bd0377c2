//! The founding story: short and long documents on equal hosts, saturated as well, beside an oracle.

use std::fs;
use std::process::Command;

use plimsoll_envoy::Policy;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::demo::measure;
use crate::failure::Failure;
use crate::race::{Plan, Target, WORKERS};
use crate::repo::Repo;
use crate::step;

/// Arrivals over what round robin completes: every policy is saturated, and no queue grows so long that
/// only the order of the backlog counts.
const FLOOD: f64 = 1.5;
/// Seeds that are simulated: how long a contract waits behind others is luck, and round robin's p99 differs twofold between seeds.
const SEEDS: u32 = 20;

/// One row of `plimsoll-sim compare`.
#[derive(Deserialize, Serialize)]
struct Simulated {
    policy: String,
    seed: u64,
    e2e_ms: Tail,
    work_spread_points: f64,
    /// Requests a second while requests arrive.
    throughput_rps: f64,
    /// Requests a second until the last answer.
    drained_rps: f64,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Deserialize, Serialize)]
struct Tail {
    p99: f64,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Deserialize)]
struct Comparison {
    rows: Vec<Simulated>,
}

/// What the founding story claims, for one policy against round robin.
struct Claims {
    /// Greatest difference in work between two hosts, points.
    spread: Option<f64>,
    /// p99 of E2E below round robin's, percent.
    tail: f64,
    /// Throughput at saturation, while requests arrive, above round robin's, percent.
    throughput: f64,
    /// The same until the last answer, so that the order of the backlog counts as well, percent.
    drained: f64,
}

/// Runs round robin and Plimsoll flooded, simulates the oracle on the same traffic, prints the claims.
pub(crate) fn run(repo: &Repo, plan: &Plan, targets: &[Target]) -> Result<Value, Failure> {
    let (Some(round_robin), Some(plimsoll)) = (targets.first(), targets.last()) else {
        return Ok(Value::Null);
    };
    let flood = plan.at(FLOOD);
    println!("\nsaturated: load {FLOOD}");
    let mut saturated = Vec::new();
    for policy in [Policy::RoundRobin, Policy::Plimsoll] {
        saturated.push(measure(repo, &flood, policy)?);
    }
    let rate = |target: Option<&Target>| target.and_then(Target::arrival_window).unwrap_or(0.0);
    let drained = |target: Option<&Target>| target.map_or(0.0, |target| target.requests_per_s);
    let measured = Claims {
        spread: plimsoll.work_spread(),
        tail: below(plimsoll.e2e_ms.p99, round_robin.e2e_ms.p99),
        throughput: above(rate(saturated.last()), rate(saturated.first())),
        drained: above(drained(saturated.last()), drained(saturated.first())),
    };
    let (calm, flooded) = (simulate(repo, plan)?, simulate(repo, &flood)?);
    let simulated = |policy| {
        claims(policy, &calm, &flooded)
            .ok_or_else(|| Failure::new("plimsoll-sim compare left out a policy"))
    };
    let (ours, oracle) = (simulated("plimsoll")?, simulated("oracle")?);
    println!(
        "{:<44}{:>10}{:>12}{:>12}{:>12}",
        "against round robin", "claim", "measured", "simulated", "oracle"
    );
    for (name, claim, figure) in LINES {
        println!(
            "{name:<44}{claim:>10}{:>12}{:>12}{:>12}",
            cell(figure(&measured)),
            cell(figure(&ours)),
            cell(figure(&oracle))
        );
    }
    println!(
        "p99 E2E over the oracle's, simulated{:>30.2}",
        (100.0 - ours.tail) / (100.0 - oracle.tail)
    );
    println!(
        "simulated, and the oracle: means of {SEEDS} seeds; the oracle knows every length and the exact state of every host; it is no upper bound"
    );
    Ok(json!({"saturated": saturated, "simulated": calm, "simulated_saturated": flooded}))
}

fn simulate(repo: &Repo, plan: &Plan) -> Result<Vec<Simulated>, Failure> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("compare.json");
    step::output(
        Command::new(repo.sim())
            .arg("compare")
            .args(plan.arguments())
            .args(["--workers", &WORKERS.to_string()])
            .args(["--seeds", &SEEDS.to_string()])
            .args([
                "--policies",
                "round_robin,least_request,plimsoll,oracle",
                "--json",
            ])
            .arg(&file),
    )?;
    let comparison: Comparison = serde_json::from_str(&fs::read_to_string(file)?)?;
    Ok(comparison.rows)
}

/// The claims of `policy`, as means over the seeds; of ratios, geometric ones.
fn claims(policy: &str, calm: &[Simulated], flooded: &[Simulated]) -> Option<Claims> {
    let ratio = |rows: &[Simulated], of: fn(&Simulated) -> f64| {
        let ours = rows.iter().filter(|row| row.policy == policy);
        let logarithms = ours.map(|ours| {
            let mut rows = rows.iter();
            let rival = rows.find(|row| row.policy == "round_robin" && row.seed == ours.seed)?;
            Some((of(ours) / of(rival)).ln())
        });
        mean(&logarithms.collect::<Option<Vec<f64>>>()?).map(f64::exp)
    };
    let ours = calm.iter().filter(|row| row.policy == policy);
    let spreads: Vec<f64> = ours.map(|row| row.work_spread_points).collect();
    Some(Claims {
        spread: mean(&spreads),
        tail: below(ratio(calm, |row| row.e2e_ms.p99)?, 1.0),
        throughput: above(ratio(flooded, |row| row.throughput_rps)?, 1.0),
        drained: above(ratio(flooded, |row| row.drained_rps)?, 1.0),
    })
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// A line of the table: what is claimed, how much, and the figure.
type Line = (&'static str, &'static str, fn(&Claims) -> Option<f64>);

const LINES: [Line; 4] = [
    ("work spread between hosts, points", "<= 8", |of| of.spread),
    ("p99 E2E lower by, %", ">= 71", |of| Some(of.tail)),
    ("throughput at saturation higher by, %", ">= 43", |of| {
        Some(of.throughput)
    }),
    ("the same until the last answer, %", "", |of| {
        Some(of.drained)
    }),
];

fn cell(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1}"))
}

fn below(ours: f64, theirs: f64) -> f64 {
    (1.0 - ours / theirs) * 100.0
}

fn above(ours: f64, theirs: f64) -> f64 {
    (ours / theirs - 1.0) * 100.0
}
