//! A greedy oracle: it knows every engine's exact state and every answer's length, but not who comes next.
//!
//! For each host it plays the engine model to the end, with the request and without, and takes the host where the sum
//! of all completion times grows least, three times the request's own time to first token added. Greedy, so no bound.

use super::{Conditions, Policy, Polled, Truth};
use crate::engine::{Engine, Job, Token};
use crate::fleet::Prepared;

/// Weight of the request's own time to first token beside the sum of completion times.
const FIRST_TOKEN_WEIGHT: u64 = 3;

pub(super) struct Oracle {
    /// Per host, what will become of it if nothing else arrives.
    undisturbed: Vec<Future>,
    tokens: Vec<Token>,
}

/// The course of one host if nothing arrives. Engines are deterministic, so it holds until something does.
#[derive(Default)]
struct Future {
    /// Requests that the engine had accepted when this was played.
    accepted: u64,
    /// When each one ends that had not.
    ends: Vec<u64>,
    /// When the request that was added gets its first token.
    first_token: u64,
}

impl Future {
    /// Sum of the times from `now` to the ends that are still to come.
    fn sum(&self, now: u64) -> u64 {
        self.ends.iter().map(|end| end.saturating_sub(now)).sum()
    }
}

impl Oracle {
    pub(super) fn new(conditions: &Conditions<'_>) -> Self {
        Self {
            undisturbed: conditions.fleet.iter().map(|_| Future::default()).collect(),
            tokens: Vec::new(),
        }
    }

    /// Plays `engine` to its end, with `request` on top if there is one; `None` when it does not fit.
    fn play(
        &mut self,
        now: u64,
        engine: &Engine,
        step_end: u64,
        request: Option<&Prepared>,
    ) -> Option<Future> {
        let mut engine = engine.clone();
        if let Some(request) = request {
            let job = Job {
                id: request.id,
                prompt: request.prompt.clone(),
                output_tokens: request.output_tokens,
            };
            engine.submit(job).ok()?;
        }
        let mut future = Future {
            accepted: engine.totals().accepted,
            ends: Vec::new(),
            first_token: now,
        };
        let mut at = if engine.stepping() { step_end } else { now };
        loop {
            self.tokens.clear();
            engine.finish_step(&mut self.tokens);
            for token in &self.tokens {
                if token.ordinal == 1 && request.is_some_and(|request| request.id == token.id) {
                    future.first_token = at;
                }
                if token.last {
                    future.ends.push(at);
                }
            }
            match engine.begin_step() {
                Some(micros) => at += micros,
                None => return Some(future),
            }
        }
    }
}

impl Policy for Oracle {
    fn poll(&mut self, _now: u64, _hosts: &[Polled]) {}

    fn choose(&mut self, now: u64, request: &Prepared, truth: &Truth<'_>) -> usize {
        let mut best: Option<(u64, usize, Future)> = None;
        for (host, (engine, &step_end)) in truth.engines.iter().zip(truth.step_ends).enumerate() {
            if !truth.listed[host] {
                continue;
            }
            // Another router may have sent something there since.
            if self.undisturbed[host].accepted != engine.totals().accepted
                && let Some(future) = self.play(now, engine, step_end, None)
            {
                self.undisturbed[host] = future;
            }
            let Some(future) = self.play(now, engine, step_end, Some(request)) else {
                continue;
            };
            let growth = future
                .sum(now)
                .saturating_sub(self.undisturbed[host].sum(now));
            let cost = growth + FIRST_TOKEN_WEIGHT * (future.first_token - now);
            if best.as_ref().is_none_or(|(least, ..)| cost < *least) {
                best = Some((cost, host, future));
            }
        }
        let Some((_, host, future)) = best else {
            return 0;
        };
        self.undisturbed[host] = future;
        host
    }

    fn token(&mut self, _now: u64, _host: usize, _token: &Token, _request: &Prepared) {}

    fn failed(&mut self, _now: u64, _host: usize, _request: &Prepared) {}
}
