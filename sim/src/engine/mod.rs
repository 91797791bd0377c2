//! The engine model: continuous batching as vLLM v1 does it, one synchronous step at a time.
//!
//! A step gives every running sequence its next token and the rest of 8,192 tokens to prompts, first come first served;
//! at most 256 sequences run. KV memory is handed out in blocks; full blocks of prompts are found again by later prompts
//! with the same beginning. When blocks run out the youngest sequence is put back and computed anew later.
//!
//! Limits: one model; no speculative decoding, no prefill/decode split, no host memory behind the KV cache; generated
//! tokens are not found again as a prefix (the next turn of a conversation computes the last answer once); a block counts
//! as cached from the step that computes it, as in vLLM.
//!
//! It knows no clock. The discrete-event fleet and the HTTP server both drive it: [`Engine::begin_step`] says how
//! long the next step takes, [`Engine::finish_step`] says what it produced.

mod blocks;
mod gpu;
mod job;
mod prompt;

pub use blocks::{BlockId, BlockPool, HashKeyed};
pub use gpu::{Fleet, Gpu, MAX_RUNNING, STEP_TOKENS, StepLoad, StepModel};
pub use job::{Job, Token, TooLong, Totals};
pub use prompt::{Prompt, PromptHasher, TOKEN_BYTES, chain, mix};

use std::collections::VecDeque;

#[cfg(test)]
mod calibration_tests;
#[cfg(test)]
mod tests;

#[derive(Clone)]
struct Sequence {
    job: Job,
    /// Tokens to compute before the next token can be sampled: prompt, plus what was generated before a preemption.
    target: u32,
    computed: u32,
    generated: u32,
    /// Tokens of the step under way; 0 when not scheduled in it.
    scheduled: u32,
    blocks: Vec<BlockId>,
    cached_tokens: u32,
    admitted_before: bool,
}

/// One engine: a queue, a batch and a KV cache.
#[derive(Clone)]
pub struct Engine {
    model: StepModel,
    /// Multiple of the GPU's speed at which it runs.
    speed: f64,
    block_tokens: u32,
    pool: BlockPool,
    waiting: VecDeque<Sequence>,
    running: Vec<Sequence>,
    /// Duration of the step under way.
    step: Option<u64>,
    totals: Totals,
}

impl Engine {
    /// An idle engine on `gpu` with prefix blocks of `block_tokens` tokens.
    #[must_use]
    pub fn new(gpu: Gpu, block_tokens: u32) -> Self {
        let blocks = (gpu.kv_tokens() / block_tokens) as usize;
        Self::with_blocks(gpu, block_tokens, blocks)
    }

    /// An idle engine with a KV cache of `blocks` blocks instead of the GPU's.
    #[must_use]
    pub fn with_blocks(gpu: Gpu, block_tokens: u32, blocks: usize) -> Self {
        Self {
            model: gpu.step_model(),
            speed: 1.0,
            block_tokens,
            pool: BlockPool::new(blocks),
            waiting: VecDeque::new(),
            running: Vec::new(),
            step: None,
            totals: Totals::default(),
        }
    }

    /// Sequences in the batch.
    #[must_use]
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// Sequences in the queue.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Blocks that sequences hold.
    #[must_use]
    pub fn used_blocks(&self) -> usize {
        self.pool.used()
    }

    /// Blocks in total.
    #[must_use]
    pub fn block_count(&self) -> usize {
        self.pool.capacity()
    }

    /// Tokens a block.
    #[must_use]
    pub fn block_tokens(&self) -> u32 {
        self.block_tokens
    }

    /// Totals since the start.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// Step-time coefficients.
    #[must_use]
    pub fn model(&self) -> StepModel {
        self.model
    }

    /// From the next step on it runs at `factor` times its GPU's speed.
    pub fn set_speed(&mut self, factor: f64) {
        self.speed = factor;
    }

    /// Whether a step is under way.
    #[must_use]
    pub fn stepping(&self) -> bool {
        self.step.is_some()
    }

