//! `cargo xtask demo`: the same real traffic through round robin, least request and Plimsoll.
//!
//! For each target the engines are fresh, Envoy differs in nothing but the policy, and the same slice
//! of the trace is replayed with the same seed.

mod documents;
mod plot;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use plimsoll_envoy::process::wait_for;
use plimsoll_envoy::{Admin, Envoy, Policy};
use serde_json::json;

use crate::failure::Failure;
use crate::race::{self, Fleet, Plan, Target, report};
use crate::repo::Repo;
use crate::{e2e, interrupt, setup, wasm};

/// In the order they run and are printed.
const POLICIES: [Policy; 3] = [Policy::RoundRobin, Policy::LeastRequest, Policy::Plimsoll];

/// What to show.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A shorter slice: three minutes after set-up
    #[arg(long)]
    quick: bool,
    /// Writes the numbers here
    #[arg(long)]
    json: Option<PathBuf>,
    /// The traffic
    #[arg(long, value_enum, default_value = "conversation")]
    scenario: Scenario,
    /// Arrival rate over what round robin completes when flooded [default: 1 for conversation, 0.8 for documents]
    #[arg(long, value_parser = race::parse_load, allow_negative_numbers = true)]
    load: Option<f64>,
    /// Leaves Plimsoll's Envoy and engines running until Ctrl-C, and says where
    #[arg(long)]
    keep: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Scenario {
    /// The Mooncake conversation trace on eight equal hosts
    Conversation,
    /// One-page documents mixed with fifty-page ones on four equal hosts
    Documents,
}

pub(crate) fn run(repo: &Repo, args: &Args) -> Result<(), Failure> {
    setup::basics(repo)?;
    eprintln!("building the module and the simulator");
    wasm::build(repo)?;
    e2e::build_sim(repo)?;
    let plan = match args.scenario {
        Scenario::Conversation => Plan::conversation(repo, args.quick),
        Scenario::Documents => Plan::documents(args.quick),
    };
    let plan = plan.at(args.load.unwrap_or(plan.load));
    println!("{plan}\n");
    let mut targets = Vec::new();
    let mut notes = Vec::new();
    for policy in POLICIES {
        eprintln!("{}:", policy.name());
        let fleet = Fleet::start(repo, &plan)?;
        let mut envoy = race::envoy::start(repo, &plan, &fleet, policy, args.keep)?;
        targets.push(race::replay(repo, &plan, &fleet, &envoy, policy.name())?);
        if policy == Policy::Plimsoll {
            notes.push(race::envoy::ladder(&envoy)?);
            if args.keep {
                finish(repo, args, &plan, &targets, &notes)?;
                return hold(&mut envoy);
            }
        }
    }
    finish(repo, args, &plan, &targets, &notes)
}

/// One policy on fresh engines.
fn measure(repo: &Repo, plan: &Plan, policy: Policy) -> Result<Target, Failure> {
    let fleet = Fleet::start(repo, plan)?;
    let envoy = race::envoy::start(repo, plan, &fleet, policy, false)?;
    race::replay(repo, plan, &fleet, &envoy, policy.name())
}

/// Keeps everything running until Ctrl-C.
fn hold(envoy: &mut Envoy) -> Result<(), Failure> {
    let options = envoy.options();
    println!(
        "\nstill running, until Ctrl-C: requests to http://{}",
        options.listen
    );
    if let Admin::Tcp(admin) = options.admin {
        println!("metrics at http://{admin}/stats/prometheus");
    }
    loop {
        if interrupt::requested() {
            return Ok(());
        }
        if let Some(status) = wait_for(Duration::from_millis(200), || envoy.ended().transpose()) {
            return Err(Failure::new(format!("Envoy ended: {}", status?)));
        }
    }
}

fn finish(
    repo: &Repo,
    args: &Args,
    plan: &Plan,
    targets: &[Target],
    notes: &[String],
) -> Result<(), Failure> {
    print!("{}", report::table(targets));
    for note in notes.iter().chain(&race::doubts(targets)) {
        println!("{note}");
    }
    let mut result = json!({
        "scenario": plan.name,
        "settings": plan.settings(),
        "targets": targets,
    });
    if args.scenario == Scenario::Documents {
        result["documents"] = documents::run(repo, plan, targets)?;
    }
    let plots = repo.target().join("demo");
    fs::create_dir_all(&plots)?;
    let plot = plots.join(format!("{}.svg", plan.name));
    fs::write(&plot, plot::bars(targets))?;
    println!("plot: {}", plot.display());
    if let Some(path) = &args.json {
        fs::write(path, format!("{result:#}\n"))?;
        println!("json: {}", path.display());
    }
    let errors: u64 = targets.iter().map(|target| target.errors).sum();
    if errors > 0 {
        return Err(Failure::new(format!("{errors} requests failed")));
    }
    Ok(())
}
