//! What a request will cost: prompt tokens from bytes, and the length of the answer.
//!
//! # What it does
//! Bytes of a token are learned a model from `usage.prompt_tokens`; output length is learned a class (tenant, model, kind of request)
//! as a fading mean with its mean absolute error, and clipped by `max_tokens`.
//!
//! # Limits
//! Both tables are fixed in size; classes that share a slot share an estimate.

use crate::config::Priors;
use crate::fixed::{self, ONE};
use crate::request::Request;
use crate::rng;

const MODELS: usize = 16;
const CLASSES: usize = 128;

/// What a request is expected to cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Estimate {
    /// Tokens of the prompt.
    pub prompt_tokens: u64,
    /// Tokens of the answer.
    pub output_tokens: u64,
    /// Mean absolute error of `output_tokens` so far.
    pub output_error: u64,
}

/// The learned tables.
#[derive(Clone, Debug)]
pub struct Costs {
    bytes_per_token: [u64; MODELS],
    output: [Output; CLASSES],
}

/// Both in 1/256 token, so that a mean of few tokens is not stuck on rounding.
#[derive(Clone, Copy, Debug)]
struct Output {
    mean: u64,
    error: u64,
}

const FINE: u64 = 256;

/// Kept with a request until its usage is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CostClass {
    model: u8,
    output: u8,
}

impl Costs {
    /// Tables that hold the prior everywhere.
    pub fn new(priors: &Priors) -> Self {
        Self {
            bytes_per_token: [priors.bytes_per_token; MODELS],
            output: [Output {
                mean: priors.output_tokens * FINE,
                error: priors.output_tokens * FINE / 2,
            }; CLASSES],
        }
    }

    /// What `request` will cost, and the class under which its usage is to be learned.
    pub fn estimate(&self, request: &Request<'_>) -> (Estimate, CostClass) {
        let model = (rng::mix(request.model) % MODELS as u64) as u8;
        let class = rng::mix(request.model ^ request.tenant.rotate_left(29) ^ request.kind as u64);
        let class = CostClass {
            model,
            output: (class % CLASSES as u64) as u8,
        };
        let output = self
            .output
            .get(usize::from(class.output))
            .copied()
            .unwrap_or(Output { mean: 0, error: 0 });
        let limit = request.max_tokens.map_or(u64::MAX, u64::from);
        let estimate = Estimate {
            prompt_tokens: self.tokens(class, request.prompt_bytes),
            output_tokens: (output.mean / FINE).min(limit),
            output_error: output.error / FINE,
        };
        (estimate, class)
    }

    /// Tokens in `bytes` of prompt.
    pub fn tokens(&self, class: CostClass, bytes: u64) -> u64 {
        let per_token = self
            .bytes_per_token
            .get(usize::from(class.model))
            .copied()
            .unwrap_or(ONE);
        fixed::mul_div(bytes, ONE, per_token)
    }

    /// The engine has said what the request really was.
    pub fn on_usage(
        &mut self,
        class: CostClass,
        prompt_bytes: u64,
        prompt_tokens: u64,
        completion_tokens: u64,
    ) {
        // Short prompts are mostly chat template, and say little of bytes in a token.
        if let Some(mean) = self.bytes_per_token.get_mut(usize::from(class.model))
            && prompt_tokens >= 32
        {
            let seen = fixed::ratio(prompt_bytes, prompt_tokens).clamp(ONE / 2, 64 * ONE);
            *mean = fixed::ewma(*mean, seen, 4);
        }
        if let Some(output) = self.output.get_mut(usize::from(class.output)) {
            let completion_tokens = completion_tokens.saturating_mul(FINE);
            output.error = fixed::ewma(output.error, output.mean.abs_diff(completion_tokens), 5);
            output.mean = fixed::ewma(output.mean, completion_tokens, 5);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Kind;

    fn request(tenant: u64, bytes: u64, max_tokens: Option<u32>) -> Request<'static> {
        Request {
            kind: Kind::Chat,
            model: 5,
            salt: 0,
            tenant,
            session: 0,
            prompt_bytes: bytes,
            blocks: &[],
            blocks_complete: true,
            max_tokens,
            stream: true,
            seed: 1,
        }
    }

    #[test]
    fn learns_bytes_and_lengths_with_an_error() {
        let mut costs = Costs::new(&crate::config::Config::default().priors);
        let (first, class) = costs.estimate(&request(1, 4000, None));
        assert_eq!((first.prompt_tokens, first.output_tokens), (1000, 256));
        for i in 0..300 {
            costs.on_usage(class, 3000, 1000, 80 + 40 * (i % 2));
        }
        let (learned, _) = costs.estimate(&request(1, 3000, None));
        assert!(learned.prompt_tokens.abs_diff(1000) <= 1, "{learned:?}");
        assert!(
            learned.output_tokens.abs_diff(100) <= 1 && learned.output_error.abs_diff(20) <= 1,
            "{learned:?}"
        );
        assert_eq!(
            costs.estimate(&request(1, 3000, Some(7))).0.output_tokens,
            7
        );
        assert_eq!(
            costs.estimate(&request(2, 3000, None)).0.output_tokens,
            256,
            "another tenant"
        );
    }

    #[test]
    fn hostile_usage_stays_in_bounds() {
        let mut costs = Costs::new(&crate::config::Config::default().priors);
        let (_, class) = costs.estimate(&request(1, 1, None));
        for _ in 0..1000 {
            costs.on_usage(class, u64::MAX, 32, u64::MAX);
            costs.on_usage(class, 0, u64::MAX, 0);
        }
        assert!(costs.estimate(&request(1, u64::MAX, None)).0.prompt_tokens > 0);
    }
}
