//! Generated workloads.

use super::{Row, Segment};
use crate::engine::{Gpu, chain};
use crate::random::{Random, Zipf};

/// One-page documents mixed with contracts of fifty pages, each prompt its own.
///
/// Lengths follow from the work wanted on a GPU kind: the engine model is inverted.
#[derive(Clone, Debug)]
pub struct Documents {
    /// GPU kind whose time is meant.
    pub gpu: Gpu,
    /// Prefill time of a one-page document alone on an engine, ms.
    pub page_ms: f64,
    /// Prefill time of a contract alone on an engine, ms.
    pub contract_ms: f64,
    /// Share of contracts among the requests.
    pub contract_share: f64,
    /// Tokens of each answer.
    pub output_tokens: u32,
}

impl Default for Documents {
    fn default() -> Self {
        Self {
            gpu: Gpu::L4,
            page_ms: 200.0,
            contract_ms: 12_000.0,
            contract_share: 0.03,
            output_tokens: 8,
        }
    }
}

impl Documents {
    /// Tokens of a one-page document and of a contract.
    #[must_use]
    pub fn token_counts(&self) -> (u32, u32) {
        let model = self.gpu.step_model();
        (
            model.tokens_for_ms(self.page_ms),
            model.tokens_for_ms(self.contract_ms),
        )
    }

    /// `count` requests with Poisson arrivals of `rate` a second.
    #[must_use]
    pub fn rows(&self, count: usize, rate: f64, seed: u64) -> Vec<Row> {
        let (page, contract) = self.token_counts();
        let mut random = Random::new(seed);
        let mut at = 0.0;
        let row = |_| {
            at += random.exponential(1e6 / rate);
            let tokens = if random.unit() < self.contract_share {
                contract
            } else {
                page
            };
            Row {
                at_micros: at as u64,
                segments: vec![Segment {
                    id: random.bits(),
                    tokens,
                }],
                output_tokens: self.output_tokens.max(1),
                tenant: 0,
                session: 0,
            }
        };
        (0..count).map(row).collect()
    }
}

/// Agents: long system prompts whose popularity follows Zipf's law, a short task of the request's own behind.
#[derive(Clone, Debug)]
pub struct Agents {
    /// Distinct system prompts.
    pub prompts: usize,
    /// Zipf exponent of their popularity.
    pub exponent: f64,
    /// Tokens of a system prompt: uniform between these.
    pub system_tokens: (u32, u32),
    /// Median tokens of the task.
    pub task_tokens: f64,
    /// Median tokens of the answer.
    pub output_tokens: f64,
}

impl Default for Agents {
    fn default() -> Self {
        Self {
            prompts: 64,
            exponent: 1.0,
            system_tokens: (4096, 12_288),
            task_tokens: 400.0,
            output_tokens: 150.0,
        }
    }
}

impl Agents {
    /// `count` requests with Poisson arrivals of `rate` a second.
    #[must_use]
    pub fn rows(&self, count: usize, rate: f64, seed: u64) -> Vec<Row> {
        let mut random = Random::new(seed);
        let popularity = Zipf::new(self.prompts, self.exponent);
        let (least, most) = self.system_tokens;
        let lengths: Vec<u32> = (0..self.prompts.max(1))
            .map(|_| least + random.below(u64::from(most - least) + 1) as u32)
            .collect();
        let mut at = 0.0;
        let row = |_| {
            at += random.exponential(1e6 / rate);
            let prompt = popularity.draw(&mut random);
            let system = Segment {
                id: chain(seed, prompt as u64),
                tokens: lengths[prompt],
            };
            let task = Segment {
                id: random.bits(),
                tokens: random.log_normal(self.task_tokens, 0.6).clamp(8.0, 8192.0) as u32,
            };
            Row {
                at_micros: at as u64,
                segments: vec![system, task],
                output_tokens: random
                    .log_normal(self.output_tokens, 0.6)
                    .clamp(1.0, 2000.0) as u32,
                tenant: prompt as u64 + 1,
                session: 0,
            }
        };
        (0..count).map(row).collect()
    }
}

/// Short chats of a few tenants, each with a system prompt of its own, that come in bursts: calm and burst take turns, and a tenant's
/// burst is mostly its own.
#[derive(Clone, Debug)]
pub struct Bursts {
    /// Tenants.
    pub tenants: usize,
    /// Tokens of a system prompt: uniform between these.
    pub system_tokens: (u32, u32),
    /// Median tokens of a question.
    pub question_tokens: f64,
    /// Median tokens of an answer.
    pub output_tokens: f64,
    /// How many times as fast requests come in a burst as in between.
    pub factor: f64,
    /// Mean requests of a calm and of a burst.
    pub lengths: (f64, f64),
    /// Share of a burst that is one tenant's.
    pub own_share: f64,
}

