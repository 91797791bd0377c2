//! Builds the module that ships, once per test process.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// Package of the module.
const PACKAGE: &str = "plimsoll-filter";
/// Its target.
const TARGET: &str = "wasm32-wasip1";

/// Root of the workspace.
pub fn workspace() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package)
}

/// Path of the module, built with the release profile.
///
/// Cargo decides whether there is anything to build and names the artefact, so that it is never a stale one.
///
/// # Panics
/// When the module does not build: no test that needs it can say anything then.
pub fn plimsoll_wasm_path() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command
            .current_dir(workspace())
            .args(["build", "--release", "--package", PACKAGE])
            .args([
                "--target",
                TARGET,
                "--message-format",
                "json-render-diagnostics",
            ])
            .stderr(Stdio::inherit());
        let output = match command.output() {
            Ok(output) => output,
            Err(error) => panic!("cargo does not start: {error}"),
        };
        assert!(
            output.status.success(),
            "{PACKAGE} does not build for {TARGET}"
        );
        let messages = String::from_utf8_lossy(&output.stdout);
        match messages.lines().find_map(artefact) {
            Some(path) => path,
            None => panic!("cargo named no .wasm of {PACKAGE}"),
        }
    })
}

/// Bytes of the module.
///
/// # Panics
/// As [`plimsoll_wasm_path`].
pub fn plimsoll_wasm() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| {
        let path = plimsoll_wasm_path();
        match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) => panic!("{}: {error}", path.display()),
        }
    })
}

/// Path of the .wasm in one of cargo's messages, if it is about that.
fn artefact(message: &str) -> Option<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(message).ok()?;
    let name = message.get("target")?.get("name")?.as_str()?;
    if message.get("reason")? != "compiler-artifact" || name != PACKAGE.replace('-', "_") {
        return None;
    }
    let files = message.get("filenames")?.as_array()?;
    let wasm = files
        .iter()
        .filter_map(serde_json::Value::as_str)
        .find(|file| file.ends_with(".wasm"))?;
    Some(PathBuf::from(wasm))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_artefact_is_the_one_that_cargo_names() {
        let message = r#"{"reason":"compiler-artifact","target":{"name":"plimsoll_filter"},
            "filenames":["/t/libplimsoll_filter.rlib","/t/plimsoll_filter.wasm"]}"#;
        assert_eq!(
            artefact(message),
            Some(PathBuf::from("/t/plimsoll_filter.wasm"))
        );
        assert_eq!(
            artefact(&message.replace("plimsoll_filter\"}", "other\"}")),
            None
        );
        assert_eq!(artefact("not json"), None);
    }
}