    /// Prompt tokens of `prompt` that the prefix cache would give at this moment.
    #[must_use]
    pub fn cached_tokens(&self, prompt: &Prompt) -> u32 {
        self.pool
            .lookup(Self::cacheable(prompt, self.block_tokens))
            .0 as u32
            * self.block_tokens
    }

    /// Tokens still to be computed before every sequence here has its first (or next) token: queue and prefills in
    /// progress, cache hits of the queue not deducted.
    #[must_use]
    pub fn queued_prefill_tokens(&self) -> u64 {
        let left =
            |sequence: &Sequence| u64::from(sequence.target.saturating_sub(sequence.computed));
        self.waiting.iter().map(left).sum::<u64>()
            + self
                .running
                .iter()
                .filter(|sequence| !sequence.decoding())
                .map(left)
                .sum::<u64>()
    }

    /// Accepts a job into the queue.
    ///
    /// # Errors
    ///
    /// [`TooLong`] when prompt and output would never fit the KV cache.
    pub fn submit(&mut self, job: Job) -> Result<(), TooLong> {
        let tokens = u64::from(job.prompt.tokens) + u64::from(job.output_tokens);
        let capacity = self.pool.capacity() as u64 * u64::from(self.block_tokens);
        if tokens > capacity {
            return Err(TooLong { tokens, capacity });
        }
        self.totals.accepted += 1;
        self.waiting.push_back(Sequence {
            target: job.prompt.tokens,
            job,
            computed: 0,
            generated: 0,
            scheduled: 0,
            blocks: Vec::new(),
            cached_tokens: 0,
            admitted_before: false,
        });
        Ok(())
    }

    /// Drops a job and frees what it holds. Unknown identifiers are ignored: the job may have just ended.
    pub fn cancel(&mut self, id: u64) -> bool {
        if let Some(position) = self
            .waiting
            .iter()
            .position(|sequence| sequence.job.id == id)
        {
            self.waiting.remove(position);
        } else if let Some(position) = self
            .running
            .iter()
            .position(|sequence| sequence.job.id == id)
        {
            let mut sequence = self.running.remove(position);
            self.pool.release(&mut sequence.blocks);
        } else {
            return false;
        }
        self.totals.cancelled += 1;
        true
    }

    /// Plans the next step and returns its duration in microseconds; `None` when there is nothing to do.
    /// Calling it while a step is under way returns that step's duration.
    pub fn begin_step(&mut self) -> Option<u64> {
        if self.step.is_some() {
            return self.step;
        }
        let mut budget = STEP_TOKENS;
        let mut load = StepLoad::default();
        let preempted = self.schedule_running(&mut budget, &mut load);
        if !preempted {
            self.admit(&mut budget, &mut load);
        }
        if load.prefill_tokens == 0 && load.decoding == 0 {
            return None;
        }
        let micros = self.model.step_micros(&load);
        self.step = Some((micros as f64 / self.speed) as u64);
        self.step
    }

    /// Ends the step under way and appends what it produced to `tokens`. Without one, nothing happens.
    pub fn finish_step(&mut self, tokens: &mut Vec<Token>) {
        let Some(micros) = self.step.take() else {
            return;
        };
        self.totals.busy_micros += micros;
        self.totals.steps += 1;
        for sequence in &mut self.running {
            let prefilling = !sequence.decoding();
            let scheduled = core::mem::take(&mut sequence.scheduled);
            if scheduled == 0 {
                continue;
            }
            sequence.computed += scheduled;
            if prefilling {
                self.totals.computed_tokens += u64::from(scheduled);
            }
            if sequence.computed < sequence.target {
                continue;
            }
            sequence.generated += 1;
            sequence.target = sequence.job.prompt.tokens + sequence.generated;
            self.totals.output_tokens += 1;
            tokens.push(Token {
                id: sequence.job.id,
                ordinal: sequence.generated,
                last: sequence.generated >= sequence.job.output_tokens,
                cached_tokens: sequence.cached_tokens,
            });
        }
        let (pool, totals) = (&mut self.pool, &mut self.totals);
        self.running.retain_mut(|sequence| {
            let ended = sequence.generated >= sequence.job.output_tokens;
            if ended {
                pool.release(&mut sequence.blocks);
                totals.finished += 1;
            }
            !ended
        });
    }

