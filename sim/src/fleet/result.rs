//! What a run comes to.

use serde::{Deserialize, Serialize};

use super::prepare::Prepared;
use super::run::Setting;
use crate::load::spread_points;
use crate::report::{GOOD_TPOT_MS, GOOD_TTFT_MS, Percentiles};

/// What became of one request; times are in microseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Record {
    /// Where it went, the last attempt's host; `None` before it came.
    pub host: Option<usize>,
    /// When its first token came.
    pub first_token: Option<u64>,
    /// When its last token came; `None` when it failed.
    pub end: Option<u64>,
    /// Prompt tokens that the host's cache gave.
    pub cached_tokens: u32,
}

/// Figures of one policy.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Result {
    /// Arrival to first token.
    pub ttft_ms: Ttft,
    /// Mean time between tokens of a request.
    pub tpot_ms: Tpot,
    /// Arrival to last token.
    pub e2e_ms: E2e,
    /// Share of prompt tokens that prefix caches gave.
    pub hit_ratio: f64,
    /// Share of requests with TTFT <= 2 s and TPOT <= 50 ms.
    pub goodput: f64,
    /// Requests finished a second while requests arrived. Under more load than the fleet can take this is its
    /// capacity, undistorted by the last stragglers.
    pub throughput_rps: f64,
    /// Requests finished a second until the last has ended.
    pub drained_rps: f64,
    /// Busiest minus idlest host, percentage points of time spent in steps while requests arrived.
    pub work_spread_points: f64,
    /// Requests counted that did not end.
    pub failed: u64,
}

/// Times to first token.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
pub struct Ttft {
    /// Mean.
    pub mean: f64,
    /// Median.
    pub p50: f64,
    /// 99th percentile.
    pub p99: f64,
}

/// End-to-end times.
pub type E2e = Ttft;

/// Times between tokens.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
pub struct Tpot {
    /// 99th percentile.
    pub p99: f64,
}

/// A line of the comparison.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Row {
    /// Policy.
    pub policy: String,
    /// Workload.
    pub trace: String,
    /// Fleet, as on the command line.
    pub fleet: String,
    /// Share of what round robin completes when flooded.
    pub load: f64,
    /// Requests that arrive a second.
    pub arrivals_rps: f64,
    /// Independent proxies.
    pub routers: usize,
    /// Workers a proxy, which share polls and what they do.
    pub workers: usize,
    /// Interval of their polls.
    pub poll_ms: u64,
    /// Seed.
    pub seed: u64,
    /// The figures.
    #[serde(flatten)]
    pub result: Result,
}

impl From<Percentiles> for Ttft {
    fn from(percentiles: Percentiles) -> Self {
        Self {
            mean: percentiles.mean,
            p50: percentiles.p50,
            p99: percentiles.p99,
        }
    }
}

impl Result {
    pub(super) fn of(
        setting: &Setting,
        requests: &[Prepared],
        records: &[Record],
        busy_at_start: &[u64],
        busy_at_end: &[u64],
    ) -> Self {
        let counted = requests.iter().zip(records).skip(setting.warmup);
        let ended: Vec<Ended> = counted
            .clone()
            .filter_map(|(request, record)| Ended::of(request, record))
            .collect();
        let total = counted.count();
        let good = ended.iter().filter(|ended| {
            ended.ttft_ms <= GOOD_TTFT_MS && ended.tpot_ms.unwrap_or(0.0) <= GOOD_TPOT_MS
        });
        let first = requests
            .get(setting.warmup)
            .map_or(0, |request| request.at_micros);
        let last_arrival = requests.last().map_or(0, |request| request.at_micros);
        let last_end = ended.iter().map(|ended| ended.end).max().unwrap_or(first);
        let seconds = |micros: u64| (micros.max(1)) as f64 / 1e6;
        let window = seconds(last_arrival.saturating_sub(first)) * 1e6;
        let shares: Vec<f64> = busy_at_start
            .iter()
            .zip(busy_at_end)
            .map(|(start, end)| end.saturating_sub(*start) as f64 / window)
            .collect();
        let all = records.iter().filter_map(|record| record.end);
        let in_window = all
            .filter(|end| (first..=last_arrival).contains(end))
            .count();
        let (cached, prompt) = ended.iter().fold((0, 0), |(cached, prompt), ended| {
            (
                cached + u64::from(ended.cached_tokens),
                prompt + u64::from(ended.prompt_tokens),
            )
        });
        Self {
            goodput: good.count() as f64 / total.max(1) as f64,
            ttft_ms: Percentiles::of(ended.iter().map(|ended| ended.ttft_ms).collect()).into(),
            tpot_ms: Tpot {
                p99: Percentiles::of(ended.iter().filter_map(|ended| ended.tpot_ms).collect()).p99,
            },
            e2e_ms: Percentiles::of(ended.iter().map(|ended| ended.e2e_ms).collect()).into(),
            hit_ratio: cached as f64 / prompt.max(1) as f64,
            throughput_rps: in_window as f64 / (window / 1e6),
            drained_rps: ended.len() as f64 / seconds(last_end - first),
            work_spread_points: spread_points(&shares),
            failed: (total - ended.len()) as u64,
        }
    }
}

/// One request that came to its end.
struct Ended {
    ttft_ms: f64,
    tpot_ms: Option<f64>,
    e2e_ms: f64,
    end: u64,
    cached_tokens: u32,
    prompt_tokens: u32,
}

impl Ended {
    fn of(request: &Prepared, record: &Record) -> Option<Self> {
        let (first, end) = (record.first_token?, record.end?);
        let ms = |micros: u64| micros as f64 / 1000.0;
        let gaps = request.output_tokens - 1;
        Some(Self {
            ttft_ms: ms(first - request.at_micros),
            tpot_ms: (gaps > 0).then(|| ms(end - first) / f64::from(gaps)),
            e2e_ms: ms(end - request.at_micros),
            end,
            cached_tokens: record.cached_tokens,
            prompt_tokens: request.prompt.tokens,
        })
    }
}
