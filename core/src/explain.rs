//! The decision record: what was decided, on what grounds, and what came second.

use core::fmt;

use crate::choose::Shadowed;
use crate::config::Policy;
use crate::eligible::RuledOut;
use crate::inflight::Ticket;
use crate::pick::{RANKS, Ranked};
use crate::score::Terms;
use crate::time::Micros;

/// How much was known when deciding: the rungs of the degradation ladder. The numbers are those of decision records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Step {
    /// The engines' counters are fresh.
    Full = 0,
    /// They are not: own work and prefixes.
    Local = 1,
    /// Nothing has been observed: rendezvous hashing with bounded load.
    Hash = 2,
    /// No host is known: the proxy's own policy chooses.
    Proxy = 3,
}

impl Step {
    /// Every step, best first.
    pub const ALL: [Self; 4] = [Self::Full, Self::Local, Self::Hash, Self::Proxy];

    /// The name used in metrics and records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Local => "local",
            Self::Hash => "hash",
            Self::Proxy => "proxy",
        }
    }
}

/// A request is forwarded; why there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Names the request until it ends.
    pub ticket: Ticket,
    /// Host indices, best first.
    pub ranked: Ranked,
    /// How much was known.
    pub step: Step,
    /// Terms of the ranked hosts; zero under the classic policies.
    pub terms: [Terms; RANKS],
    /// How many hosts were eligible.
    pub eligible: u16,
    /// Why the others were not.
    pub ruled_out: RuledOut,
    /// Whether the first choice is an ejected host, which the request tries.
    pub probe: bool,
    /// Tokens of the prompt, estimated.
    pub prompt_tokens: u64,
    /// Of those, expected in the first choice's cache.
    pub cached_tokens: u64,
    /// Tokens expected of the answer.
    pub output_tokens: u64,
    /// Mean absolute error of that expectation so far.
    pub output_error: u64,
    /// Age of the snapshot.
    pub snapshot_age: Option<Micros>,
    /// The policy that chose.
    pub policy: Policy,
    /// What the shadow policy would have done, if there is one.
    pub shadow: Option<Shadowed>,
    /// What the ties were broken by.
    pub seed: u64,
    /// Which configuration decided.
    pub config: u64,
}

impl Decision {
    /// Microseconds by which the first choice beats the runner-up; 0 where they are tied, none where there is no other.
    pub fn margin(&self) -> Option<u64> {
        let [best, second, ..] = &self.terms;
        (self.ranked.len() > 1).then(|| second.total.saturating_sub(best.total))
    }
}

/// A decision as one line: space-separated `name=value`, with the hosts as `host` writes them.
pub struct Line<'a, F>(pub &'a Decision, pub F);

impl<F, D> fmt::Display for Line<'_, F>
where
    F: Fn(usize) -> Option<D>,
    D: fmt::Display,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(decision, host) = self;
        write!(
            f,
            "policy={} step={} eligible={} ruled_out={}",
            decision.policy.name(),
            decision.step.name(),
            decision.eligible,
            decision.ruled_out
        )?;
        if decision.probe {
            f.write_str(" probe=1")?;
        }
        write!(
            f,
            " prompt_tokens={} cached_tokens={} output_tokens={}+-{}",
            decision.prompt_tokens,
            decision.cached_tokens,
            decision.output_tokens,
            decision.output_error
        )?;
        match decision.snapshot_age {
            Some(age) => write!(f, " snapshot_age={age}")?,
            None => f.write_str(" snapshot_age=none")?,
        }
        for (rank, (index, terms)) in decision.ranked.iter().zip(&decision.terms).enumerate() {
            let Some(address) = host(index) else { continue };
            write!(f, " host{rank}={address}")?;
            let Terms {
                total,
                wait,
                prefill,
                stall,
                kv,
                fault,
                uncached_tokens,
                queued_tokens,
                requests,
            } = terms;
            write!(
                f,
                "({total}us:wait={wait},prefill={prefill},stall={stall},kv={kv},fault={fault}"
            )?;
            write!(
                f,
                ";uncached={uncached_tokens},queued={queued_tokens},requests={requests})"
            )?;
        }
        if let Some(margin) = decision.margin() {
            write!(f, " margin={margin}us")?;
        }
        if let Some(shadow) = &decision.shadow
            && let Some(address) = shadow.ranked.first().and_then(host)
        {
            let Shadowed { regret, gain, .. } = shadow;
            write!(f, " shadow={address}(regret={regret}us,gain={gain}us)")?;
        }
        write!(
            f,
            " seed={:016x} config={:016x}",
            decision.seed, decision.config
        )
    }
}
