//! The founding story: short and long documents on equal hosts, saturated as well, beside the oracle.

use plimsoll_envoy::{EnvoyBinary, Policy};
use serde_json::{Value, json};

use crate::demo::plan::Plan;
use crate::demo::report::Target;
use crate::demo::run::Stand;
use crate::failure::Failure;
use crate::repo::Repo;
use crate::step;

/// Load at saturation: far above what any policy completes.
const FLOOD: f64 = 4.0;

/// Runs both policies flooded, and the simulator's oracle on the same traffic; prints the claims.
pub(crate) fn run(
    repo: &Repo,
    binary: &EnvoyBinary,
    plan: &Plan,
    targets: &[Target],
) -> Result<Value, Failure> {
    let (Some(round_robin), Some(plimsoll)) = (targets.first(), targets.last()) else {
        return Ok(Value::Null);
    };
    let oracle = oracle(repo, plan)?;
    let flood = plan.at(FLOOD);
    let mut saturated = Vec::new();
    for policy in [Policy::RoundRobin, Policy::Plimsoll] {
        saturated.push(Stand::start(repo, binary, &flood, policy, false)?.load(repo, &flood)?);
    }
    let throughput = |index: usize| {
        saturated
            .get(index)
            .map_or(0.0, |t: &Target| t.requests_per_s)
    };
    println!("\nclaims of the founding story (target; measured)");
    println!(
        "work spread between hosts   <= 8 points; round robin {}, plimsoll {}",
        points(round_robin.work_spread()),
        points(plimsoll.work_spread())
    );
    println!(
        "p99 E2E below round robin   >= 71 %; {:.0} %",
        (1.0 - plimsoll.e2e_ms.p99 / round_robin.e2e_ms.p99) * 100.0
    );
    println!(
        "throughput at saturation    >= +43 %; {:+.0} % ({:.2} against {:.2} requests/s)",
        (throughput(1) / throughput(0) - 1.0) * 100.0,
        throughput(1),
        throughput(0)
    );
    println!("oracle (exact lengths and state, simulated): {oracle:#}");
    Ok(json!({"saturated": saturated, "oracle": oracle}))
}

fn points(value: Option<f64>) -> String {
    value.map_or_else(
        || "not measured".to_owned(),
        |points| format!("{points:.1}"),
    )
}

fn oracle(repo: &Repo, plan: &Plan) -> Result<Value, Failure> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("compare.json");
    let mut command = std::process::Command::new(repo.sim());
    command
        .arg("compare")
        .args(plan.traffic_arguments())
        .args([
            "--fleet",
            &plan.fleet,
            "--policies",
            "round_robin,least_request,plimsoll,oracle",
        ])
        .args([
            "--load",
            &plan.load.to_string(),
            "--limit",
            &plan.limit.to_string(),
            "--seed",
            &plan.seed.to_string(),
        ])
        .arg("--json")
        .arg(&file);
    step::output(&mut command)?;
    Ok(serde_json::from_str(&std::fs::read_to_string(file)?)?)
}
