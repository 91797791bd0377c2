//! What the load generator reports.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::client::{self, Outcome};
use super::sample::Samples;
use super::{Config, Sent, spread_points};
use crate::report::{GOOD_TPOT_MS, GOOD_TTFT_MS, Percentiles};
use crate::server::LATE;
use crate::trace::Row;

/// Percentiles in milliseconds of the engines' time.
pub type TimePercentiles = Percentiles;

/// One target under one workload.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Report {
    /// The target's name.
    pub name: String,
    /// Requests counted.
    pub requests: u64,
    /// Those answered in full.
    pub ok: u64,
    /// Those that were not.
    pub errors: u64,
    /// Why not, and how many each.
    pub error_reasons: BTreeMap<String, u64>,
    /// Errors among the requests of the warm-up, which count nowhere else.
    pub warmup_errors: u64,
    /// Scheduled moment to first token.
    pub ttft_ms: TimePercentiles,
    /// Mean time between tokens of a request.
    pub tpot_ms: TimePercentiles,
    /// Scheduled moment to the end of the answer.
    pub e2e_ms: TimePercentiles,
    /// Answered in full, a second, until the last answer.
    pub requests_per_s: f64,
    /// Answered a second while requests arrived: under more load than the fleet can take, its capacity.
    pub arrival_window_per_s: f64,
    /// Tokens of those, a second.
    pub output_tokens_per_s: f64,
    /// Share of prompt tokens that prefix caches gave.
    pub cache_hit_ratio: f64,
    /// Share of requests answered in full with TTFT <= 2 s and TPOT <= 50 ms.
    pub goodput: f64,
    /// Coefficient of variation of running requests over the hosts, mean of samples; absent without engines to sample.
    pub running_cv: Option<f64>,
    /// Busiest minus idlest host, percentage points of time spent in steps.
    pub work_spread_points: Option<f64>,
    /// Share of time each host spent in steps.
    pub host_utilisation: BTreeMap<String, f64>,
    /// Requests by the host that answered (`x-served-by`).
    pub host_requests: BTreeMap<String, u64>,
    /// Requests a second that the workload asked for.
    pub offered_per_s: f64,
    /// Worst lateness of a request's departure and of an engine's step, wall-clock milliseconds.
    pub worst_departure_lag_ms: f64,
    /// See `worst_departure_lag_ms`.
    pub worst_step_lag_ms: f64,
    /// Share of departures and of the engines' steps that were more than 5 ms of wall-clock time late: beyond a few
    /// percent the machine was too slow for the speed-up, and the figures do not count.
    pub late_departures_share: f64,
    /// See `late_departures_share`.
    pub late_steps_share: f64,
    /// Processor time of the load generator, seconds; 0 where the system does not tell.
    pub generator_cpu_s: f64,
}

pub(super) fn build(config: &Config, rows: &[Row], sent: &[Sent], samples: &Samples) -> Report {
    let (warmup, counted): (Vec<&Sent>, Vec<&Sent>) =
        sent.iter().partition(|sent| sent.position < config.warmup);
    let ms = |wall: std::time::Duration| wall.as_secs_f64() * 1000.0 * config.speedup;
    let good: Vec<&Outcome> = counted
        .iter()
        .map(|sent| &sent.outcome)
        .filter(|outcome| outcome.error.is_none())
        .collect();
    let ttft = |outcome: &Outcome| ms(outcome.first_token.unwrap_or(outcome.end));
    let tpot = |outcome: &Outcome| {
        let gaps = outcome
            .usage
            .completion_tokens
            .checked_sub(1)
            .filter(|&gaps| gaps > 0)?;
        let span = outcome.last_token?.saturating_sub(outcome.first_token?);
        Some(ms(span) / gaps as f64)
    };
    let in_time = good
        .iter()
        .filter(|outcome| {
            ttft(outcome) <= GOOD_TTFT_MS && tpot(outcome).unwrap_or(0.0) <= GOOD_TPOT_MS
        })
        .count();
    let at = |sent: &Sent| rows[sent.position].at_micros as f64 / 1e6;
    let first = counted.first().map_or(0.0, |sent| at(sent));
    let last = counted.last().map_or(0.0, |sent| at(sent));
    let end = counted
        .iter()
        .map(|sent| at(sent) + ms(sent.outcome.end) / 1000.0)
        .fold(first, f64::max);
    let finished = |sent: &&Sent| {
        sent.outcome.error.is_none()
            && (first..=last).contains(&(at(sent) + ms(sent.outcome.end) / 1000.0))
    };
    let in_window = sent.iter().filter(finished).count();
    let span = (end - first).max(1e-9);
    let sum = |count: fn(&Outcome) -> u64| good.iter().map(|outcome| count(outcome)).sum::<u64>();
    let prompt_tokens = sum(|outcome| outcome.usage.prompt_tokens);
    let utilisation = samples.utilisation();
    let shares: Vec<f64> = utilisation.iter().map(|(_, share)| *share).collect();
    let lag = sent.iter().map(|sent| sent.late).max().unwrap_or_default();
    Report {
        name: config.name.clone(),
        requests: counted.len() as u64,
        ok: good.len() as u64,
        errors: (counted.len() - good.len()) as u64,
        error_reasons: client::count(counted.iter().filter_map(|sent| sent.outcome.error.clone())),
        warmup_errors: warmup
            .iter()
            .filter(|sent| sent.outcome.error.is_some())
            .count() as u64,
        ttft_ms: Percentiles::of(good.iter().map(|outcome| ttft(outcome)).collect()),
        tpot_ms: Percentiles::of(good.iter().filter_map(|outcome| tpot(outcome)).collect()),
        e2e_ms: Percentiles::of(good.iter().map(|outcome| ms(outcome.end)).collect()),
        requests_per_s: good.len() as f64 / span,
        arrival_window_per_s: in_window as f64 / (last - first).max(1e-9),
        output_tokens_per_s: sum(|outcome| outcome.usage.completion_tokens) as f64 / span,
        cache_hit_ratio: sum(|outcome| outcome.usage.cached_tokens) as f64
            / prompt_tokens.max(1) as f64,
        goodput: in_time as f64 / counted.len().max(1) as f64,
        running_cv: samples.running_cv(),
        work_spread_points: (!shares.is_empty()).then(|| spread_points(&shares)),
        host_utilisation: utilisation.into_iter().collect(),
        host_requests: client::count(
            counted
                .iter()
                .filter_map(|sent| sent.outcome.served_by.clone()),
        ),
        offered_per_s: counted.len().saturating_sub(1) as f64 / (last - first).max(1e-9),
        worst_departure_lag_ms: lag.as_secs_f64() * 1000.0,
        worst_step_lag_ms: samples.worst_lag_ms(),
        late_departures_share: sent.iter().filter(|sent| sent.late > LATE).count() as f64
            / sent.len().max(1) as f64,
        late_steps_share: samples.late_steps_share(),
        generator_cpu_s: cpu_seconds().unwrap_or(0.0),
    }
}

/// User and system time of this process, on Linux.
fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the program's name in parentheses and may hold spaces.
    let fields: Vec<&str> = stat.rsplit(") ").next()?.split(' ').collect();
    let user: f64 = fields.get(11)?.parse().ok()?;
    let system: f64 = fields.get(12)?.parse().ok()?;
    // The kernel counts in ticks of 10 ms on every architecture it reports to user space.
    Some((user + system) / 100.0)
}
