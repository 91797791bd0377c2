//! One program out of a package of the distribution, unpacked and not installed: no root, no service.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Command;

use super::{doing, relink};
use crate::failure::Failure;
use crate::repo::Repo;
use crate::step;

/// Downloads `package` and links its `program`, a path in the package, into `.tools/bin`.
pub(super) fn unpack(repo: &Repo, package: &str, program: &str) -> Result<(), Failure> {
    doing(&format!("downloading the distribution's {package} package"));
    let directory = repo.tools().join(package);
    fs::create_dir_all(&directory)?;
    step::output(
        Command::new("apt-get")
            .args(["download", package])
            .current_dir(&directory),
    )?;
    let archive = fs::read_dir(&directory)?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.extension() == Some(OsStr::new("deb")))
        .ok_or_else(|| Failure::new("apt-get download left no package"))?;
    step::output(
        Command::new("dpkg-deb")
            .arg("-x")
            .arg(archive)
            .arg(&directory),
    )?;
    let program = Path::new(program);
    let name = program.file_name().unwrap_or(program.as_os_str());
    relink(
        repo,
        &directory.join(program),
        &repo.tools().join("bin").join(name),
    )
}
