//! What `cargo xtask peers` compares with. Each is optional: one that cannot be had costs a line, not the others.

use std::process::Command;

use super::{debian, doing, present, python};
use crate::failure::Failure;
use crate::repo::Repo;
use crate::step;

/// Routers as wheels, and the module that each is started with.
const ROUTERS: [(&str, &str); 3] = [
    ("sglang-router==0.3.2", "sglang_router.cli"),
    ("smg==1.13.0", "smg.cli"),
    ("vllm-router==0.1.17", "vllm_router.launch_router"),
];

pub(super) fn install(repo: &Repo) -> Result<(), Failure> {
    for (package, module) in ROUTERS {
        optional(package, router(repo, package, module))?;
    }
    optional("nginx", nginx(repo))
}

/// A failure as a line; an interrupt is still one.
fn optional(what: &str, outcome: Result<(), Failure>) -> Result<(), Failure> {
    match outcome {
        Err(Failure::Message(message)) => {
            doing(&format!(
                "{what} cannot be installed here; `cargo xtask peers` will leave it out: {message}"
            ));
            Ok(())
        }
        other => other,
    }
}

fn router(repo: &Repo, package: &str, module: &str) -> Result<(), Failure> {
    let (name, version) = package.split_once("==").unwrap_or((package, ""));
    let check = "import importlib, importlib.metadata as m, sys; importlib.import_module(sys.argv[2]); \
                 sys.exit(m.version(sys.argv[1]) != sys.argv[3])";
    let works = || {
        let arguments = ["-c", check, name, module, version];
        step::output(Command::new(python(repo)).args(arguments)).map(drop)
    };
    if works().is_ok() {
        present(package);
        return Ok(());
    }
    super::install(repo, &[package])?;
    works()
}

fn nginx(repo: &Repo) -> Result<(), Failure> {
    let runs = |program: &std::path::Path| step::output(Command::new(program).arg("-v")).is_ok();
    let link = repo.tools().join("bin/nginx");
    if runs(&link) || runs("nginx".as_ref()) {
        present("nginx");
        return Ok(());
    }
    debian::unpack(repo, "nginx", "usr/sbin/nginx")?;
    step::output(Command::new(link).arg("-v")).map(drop)
}
