//! What no policy can beat: lower bounds of latencies, upper bounds of hits and capacity.
//!
//! 1. **Alone.** A request takes at least as long as alone on the fastest kind of host, with every block cached that an earlier
//!    request had: other work in a step only lengthens it, smaller chunks cost more steps, and queues are first come first served, so
//!    that nobody later can have computed its blocks. This bounds each request, so each mean and each percentile.
//! 2. **Work.** A step takes at least `w cos(t) + p n sin(t)` and the terms of attention, sequences and contexts, for any angle t,
//!    since `sqrt(w² + (p n)²)` is the norm of (w, p n); and a step has at most 256 sequences. So a request costs host kind g at least
//!    some c_g of its time, however batches are made. For any prices y_g with sum over hosts 1, all hosts together are no faster than one
//!    server that needs `min_g y_g c_g` for it (weak duality). That server with shortest remaining work first has the least possible
//!    mean response time (Schrage 1968), and its total work bounds the capacity.
//!
//! Limits: neither knows of the other, so at sane loads the first is nearly all there is; speeds that events raise above 1 are those of
//! the whole run.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};

use super::event::Change;
use super::prepare::Prepared;
use super::result::{Record, Result};
use super::run::Setting;
use crate::engine::{Gpu, MAX_RUNNING, STEP_TOKENS, StepLoad, StepModel};

/// Rounds of the search for prices; any prices give a bound.
const ROUNDS: u32 = 200;

/// Figures that no policy can beat on `requests`. Throughput is the fleet's capacity for this mix, whatever arrives.
#[must_use]
pub fn bound(setting: &Setting, requests: &[Prepared]) -> Result {
    let kinds = Kinds::of(setting);
    let cached = best_hits(requests, setting.block_tokens);
    let alone = requests.iter().zip(&cached);
    let records: Vec<Record> = alone
        .map(|(request, &cached)| kinds.alone(request, cached))
        .collect();
    let counted = || requests.iter().zip(&cached).skip(setting.warmup);
    let mut result = Result::of(setting, requests, &records, &[], &[]);
    let works = |decode: bool| -> Vec<Vec<f64>> {
        let works = counted().map(|(request, &cached)| kinds.works(request, cached, decode));
        works.collect()
    };
    let arrivals: Vec<u64> = counted().map(|(request, _)| request.at_micros).collect();
    let count = arrivals.len().max(1) as f64;
    let all = kinds.pooled(&works(true));
    let prefill = kinds.pooled(&works(false));
    result.e2e_ms.mean = result.e2e_ms.mean.max(shortest_first_ms(&arrivals, &all));
    result.ttft_ms.mean = result
        .ttft_ms
        .mean
        .max(shortest_first_ms(&arrivals, &prefill));
    result.throughput_rps = count / all.iter().sum::<f64>().max(1e-9) * 1e6;
    result.drained_rps = result.throughput_rps;
    result
}

/// The kinds of host in a fleet.
struct Kinds {
    kinds: Vec<(Gpu, usize)>,
    /// The greatest multiple of its GPU's speed at which any host runs.
    speed: f64,
}

impl Kinds {
    fn of(setting: &Setting) -> Self {
        let mut kinds: Vec<(Gpu, usize)> = Vec::new();
        for &gpu in &setting.fleet {
            match kinds.iter_mut().find(|(kind, _)| *kind == gpu) {
                Some((_, count)) => *count += 1,
                None => kinds.push((gpu, 1)),
            }
        }
        let speeds = setting
            .faults
            .events
            .iter()
            .map(|event| match event.change {
                Change::Speed(factor) => factor,
                Change::Join | Change::Leave | Change::Die => 1.0,
            });
        Self {
            kinds,
            speed: speeds.fold(1.0, f64::max),
        }
    }

