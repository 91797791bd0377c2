//! An open-loop load generator: requests leave when the workload says so, however slow the answers are.
//!
//! Every time is in the engines' unscaled time, which is the wall's times the speed-up, and counts from the moment for
//! which a request was scheduled, so that a stalled generator cannot hide latency.

mod client;
mod report;
mod sample;
mod stream;
#[cfg(test)]
mod tests;

pub use report::{Report, TimePercentiles};
pub(crate) use sample::spread_points;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::trace::Row;
use client::{Client, Outcome};
use sample::Samples;

/// What to send where.
#[derive(Clone, Debug)]
pub struct Config {
    /// `host:port` of the servers; more than one take turns.
    pub targets: Vec<String>,
    /// Engines to sample, `host:port`; none: balance is not reported.
    pub engines: Vec<String>,
    /// Model name in the requests.
    pub model: String,
    /// The engines' speed-up.
    pub speedup: f64,
    /// Leading requests that are sent but not counted.
    pub warmup: usize,
    /// Longest a request may take, in the engines' time.
    pub timeout: Duration,
    /// Name in the report.
    pub name: String,
    /// No progress bar.
    pub quiet: bool,
}

/// A request that was sent.
struct Sent {
    position: usize,
    outcome: Outcome,
    /// How late it left, on the wall.
    late: Duration,
}

/// Replays `rows` and reports on all but the warm-up.
pub async fn replay(config: &Config, rows: Vec<Row>) -> Report {
    let clients: Arc<[Client]> = config
        .targets
        .iter()
        .map(|target| Client::new(target.clone()))
        .collect();
    let watched: Arc<[Client]> = config
        .engines
        .iter()
        .map(|engine| Client::new(engine.clone()))
        .collect();
    let progress = progress(config, rows.len());
    let rows: Arc<[Row]> = rows.into();
    let samples = Arc::new(Mutex::new(Samples::default()));
    let mut watcher = JoinSet::new();
    let mut requests = JoinSet::new();
    let mut sent = Vec::with_capacity(rows.len());
    let first = rows.first().map_or(0, |row| row.at_micros);
    let start = Instant::now();
    for position in 0..rows.len() {
        let offset = (rows[position].at_micros - first) as f64 / config.speedup;
        let scheduled = start + Duration::from_nanos((offset * 1000.0) as u64);
        tokio::time::sleep_until(scheduled).await;
        if position == config.warmup && !watched.is_empty() {
            let (watched, samples) = (Arc::clone(&watched), Arc::clone(&samples));
            watcher.spawn(async move { Samples::watch(&watched, &samples).await });
        }
        let (clients, rows, model) = (
            Arc::clone(&clients),
            Arc::clone(&rows),
            config.model.clone(),
        );
        let limit =
            Duration::from_nanos((config.timeout.as_nanos() as f64 / config.speedup) as u64);
        requests.spawn(async move {
            let late = scheduled.elapsed();
            let asking = clients[position % clients.len()].chat(&model, &rows[position], scheduled);
            let outcome = tokio::time::timeout(limit, asking)
                .await
                .unwrap_or_else(|_| Outcome {
                    end: limit,
                    error: Some("timed out".to_owned()),
                    ..Outcome::default()
                });
            Sent {
                position,
                outcome,
                late,
            }
        });
        while let Some(done) = requests.try_join_next() {
            sent.extend(done);
            progress.inc(1);
        }
    }
    // Balance is judged under load: the drain at the end, without arrivals, is not.
    watcher.shutdown().await;
    Samples::look(&watched, &samples).await;
    while let Some(done) = requests.join_next().await {
        sent.extend(done);
        progress.inc(1);
    }
    progress.finish_and_clear();
    sent.sort_by_key(|sent| sent.position);
    let samples = samples.lock().unwrap_or_else(PoisonError::into_inner);
    report::build(config, &rows, &sent, &samples)
}

fn progress(config: &Config, requests: usize) -> ProgressBar {
    if config.quiet {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(requests as u64).with_prefix(config.name.clone());
    match ProgressStyle::with_template("{prefix:>14} [{bar:32}] {pos}/{len} {elapsed}/{duration}") {
        Ok(style) => bar.with_style(style.progress_chars("=> ")),
        Err(_) => bar,
    }
}
