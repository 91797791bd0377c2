//! The properties of [`crate::readers`] over the committed corpora of `fuzz/`, and over damage to them.

use std::path::Path;

use plimsoll_core::hash;
use plimsoll_core::rng::Rng;

use crate::readers::{ALL, Property};

/// Damaged inputs of one property.
const RUNS: u32 = 4000;
/// Longest input.
const MOST: usize = 8192;

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/corpus")
        .join(name);
    let mut paths: Vec<_> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect()
}

/// Does to `bytes` what a fuzzer would: flips, cuts, copies, splices, and puts in what parsers stumble over.
fn damage(rng: &mut Rng, bytes: &mut Vec<u8>, seeds: &[Vec<u8>]) {
    const TOKENS: [&[u8]; 16] = [
        b"\"",
        b"\\",
        b"\\u00",
        b"\\ud800",
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b"\n\n",
        b"\r\n",
        b"data: ",
        b"-1",
        b"1e999",
        b"\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\0\0\0\0",
    ];
    for _ in 0..=rng.below(4) {
        let at = rng.below(bytes.len() as u32 + 1) as usize;
        let until = (at + rng.below(40) as usize).min(bytes.len());
        match rng.below(7) {
            0 => bytes
                .iter_mut()
                .skip(at)
                .take(1)
                .for_each(|byte| *byte ^= 1 << rng.below(8)),
            1 => bytes
                .iter_mut()
                .skip(at)
                .take(1)
                .for_each(|byte| *byte = rng.next() as u8),
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at..until)),
            4 => {
                let copy = bytes[at..until].repeat(1 + rng.below(8) as usize);
                bytes.splice(at..at, copy);
            }
            5 => {
                let token = TOKENS[rng.below(16) as usize];
                bytes.splice(at..at, token.iter().copied());
            }
            _ => {
                let other = &seeds[rng.below(seeds.len() as u32) as usize];
                let from = rng.below(other.len() as u32 + 1) as usize;
                bytes.splice(at..until, other[from..].iter().copied());
            }
        }
        bytes.truncate(MOST);
    }
}

fn hold((name, property): Property) {
    let seeds = corpus(name);
    assert!(seeds.len() >= 3, "{name}: {} seeds", seeds.len());
    property(b"");
    seeds.iter().for_each(|seed| property(seed));
    let mut rng = Rng::new(hash::key(name.as_bytes()));
    for _ in 0..RUNS {
        let mut bytes = seeds[rng.below(seeds.len() as u32) as usize].clone();
        damage(&mut rng, &mut bytes, &seeds);
        property(&bytes);
    }
}

#[test]
fn readers_hold_against_damage() {
    ALL.into_iter().for_each(hold);
}

#[test]
fn every_property_has_its_fuzz_target() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
    let manifest = std::fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
    for (name, _) in ALL {
        let target = fuzz.join("fuzz_targets").join(name).with_extension("rs");
        let source = std::fs::read_to_string(target).unwrap();
        assert!(source.contains(&format!("readers::{name}(")), "{name}");
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
    }
}