    /// The course of a request alone: its prompt on the kind that is best for that, its answer on the kind that is best for that.
    fn alone(&self, request: &Prepared, cached: u32) -> Record {
        let prompt = request.prompt.tokens;
        let micros = |model: &StepModel, load: &StepLoad| {
            (model.step_micros(load) as f64 / self.speed) as u64
        };
        let prefill = |model: &StepModel| {
            let starts = (cached..prompt).step_by(STEP_TOKENS as usize);
            let chunks = starts.map(|start| {
                let mut load = StepLoad::default();
                load.add_chunk((prompt - start).min(STEP_TOKENS), start);
                micros(model, &load)
            });
            chunks.sum::<u64>()
        };
        let decode = |model: &StepModel| {
            let tokens = (1..request.output_tokens).map(|token| {
                let mut load = StepLoad::default();
                load.add_decode(prompt + token);
                micros(model, &load)
            });
            tokens.sum::<u64>()
        };
        let models = || self.kinds.iter().map(|(gpu, _)| gpu.step_model());
        let first = request.at_micros + models().map(|model| prefill(&model)).min().unwrap_or(0);
        let answer = models().map(|model| decode(&model)).min().unwrap_or(0);
        Record {
            host: Some(0),
            first_token: Some(first),
            end: Some(first + answer),
            cached_tokens: cached,
        }
    }

    /// Microseconds of each kind's time that a request costs at least, with its answer or without.
    fn works(&self, request: &Prepared, cached: u32, decode: bool) -> Vec<f64> {
        let work = |(gpu, _): &(Gpu, usize)| {
            let model = gpu.step_model();
            let (prompt, new) = (request.prompt.tokens, request.prompt.tokens - cached);
            let pairs = (f64::from(prompt).powi(2) - f64::from(cached).powi(2)) / 2.0;
            let decoded = if decode { request.output_tokens - 1 } else { 0 };
            least_ms(&model, new, pairs, prompt, decoded) * 1000.0 / self.speed
        };
        self.kinds.iter().map(work).collect()
    }

    /// Work of each request on one server as fast as the fleet, microseconds.
    fn pooled(&self, works: &[Vec<f64>]) -> Vec<f64> {
        let hosts = |kind: usize| self.kinds[kind].1 as f64;
        let mut prices: Vec<f64> = vec![1.0; self.kinds.len()];
        let mut best = (0.0, Vec::new());
        for round in 0..ROUNDS {
            let total: f64 = (0..prices.len())
                .map(|kind| hosts(kind) * prices[kind])
                .sum();
            prices.iter_mut().for_each(|price| *price /= total);
            let mut used = vec![0.0; prices.len()];
            let pooled: Vec<f64> = works
                .iter()
                .map(|work| {
                    let priced = work.iter().zip(&prices).map(|(work, price)| work * price);
                    let least = priced.enumerate().min_by(|(_, a), (_, b)| a.total_cmp(b));
                    let (kind, least) = least.unwrap_or((0, 0.0));
                    used[kind] += work[kind];
                    least
                })
                .collect();
            let sum: f64 = pooled.iter().sum();
            if sum > best.0 {
                best = (sum, pooled);
            }
            // The kinds that are asked for more than their share become dearer.
            let mean = (0..used.len()).map(|kind| used[kind]).sum::<f64>()
                / (0..used.len()).map(hosts).sum::<f64>();
            let step = 0.5 / f64::from(1 + round).sqrt();
            for (kind, price) in prices.iter_mut().enumerate() {
                let over = used[kind] / hosts(kind) / mean.max(1e-9);
                *price *= (step * (over - 1.0).clamp(-1.0, 1.0)).exp();
            }
        }
        best.1
    }
}

/// Milliseconds of a host that `new` prompt tokens with `pairs` of attention and `decoded` tokens after `prompt` cost at least.
fn least_ms(model: &StepModel, new: u32, pairs: f64, prompt: u32, decoded: u32) -> f64 {
    let (decoding, contexts) = (u64::from(decoded), u64::from(prompt));
    let load = StepLoad {
        prefill_tokens: 0,
        prefill_pairs: pairs,
        decoding: decoded,
        decode_context: decoding * contexts + decoding * (decoding + 1) / 2,
    };
    // A step with nothing in it takes the time of the weights.
    let weights = model.step_ms(&StepLoad::default());
    let prefill = StepLoad {
        prefill_tokens: new,
        ..StepLoad::default()
    };
    let linear = (model.step_ms(&prefill).powi(2) - weights.powi(2)).max(0.0);
    model.step_ms(&load) - weights
        + SINE * linear.sqrt()
        + COSINE * weights * f64::from(decoded) / MAX_RUNNING as f64
}

/// The angle: prompts are most of the work.
const COSINE: f64 = 0.28;
/// Its sine.
const SINE: f64 = 0.96;

