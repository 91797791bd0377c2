//! `cargo xtask wasm`: the module, its size, memory and imports, against `budgets.toml`.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use flate2::Compression;
use flate2::write::GzEncoder;
use wasmparser::{Parser, Payload, TypeRef};

use crate::failure::Failure;
use crate::repo::Repo;
use crate::step;

/// `[module]` of `budgets.toml`.
#[derive(serde::Deserialize)]
struct Budget {
    bytes: u64,
    gzip_bytes: u64,
    memory_pages: u64,
    /// The exact functions a host must offer; one more and some host refuses the module.
    imports: Vec<String>,
}

#[derive(serde::Deserialize)]
struct Budgets {
    module: Budget,
}

/// What was measured on the built module.
struct Report {
    bytes: u64,
    gzip_bytes: u64,
    memory_pages: u64,
    imports: Vec<String>,
}

pub(crate) fn run(repo: &Repo) -> Result<(), Failure> {
    let path = build(repo)?;
    let report = measure(&fs::read(&path)?)?;
    let budget = budget(repo)?;
    println!("{}", path.display());
    let misses = compare(&report, &budget);
    if misses.is_empty() {
        Ok(())
    } else {
        Err(Failure::new(misses.join("\n")))
    }
}

/// Builds the module with the release profile; where nothing changed, cargo does nothing.
pub(crate) fn build(repo: &Repo) -> Result<PathBuf, Failure> {
    step::shown(repo.cargo().args([
        "build",
        "--quiet",
        "--release",
        "--package",
        "plimsoll-filter",
        "--target",
        "wasm32-wasip1",
    ]))?;
    let built = repo
        .target()
        .join("wasm32-wasip1/release/plimsoll_filter.wasm");
    let module = repo.module();
    // Renamed into place: an Envoy that loads it at this moment sees the old or the new one, whole.
    let part = module.with_extension("part");
    fs::copy(built, &part)?;
    fs::rename(part, &module)?;
    Ok(module)
}

/// Builds the module with the hooks of tests, in a directory of its own: it must never be taken for the shipped one.
pub(crate) fn build_with_hooks(repo: &Repo) -> Result<PathBuf, Failure> {
    let directory = repo.target().join("test-hooks");
    step::shown(
        repo.cargo()
            .args(["build", "--quiet", "--release"])
            .args(["--package", "plimsoll-filter", "--features", "test-hooks"])
            .args(["--target", "wasm32-wasip1", "--target-dir"])
            .arg(&directory),
    )?;
    Ok(directory.join("wasm32-wasip1/release/plimsoll_filter.wasm"))
}

fn budget(repo: &Repo) -> Result<Budget, Failure> {
    let text = fs::read_to_string(repo.root().join("budgets.toml"))?;
    let budgets: Budgets =
        toml::from_str(&text).map_err(|error| Failure::new(format!("budgets.toml: {error}")))?;
    Ok(budgets.module)
}

fn measure(module: &[u8]) -> Result<Report, Failure> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(module)?;
    let mut report = Report {
        bytes: module.len() as u64,
        gzip_bytes: encoder.finish()?.len() as u64,
        memory_pages: 0,
        imports: Vec::new(),
    };
    let invalid = |error| Failure::new(format!("the module cannot be parsed: {error}"));
    for payload in Parser::new(0).parse_all(module) {
        match payload.map_err(invalid)? {
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import.map_err(invalid)?;
                    if matches!(import.ty, TypeRef::Func(_)) {
                        report
                            .imports
                            .push(format!("{}.{}", import.module, import.name));
                    }
                }
            }
            Payload::MemorySection(section) => {
                for memory in section {
                    report.memory_pages += memory.map_err(invalid)?.initial;
                }
            }
            _ => {}
        }
    }
    report.imports.sort();
    Ok(report)
}

/// Prints the table and returns the misses.
fn compare(report: &Report, budget: &Budget) -> Vec<String> {
    let mut misses = Vec::new();
    let numbers = [
        ("bytes", report.bytes, budget.bytes),
        ("gzip bytes", report.gzip_bytes, budget.gzip_bytes),
        (
            "memory pages at load",
            report.memory_pages,
            budget.memory_pages,
        ),
    ];
    for (name, measured, allowed) in numbers {
        println!(
            "{name:<22}{measured:>9}  of {allowed:>7}  ({} %)",
            measured * 100 / allowed
        );
        if measured > allowed {
            misses.push(format!(
                "{name}: {measured} is over the budget of {allowed}"
            ));
        }
    }
    println!("{:<22}{:>9}", "imports", report.imports.len());
    for import in &report.imports {
        if !budget.imports.contains(import) {
            misses.push(format!(
                "import {import} is not in budgets.toml: some hosts lack it"
            ));
        }
    }
    for import in &budget.imports {
        if !report.imports.contains(import) {
            misses.push(format!(
                "import {import} is in budgets.toml but the module has no use for it"
            ));
        }
    }
    misses
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A module that imports `env.f`, has two pages of memory, and nothing else.
    const MODULE: &[u8] =
        b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x02\x09\x01\x03env\x01f\0\0\x05\x03\x01\0\x02";

    fn budget(bytes: u64, imports: &[&str]) -> Budget {
        let imports = imports.iter().map(ToString::to_string).collect();
        Budget {
            bytes,
            gzip_bytes: 1_000,
            memory_pages: 2,
            imports,
        }
    }

    #[test]
    fn measures_imports_and_memory() {
        let report = measure(MODULE).unwrap();
        assert_eq!(report.imports, ["env.f"]);
        assert_eq!(report.memory_pages, 2);
        assert_eq!(report.bytes, MODULE.len() as u64);
    }

    #[test]
    fn names_every_miss() {
        let report = measure(MODULE).unwrap();
        assert!(compare(&report, &budget(1_000, &["env.f"])).is_empty());
        let misses = compare(&report, &budget(1, &["env.g"]));
        assert_eq!(misses.len(), 3, "{misses:?}");
    }

    #[test]
    fn refuses_what_is_not_a_module() {
        assert!(measure(b"hello").is_err());
    }
}
