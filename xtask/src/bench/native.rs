//! The core's benchmarks (criterion), held against the budgets.

use std::fs;

use serde::Deserialize;

use crate::failure::Failure;
use crate::repo::Repo;
use crate::step;

/// `[core]` of `budgets.toml`.
#[derive(Deserialize)]
struct Budget {
    decision_us_16_hosts: f64,
    decision_us_1024_hosts: f64,
    snapshot_us_256_hosts: f64,
    scan_gib_per_s: f64,
}

#[derive(Deserialize)]
struct Budgets {
    core: Budget,
}

/// `estimates.json` that criterion leaves behind.
#[derive(Deserialize)]
struct Estimates {
    mean: Estimate,
}

#[derive(Deserialize)]
struct Estimate {
    /// Nanoseconds of one iteration.
    point_estimate: f64,
}

/// Runs the benchmarks and prints the budgets with what was measured.
pub(crate) fn run(repo: &Repo) -> Result<(), Failure> {
    println!("benchmarks of the core: about a minute and a half");
    step::output(
        repo.cargo()
            .args(["bench", "--quiet", "--package", "plimsoll-benches", "--"])
            .args(["--noplot", "--warm-up-time", "1", "--measurement-time", "2"]),
    )?;
    let budgets: Budgets = toml::from_str(&fs::read_to_string(repo.root().join("budgets.toml"))?)
        .map_err(|error| Failure::new(format!("budgets.toml: {error}")))?;
    let budget = budgets.core;
    let us = |id| Ok::<_, Failure>(nanos(repo, id)? / 1e3);
    // 64 KiB, the most that is read of a prompt before the decision.
    let scan = f64::from(64 << 10) / nanos(repo, "scan/plimsoll/64")? * 1e9 / f64::from(1 << 30);
    println!("\n{:<44}{:>10}{:>10}", "native, warm", "measured", "budget");
    most(
        "decision, 16 hosts, microseconds",
        us("decision/plimsoll/16")?,
        budget.decision_us_16_hosts,
    );
    most(
        "decision, 1024 hosts, microseconds",
        us("decision/plimsoll/1024")?,
        budget.decision_us_1024_hosts,
    );
    most(
        "snapshot applied, 256 hosts, microseconds",
        us("apply_snapshot/256")?,
        budget.snapshot_us_256_hosts,
    );
    row(
        "scan and hash of the body, GiB/s",
        scan,
        budget.scan_gib_per_s,
        scan < budget.scan_gib_per_s,
    );
    Ok(())
}

fn nanos(repo: &Repo, id: &str) -> Result<f64, Failure> {
    let path = repo
        .target()
        .join("criterion")
        .join(id)
        .join("new/estimates.json");
    let text = fs::read_to_string(&path)
        .map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
    let estimates: Estimates = serde_json::from_str(&text)?;
    Ok(estimates.mean.point_estimate)
}

fn most(name: &str, measured: f64, budget: f64) {
    row(name, measured, budget, measured > budget);
}

fn row(name: &str, measured: f64, budget: f64, miss: bool) {
    println!(
        "{name:<44}{measured:>10.2}{budget:>10.2}{}",
        if miss { "  MISS" } else { "" }
    );
}
