//! Committed decisions, made again: a change of the score, of the pick or of a policy shows here as a changed line.
//!
//! `tests/data/decisions.bin` holds the records, `decisions.txt` what is decided from each. `PLIMSOLL_WRITE_GOLDEN=1` writes both anew, which
//! is right only when decisions are meant to change.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use plimsoll_core::choose::Choice;
use plimsoll_core::record::{View, split};

use crate::differential;

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name)
}

/// One line a record: policy, step, hosts by score, what the shadow says.
fn decisions(file: &[u8]) -> String {
    let mut out = String::new();
    for record in split(file) {
        let view = View::new_checked(record).unwrap();
        let again = view.replay();
        let step = view.question().step.name();
        write!(out, "{} {step}", view.policy().name()).unwrap();
        let Choice { ranked, terms } = again.choice;
        for (index, terms) in ranked.iter().zip(&terms) {
            let address = view.host(index).unwrap().address;
            write!(out, " {address}={}", terms.total).unwrap();
        }
        if let (Some(shadow), Some(policy)) = (again.shadow, view.shadow_policy()) {
            let hosts: Vec<usize> = shadow.ranked.iter().collect();
            let (regret, gain) = (shadow.regret, shadow.gain);
            write!(out, " {}={hosts:?} {regret} {gain}", policy.name()).unwrap();
        }
        out.push('\n');
    }
    out
}

#[test]
fn committed_decisions_have_not_changed() {
    if std::env::var_os("PLIMSOLL_WRITE_GOLDEN").is_some() {
        let file = differential::records().concat();
        fs::write(path("decisions.txt"), decisions(&file)).unwrap();
        fs::write(path("decisions.bin"), file).unwrap();
    }
    let file = fs::read(path("decisions.bin")).unwrap();
    let expected = fs::read_to_string(path("decisions.txt")).unwrap();
    let found = decisions(&file);
    assert!(found.lines().count() > 40);
    for (at, (found, expected)) in found.lines().zip(expected.lines()).enumerate() {
        assert_eq!(found, expected, "decision {at}");
    }
    assert_eq!(found.len(), expected.len());
    for record in split(&file) {
        let view = View::new_checked(record).unwrap();
        assert_eq!(view.replay().choice, view.choice());
        assert_eq!(view.replay().shadow, view.shadow());
    }
}
