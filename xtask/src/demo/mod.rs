//! `cargo xtask demo`: the same real traffic through round robin, least request and Plimsoll.
//!
//! For each target the engines are fresh, Envoy differs in nothing but the policy, and the same slice
//! of the trace is replayed with the same seed.

mod documents;
mod fleet;
mod plan;
mod plot;
mod report;
mod run;

use std::fs;
use std::path::PathBuf;

use plimsoll_envoy::{EnvoyBinary, Policy};
use serde_json::json;

use crate::demo::plan::Plan;
use crate::demo::report::Target;
use crate::failure::Failure;
use crate::repo::Repo;
use crate::{e2e, setup, wasm};

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
    #[arg(long)]
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
    let binary = EnvoyBinary::find(repo.root())?;
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
        let mut stand = run::Stand::start(repo, &binary, &plan, policy, args.keep)?;
        targets.push(stand.load(repo, &plan)?);
        notes.extend(stand.ladder()?);
        if args.keep && policy == Policy::Plimsoll {
            finish(repo, args, &binary, &plan, &targets, &notes)?;
            return stand.hold();
        }
    }
    finish(repo, args, &binary, &plan, &targets, &notes)
}

fn finish(
    repo: &Repo,
    args: &Args,
    binary: &EnvoyBinary,
    plan: &Plan,
    targets: &[Target],
    notes: &[String],
) -> Result<(), Failure> {
    print!("{}", report::table(targets));
    for note in notes {
        println!("{note}");
    }
    let mut result = json!({
        "scenario": plan.name,
        "settings": plan.settings(),
        "targets": targets,
    });
    if args.scenario == Scenario::Documents {
        result["documents"] = documents::run(repo, binary, plan, targets)?;
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
