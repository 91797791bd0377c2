//! One workload on one fleet, ready for any policy: what `compare` and `contest` share.

use std::path::Path;

use plimsoll_core::config::Config;
use plimsoll_sim::engine::{Fleet, chain};
use plimsoll_sim::fleet::{self, Faults, Prepared, Record, ResultRow, Setting, flood_rate};
use plimsoll_sim::policy::{self, Conditions, Decisions};

use super::series::Course;
use super::workload::Workload;

/// The one that knows everything but the future.
pub(crate) const ORACLE: &str = "oracle";
/// No policy, but what none can beat.
pub(crate) const BOUND: &str = "bound";

/// Names of all policies, and the bound's.
pub(crate) fn names() -> Vec<&'static str> {
    let mut names = policy::names();
    names.push(BOUND);
    names
}

/// The routers in front of the fleet.
#[derive(Clone, Debug)]
pub(crate) struct Proxies {
    /// Independent routers.
    pub(crate) routers: usize,
    /// Workers of each.
    pub(crate) workers: usize,
    /// Milliseconds between two polls of a router.
    pub(crate) poll_ms: u64,
    /// Leading requests that are not counted; by default a tenth.
    pub(crate) warmup: Option<usize>,
    /// What goes wrong.
    pub(crate) faults: Faults,
}

impl Default for Proxies {
    fn default() -> Self {
        Self {
            routers: 1,
            workers: 1,
            poll_ms: 200,
            warmup: None,
            faults: Faults::default(),
        }
    }
}

/// Requests at their times, and the engines that are to serve them.
pub(crate) struct Arena {
    trace: String,
    fleet: Fleet,
    block_tokens: u32,
    requests: Vec<Prepared>,
    load: f64,
    arrivals_rps: f64,
    seed: u64,
    decisions: Option<Decisions>,
}

impl Arena {
    /// Reads or generates the workload; requests that do not fit the smallest host are left out.
    pub(crate) fn new(
        workload: &Workload,
        fleet: &Fleet,
        block_tokens: u32,
        seed: u64,
        quiet: bool,
    ) -> Result<Self, String> {
        let (mut rows, load) = workload.rows(&fleet.0, block_tokens, seed, quiet)?;
        let smallest = fleet.0.iter().map(|gpu| gpu.kv_tokens()).min().unwrap_or(0);
        let all = rows.len();
        // A whole number of blocks below the capacity: the last one may be shorter than the rest of the prompt needs.
        rows.retain(|row| row.input_tokens() + row.output_tokens + block_tokens <= smallest);
        if rows.len() < all && !quiet {
            eprintln!(
                "{} of {all} requests do not fit the smallest host and are left out",
                all - rows.len()
            );
        }
        let requests = fleet::prepare(&rows, block_tokens);
        let span = requests.last().map_or(1, |last| last.at_micros.max(1)) as f64 / 1e6;
        let arrivals_rps = requests.len() as f64 / span;
        let load = load.unwrap_or_else(|| {
            let flooded = flood_rate(&fleet.0, block_tokens, &rows);
            (arrivals_rps / flooded * 1000.0).round() / 1000.0
        });
        Ok(Self {
            trace: workload.name(),
            fleet: fleet.clone(),
            block_tokens,
            arrivals_rps,
            requests,
            load,
            seed,
            decisions: None,
        })
    }

    /// From here on the core's policies record their decisions.
    pub(crate) fn set_decisions(&mut self, decisions: &Option<Decisions>) {
        self.decisions.clone_from(decisions);
    }

    /// Runs the requests through routers of one policy.
    pub(crate) fn run(&self, policy: &str, proxies: &Proxies, config: &Config) -> ResultRow {
        self.record(policy, proxies, config).0
    }

    /// Runs them, and says who got what when.
    pub(crate) fn course(&self, policy: &str, proxies: &Proxies, config: &Config) -> Course {
        let arrivals = self.requests.iter().map(|request| request.at_micros);
        Course::new(arrivals.collect(), self.record(policy, proxies, config).1)
    }

    /// As [`Self::run`], with what became of each request.
    fn record(&self, policy: &str, proxies: &Proxies, config: &Config) -> (ResultRow, Vec<Record>) {
        let setting = Setting {
            fleet: self.fleet.0.clone(),
            block_tokens: self.block_tokens,
            routers: proxies.routers,
            workers: proxies.workers,
            poll_micros: proxies.poll_ms * 1000,
            warmup: proxies.warmup.unwrap_or(self.requests.len() / 10),
            seed: self.seed,
            faults: proxies.faults.clone(),
        };
        let make = |router: usize| {
            let conditions = Conditions {
                fleet: &self.fleet.0,
                block_tokens: self.block_tokens,
                poll_micros: setting.poll_micros,
                seed: chain(self.seed, router as u64 + 2),
                config,
                decisions: self.decisions.as_ref(),
            };
            // The argument parser admits known names only.
            policy::make(policy, &conditions)
                .unwrap_or_else(|| unreachable!("{policy} is a known policy"))
        };
        let (result, records) = match policy {
            BOUND => (fleet::bound(&setting, &self.requests), Vec::new()),
            _ => fleet::record(&setting, &self.requests, make),
        };
        let row = ResultRow {
            policy: policy.to_owned(),
            trace: self.trace.clone(),
            fleet: self.fleet.to_string(),
            load: self.load,
            arrivals_rps: self.arrivals_rps,
            routers: proxies.routers,
            workers: proxies.workers,
            poll_ms: proxies.poll_ms,
            seed: self.seed,
            result,
        };
        (row, records)
    }
}

/// The configuration of the core's policies, from a file if one is named.
pub(crate) fn config(path: Option<&Path>) -> Result<Config, String> {
    let Some(path) = path else {
        return Ok(Config::default());
    };
    let text = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Config::parse(&text).map_err(|errors| errors.to_string())
}
