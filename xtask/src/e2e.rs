//! `cargo xtask e2e [CASE]`: the end-to-end tests on the real Envoy.

use crate::failure::Failure;
use crate::repo::Repo;
use crate::{setup, step, wasm};

/// Which cases to run.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A case (a file of e2e/tests), or a part of a test's name; all without it
    case: Option<String>,
}

pub(crate) fn run(repo: &Repo, args: &Args) -> Result<(), Failure> {
    setup::basics(repo)?;
    step::shown(&mut command(repo, args.case.as_deref())?)
}

/// The test run, with module and simulator built.
pub(crate) fn command(repo: &Repo, case: Option<&str>) -> Result<std::process::Command, Failure> {
    let module = wasm::build(repo)?;
    build_sim(repo)?;
    let mut command = repo.cargo();
    command
        .args([
            "test",
            "--quiet",
            "--package",
            "plimsoll-e2e",
            "--test",
            "e2e",
        ])
        .args(case)
        .env("PLIMSOLL_WASM", module)
        .env("PLIMSOLL_SIM", repo.sim());
    Ok(command)
}

/// Builds the simulator: fast enough to drive a fleet in real time, in a fraction of `release`'s build time.
pub(crate) fn build_sim(repo: &Repo) -> Result<(), Failure> {
    step::shown(repo.cargo().args([
        "build",
        "--quiet",
        "--profile",
        "tools",
        "--package",
        "plimsoll-sim",
        "--bin",
        "plimsoll-sim",
    ]))
}
