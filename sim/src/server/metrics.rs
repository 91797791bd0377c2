//! `/metrics` in vLLM's names, and `/state` for the load generator.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use super::host::Host;

/// Prometheus text as vLLM 0.32 writes it, for the families that routers read.
pub(super) fn prometheus(host: &Host) -> String {
    let state = host.state();
    let engine = &state.engine;
    let totals = engine.totals();
    let model = host
        .settings
        .model
        .as_deref()
        .unwrap_or("sim")
        .replace('\\', "\\\\")
        .replace('"', "\\\"");
    let labels = format!("engine=\"0\",model_name=\"{model}\"");
    let usage = engine.used_blocks() as f64 / engine.block_count() as f64;
    let mut text = String::with_capacity(4096);
    let mut family = |kind: &str, name: &str, help: &str, value: f64| {
        // Writing to a String does not fail.
        let _ = write!(
            text,
            "# HELP vllm:{name} {help}\n# TYPE vllm:{name} {kind}\nvllm:{name}{{{labels}}} {value:?}\n"
        );
    };
    family(
        "gauge",
        "num_requests_running",
        "Number of requests in model execution batches.",
        engine.running() as f64,
    );
    family(
        "gauge",
        "num_requests_waiting",
        "Number of requests waiting to be processed.",
        engine.waiting() as f64,
    );
    family(
        "gauge",
        "kv_cache_usage_perc",
        "KV-cache usage. 1 means 100 percent usage.",
        usage,
    );
    family(
        "counter",
        "prefix_cache_queries_total",
        "Prefix cache queries, in terms of number of queried tokens.",
        totals.prompt_tokens as f64,
    );
    family(
        "counter",
        "prefix_cache_hits_total",
        "Prefix cache hits, in terms of number of cached tokens.",
        totals.cached_tokens as f64,
    );
    family(
        "counter",
        "num_preemptions_total",
        "Cumulative number of preemption from the engine.",
        totals.preemptions as f64,
    );
    family(
        "counter",
        "prompt_tokens_total",
        "Number of prefill tokens processed.",
        totals.prompt_tokens as f64,
    );
    family(
        "counter",
        "generation_tokens_total",
        "Number of generation tokens processed.",
        totals.output_tokens as f64,
    );
    let _ = write!(
        text,
        "# HELP vllm:request_success_total Count of successfully processed requests.\n\
         # TYPE vllm:request_success_total counter\n\
         vllm:request_success_total{{engine=\"0\",finished_reason=\"length\",model_name=\"{model}\"}} {:?}\n\
         vllm:request_success_total{{engine=\"0\",finished_reason=\"abort\",model_name=\"{model}\"}} {:?}\n\
         # HELP vllm:cache_config_info Information of the LLMEngine CacheConfig\n\
         # TYPE vllm:cache_config_info gauge\n\
         vllm:cache_config_info{{block_size=\"{}\",cache_dtype=\"auto\",enable_prefix_caching=\"True\",engine=\"0\",\
         num_gpu_blocks=\"{}\"}} 1.0\n",
        totals.finished as f64,
        totals.cancelled as f64,
        engine.block_tokens(),
        engine.block_count(),
    );
    if host.faults.borrow().trap {
        text.push_str("plimsoll_test_trap 1\n");
    }
    text
}

/// What `/state` reports: the engine's own account, exact and unscaled.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct HostState {
    /// `ip:port`.
    pub host: String,
    /// GPU kind.
    pub gpu: String,
    /// Wall-clock seconds are divided by this.
    pub speedup: f64,
    /// Sequences in the batch.
    pub running: u64,
    /// Sequences in the queue.
    pub waiting: u64,
    /// KV tokens held by sequences.
    pub kv_tokens: u64,
    /// KV capacity in tokens.
    pub kv_capacity_tokens: u64,
    /// Time since the start, in the engine's microseconds.
    pub uptime_us: u64,
    /// Part of it spent in steps.
    pub busy_us: u64,
    /// Steps made.
    pub steps: u64,
    /// Jobs accepted.
    pub accepted: u64,
    /// Jobs ended by their last token.
    pub finished: u64,
    /// Jobs cancelled.
    pub cancelled: u64,
    /// Sequences put back for want of KV blocks.
    pub preemptions: u64,
    /// Prompt tokens asked for.
    pub prompt_tokens: u64,
    /// Prompt tokens that the prefix cache gave.
    pub cached_tokens: u64,
    /// Prompt tokens computed.
    pub computed_tokens: u64,
    /// Tokens generated.
    pub output_tokens: u64,
    /// Worst delay of a step behind its due time, wall-clock microseconds: large values mean the machine is too slow
    /// for the speed-up.
    pub worst_lag_us: u64,
    /// Steps that ended more than 5 ms of wall-clock time late.
    pub late_steps: u64,
}

impl HostState {
    pub(super) fn of(host: &Host) -> Self {
        let state = host.state();
        let engine = &state.engine;
        let totals = engine.totals();
        let block = u64::from(engine.block_tokens());
        let uptime = host.started.elapsed().as_micros() as f64 * host.settings.speedup;
        Self {
            host: host.address.to_string(),
            gpu: host.gpu.to_string(),
            speedup: host.settings.speedup,
            running: engine.running() as u64,
            waiting: engine.waiting() as u64,
            kv_tokens: engine.used_blocks() as u64 * block,
            kv_capacity_tokens: engine.block_count() as u64 * block,
            uptime_us: uptime as u64,
            busy_us: totals.busy_micros,
            steps: totals.steps,
            accepted: totals.accepted,
            finished: totals.finished,
            cancelled: totals.cancelled,
            preemptions: totals.preemptions,
            prompt_tokens: totals.prompt_tokens,
            cached_tokens: totals.cached_tokens,
            computed_tokens: totals.computed_tokens,
            output_tokens: totals.output_tokens,
            worst_lag_us: state.worst_lag_micros,
            late_steps: state.late_steps,
        }
    }
}
