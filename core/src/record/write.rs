use alloc::vec::Vec;

use super::{GATHERED, HEADER, HOST, MAGIC, SHADOWED, VERSION, checksum, digest, weights_to_words};
use crate::bytes::{pad, put};
use crate::choose::{Choice, Hosts, Question, Rules, Shadowed, inputs_of};
use crate::config::Config;
use crate::cost::Estimate;
use crate::eligible::Constraints;
use crate::fleet::Fleet;
use crate::pick::Ranked;
use crate::policy::Classic;
use crate::request::Request;
use crate::time::{Instant, Micros};

/// All that a decision is made from, the hosts apart.
pub(crate) struct Scene<'a> {
    pub(crate) config: &'a Config,
    pub(crate) request: &'a Request<'a>,
    pub(crate) question: &'a Question,
    pub(crate) now: Instant,
    pub(crate) snapshot_age: Option<Micros>,
    pub(crate) estimate: Estimate,
    pub(crate) foreign: u64,
    pub(crate) mean_uncached: u64,
    pub(crate) memory: &'a Classic,
    pub(crate) shadow_memory: &'a Classic,
    pub(crate) constraints: Constraints,
    pub(crate) gathered: bool,
}

/// Writes what a decision is about to be made from into `out`, which is emptied first.
pub(crate) fn begin<H: Hosts>(out: &mut Vec<u8>, scene: &Scene<'_>, fleet: &Fleet, hosts: &H) {
    out.clear();
    header(out, scene, fleet.hosts().len());
    for (index, host) in fleet.hosts().iter().enumerate() {
        let facts = hosts.facts(index).unwrap_or_default();
        let why = scene.constraints.rule_out(host, scene.config);
        let inputs = match why {
            None => inputs_of(hosts, index).unwrap_or_default(),
            Some(_) => Default::default(),
        };
        out.extend_from_slice(&host.address.to_bytes());
        out.push(why.map_or(0, |why| why as u8));
        out.push(u8::try_from(facts.octave).unwrap_or(u8::MAX));
        for value in [facts.weight, facts.load, inputs.requests] {
            out.extend_from_slice(&value.to_le_bytes());
        }
        let words = [
            inputs.known_tokens,
            inputs.credited_tokens,
            inputs.queued_tokens,
            inputs.per_token,
            inputs.e2e,
            inputs.kv_used,
            inputs.kv_added,
            inputs.kv_capacity,
        ];
        put_words(out, &words);
        for memory in [scene.memory, scene.shadow_memory] {
            out.extend_from_slice(&memory.credit(index).to_le_bytes());
        }
        put_words(out, &[inputs.restraint, inputs.faults, inputs.done_tokens]);
    }
}

fn put_words(out: &mut Vec<u8>, words: &[u64]) {
    for word in words {
        out.extend_from_slice(&word.to_le_bytes());
    }
}

fn header(out: &mut Vec<u8>, scene: &Scene<'_>, hosts: usize) {
    let (rules, shadow) = (scene.config.rules(), scene.config.shadow_rules());
    out.extend_from_slice(MAGIC);
    let hosts = u16::try_from(hosts).unwrap_or(u16::MAX);
    for value in [VERSION, HEADER as u16, HOST as u16, hosts] {
        out.extend_from_slice(&value.to_le_bytes());
    }
    let gathered = if scene.gathered { GATHERED } else { 0 };
    let shadowed = if shadow.is_some() { SHADOWED } else { 0 };
    out.extend_from_slice(&[
        rules.policy as u8,
        scene.question.step as u8,
        gathered | shadowed,
        shadow.map_or(0, |rules: Rules<'_>| rules.policy as u8),
    ]);
    let words = [
        0,
        digest(scene.request),
        scene.config.fingerprint,
        scene.question.seed,
        scene.now.as_micros(),
        scene.snapshot_age.map_or(u64::MAX, Micros::get),
        scene.estimate.prompt_tokens,
        scene.estimate.output_tokens,
        scene.estimate.output_error,
        scene.foreign,
        scene.mean_uncached,
        scene.question.key,
        rules.tie_band,
    ];
    put_words(out, &words);
    put_words(out, &weights_to_words(rules.weights));
    put_words(out, &weights_to_words(&scene.config.shadow.weights));
    put_words(out, &[scene.memory.rng(), scene.shadow_memory.rng()]);
    for memory in [scene.memory, scene.shadow_memory] {
        out.extend_from_slice(&memory.last().unwrap_or(u16::MAX).to_le_bytes());
    }
    pad(out, HEADER);
}

/// Adds what was chosen to what [`begin`] has written, and seals the record.
pub(crate) fn end(out: &mut [u8], choice: &Choice, shadow: Option<&Shadowed>) {
    put_ranked(out, 268, &choice.ranked);
    if let Some(shadow) = shadow {
        put_ranked(out, 276, &shadow.ranked);
        put(out, 288, &shadow.regret.to_le_bytes());
        put(out, 296, &shadow.gain.to_le_bytes());
    }
    for (rank, terms) in choice.terms.iter().enumerate() {
        let words = [
            terms.total,
            terms.wait,
            terms.prefill,
            terms.stall,
            terms.kv,
            terms.uncached_tokens,
            terms.queued_tokens,
            u64::from(terms.requests),
        ];
        for (at, word) in words.iter().enumerate() {
            put(out, 304 + rank * 64 + at * 8, &word.to_le_bytes());
        }
        put(out, 496 + rank * 8, &terms.fault.to_le_bytes());
    }
    let checksum = checksum(out);
    put(out, 16, &checksum.to_le_bytes());
}

fn put_ranked(out: &mut [u8], at: usize, ranked: &Ranked) {
    put(out, at, &(ranked.len() as u16).to_le_bytes());
    for (rank, index) in ranked.iter().enumerate() {
        let index = u16::try_from(index).unwrap_or(u16::MAX);
        put(out, at + 2 + rank * 2, &index.to_le_bytes());
    }
}
