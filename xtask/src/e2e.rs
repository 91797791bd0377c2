//! `cargo xtask e2e [CASE]`: the end-to-end tests on the real Envoy. `cargo xtask e2e chaos`: faults under load. `cargo xtask e2e tiers`: who goes
//! first, who waits, who is told to come back.

use std::path::PathBuf;
use std::process::Command;

use crate::failure::Failure;
use crate::repo::Repo;
use crate::{setup, step, wasm};

/// Which cases to run.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A case (a file of e2e/tests), or a part of a test's name; all without it. `chaos` is the chaos suite, `tiers` the overload of five tenants
    case: Option<String>,
    /// One scenario of the chaos suite; all without it
    scenario: Option<String>,
    /// Of `chaos` and `tiers`: writes every figure and its limit to this file
    #[arg(long)]
    json: Option<PathBuf>,
    /// Of the chaos suite: length of its soak in seconds
    #[arg(long)]
    soak_seconds: Option<u64>,
    /// Of the chaos suite: plays in real time, with the default configuration, what it plays faster
    #[arg(long)]
    real_time: bool,
}

/// The cases that are not tests but programs of their own.
const CHAOS: &str = "chaos";
/// See [`CHAOS`].
const TIERS: &str = "tiers";

pub(crate) fn run(repo: &Repo, args: &Args) -> Result<(), Failure> {
    setup::basics(repo)?;
    let case = args.case.as_deref();
    if case != Some(CHAOS)
        && (args.scenario.is_some() || args.real_time || args.soak_seconds.is_some())
    {
        return Err(Failure::new(
            "only `e2e chaos` takes a scenario, --real-time and --soak-seconds",
        ));
    }
    let mut command = match case {
        Some(CHAOS) => chaos(repo)?,
        Some(TIERS) => tiers(repo)?,
        _ if args.json.is_some() => {
            return Err(Failure::new("only `e2e chaos` and `e2e tiers` take --json"));
        }
        _ => command(repo, case)?,
    };
    command.args(&args.scenario);
    if let Some(json) = &args.json {
        command.arg("--json").arg(std::path::absolute(json)?);
    }
    if let Some(seconds) = args.soak_seconds {
        command.args(["--soak-seconds", &seconds.to_string()]);
    }
    if args.real_time {
        command.arg("--real-time");
    }
    step::shown(&mut command)
}

/// The overload of five tenants, with everything it needs built.
fn tiers(repo: &Repo) -> Result<Command, Failure> {
    let mut command = with_artefacts(repo)?;
    command
        .args(["run", "--quiet", "--package", "plimsoll-e2e"])
        .args(["--bin", "plimsoll-tiers", "--"]);
    Ok(command)
}

/// The chaos suite, with everything it needs built.
pub(crate) fn chaos(repo: &Repo) -> Result<Command, Failure> {
    let hooks = wasm::build_with_hooks(repo)?;
    let mut command = with_artefacts(repo)?;
    command
        .env("PLIMSOLL_WASM_HOOKS", hooks)
        .args(["run", "--quiet", "--package", "plimsoll-e2e"])
        .args(["--bin", "plimsoll-chaos", "--"]);
    Ok(command)
}

/// The test run, with module and simulator built.
pub(crate) fn command(repo: &Repo, case: Option<&str>) -> Result<Command, Failure> {
    let mut command = with_artefacts(repo)?;
    command.args([
        "test",
        "--quiet",
        "--package",
        "plimsoll-e2e",
        "--test",
        "e2e",
    ]);
    command.args(case);
    Ok(command)
}

/// A cargo command that knows module and simulator, which are built.
fn with_artefacts(repo: &Repo) -> Result<Command, Failure> {
    let module = wasm::build(repo)?;
    build_sim(repo)?;
    let mut command = repo.cargo();
    command
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
