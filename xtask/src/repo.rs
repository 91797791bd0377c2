//! Where things are.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::Failure;

/// The checkout and its build directory.
#[derive(Debug)]
pub(crate) struct Repo {
    root: PathBuf,
    target: PathBuf,
}

impl Repo {
    /// The checkout that this binary was built from.
    pub(crate) fn find() -> Result<Self, Failure> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = manifest
            .parent()
            .filter(|root| root.join("Cargo.toml").is_file())
            .ok_or_else(|| Failure::new("the checkout this xtask was built from is gone"))?
            .to_path_buf();
        let target = env::var_os("CARGO_TARGET_DIR").map_or_else(
            || root.join("target"),
            |named| env::current_dir().map_or_else(|_| PathBuf::from(&named), |d| d.join(&named)),
        );
        Ok(Self { root, target })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// What `setup` installs; ignored by git.
    pub(crate) fn tools(&self) -> PathBuf {
        self.root.join(".tools")
    }

    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// The module, ready to load.
    pub(crate) fn module(&self) -> PathBuf {
        self.target.join("plimsoll.wasm")
    }

    /// The simulator's binary, built with the `tools` profile.
    pub(crate) fn sim(&self) -> PathBuf {
        self.target.join("tools/plimsoll-sim")
    }

    /// A cargo command in the checkout, with the cargo that runs this binary.
    pub(crate) fn cargo(&self) -> Command {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
        let mut command = Command::new(cargo);
        command
            .current_dir(&self.root)
            .env("CARGO_TARGET_DIR", &self.target);
        command
    }
}
