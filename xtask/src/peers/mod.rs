//! `cargo xtask peers`: the demo's traffic through the routers and proxies of others, then through Plimsoll.
//!
//! For each the engines are fresh and the same slice of the trace is replayed with the same seed.

mod contender;
mod nginx;
mod process;
mod router;
mod table;

use std::fs;
use std::path::PathBuf;

use clap::ValueEnum as _;
use serde_json::json;

use crate::failure::Failure;
use crate::peers::contender::Contender;
use crate::race::{self, Fleet, Plan, Target};
use crate::repo::Repo;
use crate::{e2e, setup, wasm};

/// Whom to compare.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Engines twice as fast, without vllm_router: four minutes after set-up instead of nine
    #[arg(long)]
    quick: bool,
    /// Only these, in this order
    #[arg(long, value_enum, value_delimiter = ',', value_name = "NAMES")]
    only: Vec<Contender>,
    /// Arrival rate over what round robin completes when flooded
    #[arg(long, default_value_t = 1.0, value_parser = race::parse_load, allow_negative_numbers = true)]
    load: f64,
    /// Writes the numbers here
    #[arg(long)]
    json: Option<PathBuf>,
}

pub(crate) fn run(repo: &Repo, args: &Args) -> Result<(), Failure> {
    let (present, left_out) = installed(repo, contenders(args));
    if !args.only.is_empty() && !left_out.is_empty() {
        return Err(Failure::new(format!(
            "not installed: {}; `cargo xtask setup --peers` tries to",
            left_out.join(", ")
        )));
    }
    setup::basics(repo)?;
    eprintln!("building the module and the simulator");
    wasm::build(repo)?;
    e2e::build_sim(repo)?;
    let plan = Plan::conversation(repo, args.quick).at(args.load);
    println!("{plan}\n");
    let mut targets = Vec::new();
    for (contender, what) in present {
        eprintln!("{what}:");
        targets.push(measure(repo, &plan, contender, what)?);
    }
    print!("{}", table::table(&targets));
    for line in table::remarks(&targets) {
        println!("{line}");
    }
    for line in race::doubts(&targets) {
        println!("{line}");
    }
    for name in &left_out {
        println!("left out: {name} is not installed; `cargo xtask setup --peers` tries to");
    }
    if let Some(path) = &args.json {
        let result = json!({
            "scenario": plan.name,
            "settings": plan.settings(),
            "targets": targets,
            "left_out": left_out,
        });
        fs::write(path, format!("{result:#}\n"))?;
        println!("json: {}", path.display());
    }
    Ok(())
}

fn contenders(args: &Args) -> Vec<Contender> {
    if !args.only.is_empty() {
        return args.only.clone();
    }
    let all = Contender::value_variants().iter().copied();
    // It has every engine turn every prompt into tokens: too much for a small machine at eight times real time.
    all.filter(|&contender| !(args.quick && contender == Contender::VllmRouter))
        .collect()
}

/// Those that can run here, with what they are in words, and the names of the others.
fn installed(
    repo: &Repo,
    contenders: Vec<Contender>,
) -> (Vec<(Contender, String)>, Vec<&'static str>) {
    let mut present = Vec::new();
    let mut left_out = Vec::new();
    for contender in contenders {
        match contender.version(repo) {
            Some(version) => present.push((contender, contender.describe(&version))),
            None => left_out.push(contender.name()),
        }
    }
    (present, left_out)
}

fn measure(
    repo: &Repo,
    plan: &Plan,
    contender: Contender,
    what: String,
) -> Result<Target, Failure> {
    // Dropped in reverse: first the proxy, then what is behind it.
    let fleet = Fleet::start(repo, plan)?;
    let proxy = contender.start(repo, plan, &fleet)?;
    let mut target = race::replay(repo, plan, &fleet, &*proxy, contender.name())?;
    target.rest.insert("what".to_owned(), what.into());
    Ok(target)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn contenders_are_named_as_in_the_table() {
        let cli = Cli::try_parse_from(["peers", "--quick", "--only", "nginx,smg_tuned,plimsoll"]);
        let args = cli.unwrap().args;
        let names: Vec<_> = contenders(&args).into_iter().map(Contender::name).collect();
        assert_eq!(names, ["nginx", "smg_tuned", "plimsoll"]);
        assert!(args.quick && args.json.is_none());
        let all = Cli::try_parse_from(["peers"]).unwrap().args;
        assert_eq!(contenders(&all), Contender::value_variants());
        let quick = Cli::try_parse_from(["peers", "--quick"]).unwrap().args;
        assert!(!contenders(&quick).contains(&Contender::VllmRouter));
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_known_ones() {
        let message = Cli::try_parse_from(["peers", "--only", "haproxy"])
            .err()
            .map(|error| error.to_string());
        assert!(message.is_some_and(|text| text.contains("sglang_router")));
    }
}
