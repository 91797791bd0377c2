//! `cargo xtask miri`: the readers of bytes and the prefix index under Miri, which sees undefined behaviour where tests see none.

use std::process::Command;

use crate::failure::Failure;
use crate::repo::Repo;
use crate::step;

/// Modules of the core whose tests run: what reads foreign bytes, and the tables. Their longest loops are shorter there.
const MODULES: [&str; 6] = [
    "inflight::",
    "prefix::",
    "record::",
    "scrape::",
    "share::",
    "snapshot::",
];

pub(crate) fn run(repo: &Repo) -> Result<(), Failure> {
    step::shown(Command::new("rustup").args([
        "component",
        "add",
        "--toolchain",
        "nightly",
        "miri",
        "rust-src",
    ]))?;
    step::shown(
        Command::new("rustup")
            .args(["run", "nightly", "cargo", "miri", "test"])
            .args(["--package", "plimsoll-core", "--lib", "--"])
            .args(MODULES)
            .current_dir(repo.root())
            .env("CARGO_TARGET_DIR", repo.target().join("miri")),
    )
}
