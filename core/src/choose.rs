//! The choice itself: from plain facts of the hosts to a ranked pick, by any policy.
//!
//! It looks at its arguments and at nothing else. A live decision hands it the fleet, a replay hands it a decision record, and so both
//! run the same lines.

use alloc::vec::Vec;

use crate::config::{Policy, Weights};
use crate::explain::Step;
use crate::fixed::{self, ONE};
use crate::pick::{self, RANKS, Ranked};
use crate::policy::{Classic, each};
use crate::prefix;
use crate::score::{self, Inputs, Terms};

/// A host takes new prefixes by hash up to this many times the mean load (Q16): rendezvous hashing with bounded load.
const BOUND: u64 = ONE * 5 / 4;

/// How to choose.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// The policy.
    pub policy: Policy,
    /// Weights of its score.
    pub weights: &'a Weights,
    /// Share (Q16) by which scores may differ and still be a tie.
    pub tie_band: u64,
}

/// What is asked, apart from the hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// How much is known.
    pub step: Step,
    /// What breaks ties.
    pub seed: u64,
    /// Tokens of the prompt, estimated.
    pub prompt_tokens: u64,
    /// Where the prompt is in rendezvous hashing, on the step that hashes.
    pub key: u64,
}

/// What is known of a host without asking what the request would cost there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Key of its address.
    pub key: u64,
    /// Our requests there.
    pub load: u32,
    /// Configured weight.
    pub weight: u32,
    /// Speed in octaves.
    pub octave: u32,
}

/// The hosts that may be chosen.
pub trait Hosts {
    /// A bit for each host that may be.
    fn eligible(&self) -> &[u64];
    /// What is known of the host at `index`.
    fn facts(&self, index: usize) -> Option<Facts>;
    /// What its score reads; `None` where nothing of that was gathered.
    fn inputs(&self, index: usize) -> Option<Inputs>;
}

/// What was chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// Host indices, best first.
    pub ranked: Ranked,
    /// Terms of their scores; zero where nothing was gathered.
    pub terms: [Terms; RANKS],
}

/// Chooses by `rules`; nothing where nobody is eligible. `memory` is what the classic policies remember, `scores` working memory.
pub fn choose<H: Hosts>(
    rules: &Rules<'_>,
    question: &Question,
    memory: &mut Classic,
    scores: &mut Vec<(usize, u64, u64)>,
    hosts: &H,
) -> Choice {
    if each(hosts.eligible()).next().is_none() {
        return Choice::default();
    }
    let ranked = match rules.policy {
        Policy::Plimsoll if question.step == Step::Hash => by_hash(question, scores, hosts),
        Policy::Plimsoll => {
            scores.clear();
            for index in each(hosts.eligible()) {
                if let (Some(facts), Some(inputs)) = (hosts.facts(index), hosts.inputs(index)) {
                    let terms = score::score(rules.weights, question.prompt_tokens, &inputs);
                    scores.push((index, facts.key, terms.total));
                }
            }
            pick::rank(scores, question.seed, rules.tie_band)
        }
        classic => memory.choose(classic, question.seed, hosts),
    };
    let mut terms = [Terms::default(); RANKS];
    for (slot, index) in terms.iter_mut().zip(ranked.iter()) {
        *slot = terms_of(rules.weights, question, hosts, index);
    }
    Choice { ranked, terms }
}

/// What the score reads of one host. Apart from the loop over all hosts, where it is inlined: the code is long.
#[inline(never)]
pub fn inputs_of<H: Hosts>(hosts: &H, index: usize) -> Option<Inputs> {
    hosts.inputs(index)
}

/// Terms of one host's score; zero where nothing was gathered.
#[inline(never)]
fn terms_of<H: Hosts>(weights: &Weights, question: &Question, hosts: &H, index: usize) -> Terms {
    inputs_of(hosts, index)
        .map(|inputs| score::score(weights, question.prompt_tokens, &inputs))
        .unwrap_or_default()
}

/// What a second policy would have chosen, beside what was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shadowed {
    /// Its hosts, best first.
    pub ranked: Ranked,
    /// What its first choice would have cost more, in microseconds predicted by the weights in force.
    pub regret: u64,
    /// What its first choice would have cost less, in microseconds predicted by its own weights.
    pub gain: u64,
}

/// Compares `choice` with the hosts that a second policy has `ranked`, by the weights of the first and of the second. Where nothing was
/// gathered there is nothing to predict from, and regret and gain are 0.
pub fn compare<H: Hosts>(
    weights: (&Weights, &Weights),
    question: &Question,
    hosts: &H,
    choice: &Choice,
    ranked: Ranked,
) -> Shadowed {
    let cost = |weights: &Weights, ranked: &Ranked| {
        let first = ranked.first();
        first.map_or(0, |index| terms_of(weights, question, hosts, index).total)
    };
    let (ours, theirs) = weights;
    Shadowed {
        ranked,
        regret: cost(ours, &ranked).saturating_sub(cost(ours, &choice.ranked)),
        gain: cost(theirs, &choice.ranked).saturating_sub(cost(theirs, &ranked)),
    }
}

#[inline(never)]
fn by_hash<H: Hosts>(question: &Question, draws: &mut Vec<(usize, u64, u64)>, hosts: &H) -> Ranked {
    let (mut total, mut count) = (1u64, 0u64);
    for host in each(hosts.eligible()).filter_map(|index| hosts.facts(index)) {
        total += u64::from(host.load);
        count += 1;
    }
    let bound = fixed::mul_div(total, BOUND, count.saturating_mul(ONE)).saturating_add(1);
    draws.clear();
    for index in each(hosts.eligible()) {
        if let Some(host) = hosts.facts(index) {
            let full = u64::from(host.load) >= bound;
            let draw = prefix::draw(question.key, host.key, host.octave);
            let draw = draw.saturating_add(if full { u64::MAX / 2 } else { 0 });
            draws.push((index, host.key, draw));
        }
    }
    pick::rank(draws, question.seed, 0)
}