    /// Gives running sequences their share of the step, oldest first. Returns whether one had to be preempted.
    fn schedule_running(&mut self, budget: &mut u32, load: &mut StepLoad) -> bool {
        let mut preempted = false;
        let mut position = 0;
        while position < self.running.len() && *budget > 0 {
            let sequence = &self.running[position];
            let chunk = (sequence.target - sequence.computed).min(*budget);
            let end = sequence.computed + chunk;
            let fits = loop {
                if grow(
                    &mut self.pool,
                    self.block_tokens,
                    &mut self.running[position],
                    end,
                ) {
                    break true;
                }
                // The youngest pays: it goes back to the head of the queue and computes its tokens again.
                let Some(mut youngest) = self.running.pop() else {
                    break false;
                };
                preempted = true;
                self.totals.preemptions += 1;
                self.pool.release(&mut youngest.blocks);
                youngest.computed = 0;
                youngest.scheduled = 0;
                self.waiting.push_front(youngest);
                if self.running.len() == position {
                    break false;
                }
            };
            if !fits {
                break;
            }
            let sequence = &mut self.running[position];
            if sequence.decoding() {
                load.add_decode(end);
            } else {
                load.add_chunk(chunk, sequence.computed);
            }
            sequence.scheduled = chunk;
            *budget -= chunk;
            position += 1;
        }
        preempted
    }

    /// Moves sequences from the queue to the batch, first come first served, while budget and blocks last.
    fn admit(&mut self, budget: &mut u32, load: &mut StepLoad) {
        while *budget > 0 && self.running.len() < MAX_RUNNING {
            let Some(sequence) = self.waiting.front_mut() else {
                return;
            };
            let cacheable = Self::cacheable(&sequence.job.prompt, self.block_tokens);
            let (hits, taken) = self.pool.lookup(cacheable);
            let cached = hits as u32 * self.block_tokens;
            let chunk = (sequence.target - cached).min(*budget);
            let needed = (cached + chunk).div_ceil(self.block_tokens) as usize - hits;
            if needed + taken > self.pool.free() {
                return;
            }
            for position in 0..hits {
                let hash = sequence.job.prompt.blocks[position];
                sequence.blocks.extend(self.pool.hold(hash));
            }
            sequence.computed = cached;
            grow(&mut self.pool, self.block_tokens, sequence, cached + chunk);
            if !sequence.admitted_before {
                sequence.admitted_before = true;
                sequence.cached_tokens = cached;
                self.totals.prompt_tokens += u64::from(sequence.job.prompt.tokens);
                self.totals.cached_tokens += u64::from(cached);
            }
            load.add_chunk(chunk, cached);
            sequence.scheduled = chunk;
            *budget -= chunk;
            self.running.extend(self.waiting.pop_front());
        }
    }

    /// Blocks that may come from the cache: at least one position is computed to sample from.
    fn cacheable(prompt: &Prompt, block_tokens: u32) -> &[u64] {
        let whole = (prompt.tokens.saturating_sub(1) / block_tokens) as usize;
        &prompt.blocks[..whole.min(prompt.blocks.len())]
    }
}

impl Sequence {
    /// Whether the next step of this sequence is one token of output.
    fn decoding(&self) -> bool {
        self.generated > 0 && self.target - self.computed == 1
    }
}

/// Gives `sequence` blocks for `tokens` tokens; all of them or none.
fn grow(pool: &mut BlockPool, block_tokens: u32, sequence: &mut Sequence, tokens: u32) -> bool {
    let wanted = tokens.div_ceil(block_tokens) as usize;
    let missing = wanted.saturating_sub(sequence.blocks.len());
    if missing > pool.free() {
        return false;
    }
    for _ in 0..missing {
        let hash = sequence
            .job
            .prompt
            .blocks
            .get(sequence.blocks.len())
            .copied();
        sequence.blocks.extend(pool.allocate(hash));
    }
    true
}
