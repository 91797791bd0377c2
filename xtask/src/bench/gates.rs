//! Instructions of the core's operations, counted by callgrind and held against `budgets.toml`: the same on every run, however busy the
//! machine is.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use crate::failure::Failure;
use crate::repo::Repo;
use crate::step;

#[derive(serde::Deserialize)]
struct Budgets {
    /// Most instructions by name of the operation, as `plimsoll-count` takes it.
    instructions: BTreeMap<String, u64>,
}

/// Counts and compares; a note says why it was skipped.
pub(crate) fn run(repo: &Repo) -> Result<Option<String>, Failure> {
    if !cfg!(target_arch = "x86_64") {
        return Ok(Some("the budgets are x86-64 instructions".to_owned()));
    }
    if step::output(Command::new("valgrind").arg("--version")).is_err() {
        return Ok(Some("valgrind is not installed".to_owned()));
    }
    let budgets: Budgets = toml::from_str(&fs::read_to_string(repo.root().join("budgets.toml"))?)
        .map_err(|error| Failure::new(format!("budgets.toml: {error}")))?;
    step::output(repo.cargo().args([
        "build",
        "--quiet",
        "--profile",
        "counted",
        "--package",
        "plimsoll-benches",
        "--bin",
        "plimsoll-count",
    ]))?;
    let binary = repo.target().join("counted/plimsoll-count");
    let mut misses = Vec::new();
    for (name, budget) in budgets.instructions {
        let told = step::output(
            Command::new("valgrind")
                .args([
                    "--tool=callgrind",
                    "--callgrind-out-file=/dev/null",
                    "--log-fd=1",
                    "--toggle-collect=plimsoll_count::counted*",
                ])
                .arg(&binary)
                .arg(&name),
        )?;
        let count = per_operation(&told)
            .ok_or_else(|| Failure::new(format!("{name}: callgrind told no count:\n{told}")))?;
        println!("{name:<24}{count:>10} instructions of {budget:>9}");
        if count > budget {
            misses.push(format!(
                "[instructions] {name}: {count} is over its budget of {budget}"
            ));
        }
    }
    if misses.is_empty() {
        Ok(None)
    } else {
        Err(Failure::new(misses.join("\n")))
    }
}

/// Instructions of one operation, from the output of callgrind and of the program.
fn per_operation(told: &str) -> Option<u64> {
    let number = |label: &str| {
        let line = told.lines().find(|line| line.contains(label))?;
        line.rsplit_once(' ')?.1.parse::<u64>().ok()
    };
    number("Collected :")?.checked_div(number("operations:")?)
}

#[cfg(test)]
mod tests {
    use super::per_operation;

    #[test]
    fn counts_are_read() {
        let told = "==7== Callgrind\noperations: 64\n==7== Collected : 1280\n==7==\n";
        assert_eq!(per_operation(told), Some(20));
        assert_eq!(per_operation("operations: 64\n"), None);
        assert_eq!(per_operation("operations: 0\n==7== Collected : 1\n"), None);
    }
}