impl Default for Bursts {
    fn default() -> Self {
        Self {
            tenants: 8,
            system_tokens: (200, 2000),
            question_tokens: 600.0,
            output_tokens: 200.0,
            factor: 8.0,
            lengths: (150.0, 150.0),
            own_share: 0.7,
        }
    }
}

impl Bursts {
    /// `count` requests, `rate` a second in the mean: Poisson arrivals of either rate.
    #[must_use]
    pub fn rows(&self, count: usize, rate: f64, seed: u64) -> Vec<Row> {
        let mut random = Random::new(seed);
        let tenants = self.tenants.max(1) as u64;
        let (least, most) = self.system_tokens;
        let systems: Vec<u32> = (0..tenants)
            .map(|_| least + random.below(u64::from(most - least) + 1) as u32)
            .collect();
        // So that the mean over calm and burst, by requests, is the rate asked for.
        let (calm, burst) = self.lengths;
        let calm_gap = 1e6 / rate * (calm + burst) / (calm + burst / self.factor);
        let (mut at, mut bursting, mut left, mut owner) = (0.0, true, 0u64, 0);
        let row = |_| {
            if left == 0 {
                bursting = !bursting;
                left = random.exponential(if bursting { burst } else { calm }) as u64 + 1;
                owner = random.below(tenants);
            }
            left -= 1;
            at += random.exponential(calm_gap / if bursting { self.factor } else { 1.0 });
            let tenant = if bursting && random.unit() < self.own_share {
                owner
            } else {
                random.below(tenants)
            };
            let system = Segment {
                id: chain(seed, tenant),
                tokens: systems[tenant as usize],
            };
            let question = Segment {
                id: random.bits(),
                tokens: random
                    .log_normal(self.question_tokens, 1.0)
                    .clamp(8.0, 16_384.0) as u32,
            };
            Row {
                at_micros: at as u64,
                segments: vec![system, question],
                output_tokens: random
                    .log_normal(self.output_tokens, 0.8)
                    .clamp(1.0, 2000.0) as u32,
                tenant: tenant + 1,
                session: 0,
            }
        };
        (0..count).map(row).collect()
    }
}

/// Conversations: each turn's prompt is the whole conversation so far and a new question.
#[derive(Clone, Debug)]
pub struct MultiTurn {
    /// Turns of a conversation: uniform between these.
    pub turns: (u32, u32),
    /// Median tokens of a question.
    pub question_tokens: f64,
    /// Median tokens of an answer.
    pub output_tokens: f64,
    /// Mean seconds between an answer's arrival and the next question.
    pub think_seconds: f64,
}

impl Default for MultiTurn {
    fn default() -> Self {
        Self {
            turns: (2, 12),
            question_tokens: 300.0,
            output_tokens: 200.0,
            think_seconds: 15.0,
        }
    }
}

impl MultiTurn {
    /// About `count` requests; conversations begin so that requests come at `rate` a second.
    #[must_use]
    pub fn rows(&self, count: usize, rate: f64, seed: u64) -> Vec<Row> {
        let mut random = Random::new(seed);
        let (least, most) = self.turns;
        let mean_turns = f64::from(least + most) / 2.0;
        let mut rows = Vec::with_capacity(count + most as usize);
        let mut start = 0.0;
        while rows.len() < count {
            start += random.exponential(1e6 * mean_turns / rate);
            let session = random.bits() | 1;
            let mut segments = Vec::new();
            let mut at = start;
            for _ in 0..least + random.below(u64::from(most - least) + 1) as u32 {
                let tokens = random
                    .log_normal(self.question_tokens, 0.8)
                    .clamp(4.0, 8192.0) as u32;
                segments.push(Segment {
                    id: random.bits(),
                    tokens,
                });
                let output_tokens = random
                    .log_normal(self.output_tokens, 0.7)
                    .clamp(1.0, 2000.0) as u32;
                rows.push(Row {
                    at_micros: at as u64,
                    segments: segments.clone(),
                    output_tokens,
                    tenant: 0,
                    session,
                });
                segments.push(Segment {
                    id: random.bits(),
                    tokens: output_tokens,
                });
                // An answer comes at about 30 tokens a second.
                at += f64::from(output_tokens) / 30.0 * 1e6
                    + random.exponential(self.think_seconds * 1e6);
            }
        }
        rows.sort_by_key(|row| row.at_micros);
        rows.truncate(count);
        rows
    }
}