/// Tokens of each prompt that earlier prompts began with: what endless caches that are one would give.
fn best_hits(requests: &[Prepared], block_tokens: u32) -> Vec<u32> {
    let mut seen: HashSet<u64> = HashSet::new();
    let hits = requests.iter().map(|request| {
        let prompt = &request.prompt;
        // At least one position is computed.
        let whole = (prompt.tokens.saturating_sub(1) / block_tokens) as usize;
        let cacheable = prompt.blocks.iter().take(whole);
        let hits = cacheable.take_while(|hash| seen.contains(hash)).count();
        seen.extend(prompt.blocks.iter().copied());
        hits as u32 * block_tokens
    });
    hits.collect()
}

/// Mean response time in milliseconds of one server that always works on what has the least left.
fn shortest_first_ms(arrivals: &[u64], works: &[f64]) -> f64 {
    let mut left: BinaryHeap<Reverse<u64>> = BinaryHeap::new();
    let (mut now, mut ends) = (0u64, 0u128);
    let mut next = 0;
    while next < arrivals.len() || !left.is_empty() {
        let until = arrivals.get(next).copied().unwrap_or(u64::MAX);
        match left.pop() {
            // Nanoseconds of work, so that rounding down loses nothing that shows.
            Some(Reverse(work)) if now + work / 1000 <= until => {
                now += work / 1000;
                ends += u128::from(now);
            }
            Some(Reverse(work)) => {
                left.push(Reverse(work - (until - now) * 1000));
                now = until;
            }
            None => now = until,
        }
        while next < arrivals.len() && arrivals[next] <= now {
            left.push(Reverse((works[next] * 1000.0) as u64));
            next += 1;
        }
    }
    let started: u128 = arrivals.iter().map(|&at| u128::from(at)).sum();
    (ends - started.min(ends)) as f64 / arrivals.len().max(1) as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::{Faults, prepare, run};
    use crate::policy::{self, Conditions};
    use crate::trace::{Agents, MultiTurn};

    fn setting(fleet: Vec<Gpu>) -> Setting {
        Setting {
            fleet,
            block_tokens: 64,
            routers: 1,
            workers: 1,
            poll_micros: 200_000,
            warmup: 0,
            seed: 1,
            faults: Faults::default(),
        }
    }

    fn oracle(setting: &Setting, requests: &[Prepared]) -> Result {
        let config = plimsoll_core::config::Config::default();
        let conditions = Conditions {
            fleet: &setting.fleet,
            block_tokens: setting.block_tokens,
            poll_micros: setting.poll_micros,
            seed: 1,
            config: &config,
            decisions: None,
        };
        run(setting, requests, |_| {
            policy::make("oracle", &conditions).unwrap()
        })
    }

    #[test]
    fn who_is_alone_meets_the_bound_exactly() {
        let requests = prepare(&Agents::default().rows(40, 0.0002, 1), 64);
        let setting = setting(vec![Gpu::H200]);
        let (bound, met) = (bound(&setting, &requests), oracle(&setting, &requests));
        assert_eq!(bound.ttft_ms, met.ttft_ms);
        assert_eq!(bound.e2e_ms, met.e2e_ms);
        assert_eq!(bound.tpot_ms, met.tpot_ms);
        assert_eq!(bound.hit_ratio, met.hit_ratio);
    }

    #[test]
    fn nobody_beats_it_at_any_load() {
        let fleets = [vec![Gpu::H200; 2], vec![Gpu::H100, Gpu::A10g, Gpu::L4]];
        for fleet in fleets {
            let setting = setting(fleet);
            for rate in [0.5, 5.0, 1000.0] {
                let requests = prepare(&MultiTurn::default().rows(300, rate, 2), 64);
                let (bound, met) = (bound(&setting, &requests), oracle(&setting, &requests));
                for (bound, met) in [(bound.ttft_ms, met.ttft_ms), (bound.e2e_ms, met.e2e_ms)] {
                    assert!(bound.mean <= met.mean, "{rate}: {bound:?} {met:?}");
                    assert!(bound.p50 <= met.p50 && bound.p99 <= met.p99, "{rate}");
                }
                assert!(bound.tpot_ms.p99 <= met.tpot_ms.p99);
                assert!(bound.hit_ratio >= met.hit_ratio && bound.goodput >= met.goodput);
                assert!(bound.drained_rps >= met.drained_rps, "{bound:?} {met:?}");
                // Flooded, it is not far: at most three times.
                assert!(
                    rate < 1000.0 || bound.e2e_ms.mean > met.e2e_ms.mean / 3.0,
                    "{bound:?} {met:?}"
                );
            }
        }
    }
}
