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

/// One row of `plimsoll-sim compare`.
#[derive(Deserialize, Serialize)]
struct Simulated {
    policy: String,
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
    let oracle = oracle(&calm, &flooded)
        .ok_or_else(|| Failure::new("plimsoll-sim compare left out a policy"))?;
    println!(
        "{:<44}{:>10}{:>12}{:>22}",
        "against round robin", "claim", "measured", "oracle (simulated)"
    );
    line(
        "work spread between hosts, points",
        "<= 8",
        measured.spread,
        oracle.spread,
    );
    line(
        "p99 E2E lower by, %",
        ">= 71",
        Some(measured.tail),
        Some(oracle.tail),
    );
    line(
        "throughput at saturation higher by, %",
        ">= 43",
        Some(measured.throughput),
        Some(oracle.throughput),
    );
    line(
        "the same until the last answer, %",
        "",
        Some(measured.drained),
        Some(oracle.drained),
    );
    println!(
        "the oracle knows every length and the exact state of every host; it is no upper bound"
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

fn oracle(calm: &[Simulated], flooded: &[Simulated]) -> Option<Claims> {
    let (ours, rival) = (row(calm, "oracle")?, row(calm, "round_robin")?);
    let (flooded_ours, flooded_rival) = (row(flooded, "oracle")?, row(flooded, "round_robin")?);
    Some(Claims {
        spread: Some(ours.work_spread_points),
        tail: below(ours.e2e_ms.p99, rival.e2e_ms.p99),
        throughput: above(flooded_ours.throughput_rps, flooded_rival.throughput_rps),
        drained: above(flooded_ours.drained_rps, flooded_rival.drained_rps),
    })
}

fn row<'a>(rows: &'a [Simulated], policy: &str) -> Option<&'a Simulated> {
    rows.iter().find(|row| row.policy == policy)
}

fn line(name: &str, claim: &str, measured: Option<f64>, oracle: Option<f64>) {
    let cell = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |v| format!("{v:.1}"));
    println!(
        "{name:<44}{claim:>10}{:>12}{:>22}",
        cell(measured),
        cell(oracle)
    );
}

fn below(ours: f64, theirs: f64) -> f64 {
    (1.0 - ours / theirs) * 100.0
}

fn above(ours: f64, theirs: f64) -> f64 {
    (ours / theirs - 1.0) * 100.0
}
