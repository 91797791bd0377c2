//! `cargo xtask test`: every check in order, a line each.

use std::process::Command;

use crate::bench::gates;
use crate::failure::Failure;
use crate::repo::Repo;
use crate::{e2e, setup, step, wasm};

/// What to leave out.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Goes on after a failed step and fails at the end
    #[arg(long)]
    keep_going: bool,
}

/// A name and what it does; a note says why it was skipped.
type Step<'a> = (
    &'static str,
    Box<dyn Fn() -> Result<Option<String>, Failure> + 'a>,
);

pub(crate) fn run(repo: &Repo, args: &Args) -> Result<(), Failure> {
    let (mut passed, mut skipped) = (0, 0);
    let mut failed = Vec::new();
    for (name, work) in steps(repo) {
        match step::line(name, work) {
            Ok(None) => passed += 1,
            Ok(Some(_)) => skipped += 1,
            Err(Failure::Message(message)) if args.keep_going => {
                eprintln!("{message}");
                failed.push(name);
            }
            Err(failure) => return Err(failure),
        }
    }
    println!(
        "{passed} passed, {} failed, {skipped} skipped",
        failed.len()
    );
    if failed.is_empty() {
        Ok(())
    } else {
        Err(Failure::new(format!("failed: {}", failed.join(", "))))
    }
}

fn steps(repo: &Repo) -> Vec<Step<'_>> {
    let cargo =
        |arguments: &'static [&'static str]| -> Box<dyn Fn() -> Result<Option<String>, Failure>> {
            Box::new(move || quiet(repo.cargo().args(arguments)))
        };
    vec![
        ("set-up", Box::new(|| setup::basics(repo).map(|()| None))),
        ("format", cargo(&["fmt", "--all", "--check"])),
        (
            "clippy",
            cargo(&[
                "clippy",
                "--quiet",
                "--workspace",
                "--all-targets",
                "--",
                "-D",
                "warnings",
            ]),
        ),
        (
            "core without std",
            cargo(&[
                "check",
                "--quiet",
                "--package",
                "plimsoll-core",
                "--target",
                "x86_64-unknown-none",
            ]),
        ),
        (
            "unit tests",
            cargo(&[
                "test",
                "--quiet",
                "--workspace",
                "--exclude",
                "plimsoll-e2e",
                "--exclude",
                "plimsoll-host",
                "--exclude",
                "plimsoll-determinism",
            ]),
        ),
        (
            "module: size and imports",
            Box::new(|| wasm::run(repo).map(|()| None)),
        ),
        (
            "host tests on the module",
            cargo(&["test", "--quiet", "--package", "plimsoll-host"]),
        ),
        (
            "decisions on every target",
            cargo(&["test", "--quiet", "--package", "plimsoll-determinism"]),
        ),
        (
            "documentation",
            Box::new(|| {
                quiet(
                    repo.cargo()
                        .args([
                            "doc",
                            "--quiet",
                            "--workspace",
                            "--no-deps",
                            "--document-private-items",
                        ])
                        .env("RUSTDOCFLAGS", "-D warnings"),
                )
            }),
        ),
        (
            "end to end on Envoy",
            Box::new(|| {
                let mut command = e2e::command(repo, None)?;
                quiet(&mut command)
            }),
        ),
        ("instructions of the core", Box::new(|| gates::run(repo))),
        (
            "chaos on Envoy",
            // Every request is accounted for, on whatever machine; times are judged by `cargo xtask e2e chaos`.
            Box::new(|| quiet(e2e::chaos(repo)?.arg("--untimed"))),
        ),
        ("dependencies", Box::new(|| dependencies(repo))),
    ]
}

fn quiet(command: &mut Command) -> Result<Option<String>, Failure> {
    step::output(command).map(|_| None)
}

fn dependencies(repo: &Repo) -> Result<Option<String>, Failure> {
    let binary = setup::deny_binary(repo);
    if !binary.is_file() {
        return Ok(Some(
            "`cargo xtask setup --deny` installs cargo-deny".to_owned(),
        ));
    }
    quiet(
        Command::new(binary)
            .args([
                "--workspace",
                "check",
                "--hide-inclusion-graph",
                "bans",
                "licenses",
                "sources",
            ])
            .current_dir(repo.root()),
    )
}
