//! `cargo xtask fuzz [TARGET] [--seconds N]`: every reader of the core under libFuzzer.

use std::env;
use std::fs;
use std::process::Command;

use crate::failure::Failure;
use crate::repo::Repo;
use crate::step;

/// What to fuzz, and for how long.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A target (a file of fuzz/fuzz_targets); all, one after the other, without it
    target: Option<String>,
    /// Seconds for each target
    #[arg(long, default_value_t = 60)]
    seconds: u32,
}

/// Longest input; longer ones hardly reach what these do not.
const MAX_LEN: u32 = 16_384;

pub(crate) fn run(repo: &Repo, args: &Args) -> Result<(), Failure> {
    let all = targets(repo)?;
    let chosen: Vec<&String> = match &args.target {
        Some(name) => all.iter().filter(|known| *known == name).collect(),
        None => all.iter().collect(),
    };
    if chosen.is_empty() {
        return Err(Failure::new(format!(
            "no such fuzz target; there are {}",
            all.join(", ")
        )));
    }
    if !repo.tools().join("bin/cargo-fuzz").is_file() {
        println!("cargo install cargo-fuzz");
        step::shown(
            repo.cargo()
                .args(["install", "--locked", "--quiet", "cargo-fuzz", "--root"])
                .arg(repo.tools()),
        )?;
    }
    for name in chosen {
        // What libFuzzer finds on its way is kept beside the build; the committed corpus is read only.
        let found = repo.target().join("fuzz/found").join(name);
        fs::create_dir_all(&found)?;
        println!("{name}: {} s", args.seconds);
        step::shown(
            nightly(repo)?
                .args(["cargo", "fuzz", "run", name])
                .arg(&found)
                .arg(repo.root().join("fuzz/corpus").join(name))
                .arg("--")
                .arg(format!("-max_total_time={}", args.seconds))
                .arg(format!("-max_len={MAX_LEN}"))
                .arg("-verbosity=0")
                .arg("-print_final_stats=1"),
        )?;
    }
    Ok(())
}

fn targets(repo: &Repo) -> Result<Vec<String>, Failure> {
    let mut names = Vec::new();
    for entry in fs::read_dir(repo.root().join("fuzz/fuzz_targets"))? {
        let path = entry?.path();
        names.extend(
            path.file_stem()
                .map(|stem| stem.to_string_lossy().into_owned()),
        );
    }
    names.sort();
    Ok(names)
}

/// A command of the nightly toolchain, which libFuzzer's instrumentation needs, that finds cargo-fuzz.
fn nightly(repo: &Repo) -> Result<Command, Failure> {
    let mut path = vec![repo.tools().join("bin")];
    path.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
    let path = env::join_paths(path).map_err(|error| Failure::new(format!("PATH: {error}")))?;
    let mut command = Command::new("rustup");
    command
        .args(["run", "nightly"])
        .current_dir(repo.root().join("fuzz"))
        .env("PATH", path)
        .env("CARGO_TARGET_DIR", repo.target().join("fuzz"));
    Ok(command)
}
