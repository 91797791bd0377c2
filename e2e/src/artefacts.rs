//! The module and the simulator under test, built when nobody has built them yet.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The checkout.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The module: `PLIMSOLL_WASM`, else built as `cargo xtask wasm` does.
///
/// # Panics
///
/// When it does not build.
pub fn module() -> &'static Path {
    static MODULE: OnceLock<PathBuf> = OnceLock::new();
    MODULE.get_or_init(|| {
        env::var_os("PLIMSOLL_WASM").map_or_else(
            || {
                cargo(&[
                    "--release",
                    "--package",
                    "plimsoll-filter",
                    "--target",
                    "wasm32-wasip1",
                ]);
                target().join("wasm32-wasip1/release/plimsoll_filter.wasm")
            },
            PathBuf::from,
        )
    })
}

/// The module with test hooks: `PLIMSOLL_WASM_HOOKS`, else built as `cargo xtask e2e chaos` does.
///
/// # Panics
///
/// When it does not build.
pub fn module_with_hooks() -> &'static Path {
    static MODULE: OnceLock<PathBuf> = OnceLock::new();
    MODULE.get_or_init(|| {
        env::var_os("PLIMSOLL_WASM_HOOKS").map_or_else(
            || {
                // A directory of its own: the shipped module and this one have the same name.
                let directory = target().join("test-hooks");
                cargo(&[
                    "--release",
                    "--package",
                    "plimsoll-filter",
                    "--features",
                    "test-hooks",
                    "--target",
                    "wasm32-wasip1",
                    "--target-dir",
                    &directory.to_string_lossy(),
                ]);
                directory.join("wasm32-wasip1/release/plimsoll_filter.wasm")
            },
            PathBuf::from,
        )
    })
}

/// The simulator's binary: `PLIMSOLL_SIM`, else built as `cargo xtask e2e` does.
///
/// # Panics
///
/// When it does not build.
pub fn sim() -> &'static Path {
    static SIM: OnceLock<PathBuf> = OnceLock::new();
    SIM.get_or_init(|| {
        env::var_os("PLIMSOLL_SIM").map_or_else(
            || {
                cargo(&[
                    "--profile",
                    "tools",
                    "--package",
                    "plimsoll-sim",
                    "--bin",
                    "plimsoll-sim",
                ]);
                target().join("tools/plimsoll-sim")
            },
            PathBuf::from,
        )
    })
}

fn cargo(arguments: &[&str]) {
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet"])
        .args(arguments)
        .current_dir(root())
        .status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "cargo build {arguments:?}"
    );
}

/// The build directory that this program itself lies in: cargo marks it.
fn target() -> PathBuf {
    let own = env::current_exe().unwrap_or_default();
    own.ancestors()
        .find(|directory| directory.join("CACHEDIR.TAG").is_file())
        .map(Path::to_path_buf)
        .unwrap_or_default()
}
