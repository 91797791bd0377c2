//! The workload options that `load` and `compare` share.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use plimsoll_sim::engine::Gpu;
use plimsoll_sim::fleet::flood_rate;
use plimsoll_sim::trace::{self, Agents, Bursts, Documents, Format, MultiTurn, Row};

/// Requests generated when no limit is given.
const GENERATED: usize = 2000;
/// Share of contracts among documents.
const CONTRACT_SHARE: f64 = 0.03;

/// A generated workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// One-page documents (200 ms of prefill on an L4) mixed with contracts of fifty pages (12 s).
    Documents,
    /// Long system prompts of Zipf popularity with short tasks.
    Agents,
    /// Conversations whose prompts grow turn by turn.
    MultiTurn,
    /// Short chats of few tenants that come eight times as fast in bursts.
    Bursts,
}

impl Scenario {
    /// Name in reports.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Documents => "documents",
            Self::Agents => "agents",
            Self::MultiTurn => "multi-turn",
            Self::Bursts => "bursts",
        }
    }
}

/// What is asked, and when.
#[derive(Args, Clone)]
pub(crate) struct Workload {
    /// Trace file (a folder for servegen).
    #[arg(
        long,
        required_unless_present = "scenario",
        conflicts_with = "scenario"
    )]
    trace: Option<PathBuf>,
    /// Format of the trace: mooncake, azure, ragpulse, servegen.
    #[arg(long, default_value = "mooncake")]
    format: Format,
    /// Generate the workload instead.
    #[arg(long)]
    pub(crate) scenario: Option<Scenario>,
    /// Divide the trace's arrival times by this.
    #[arg(long, conflicts_with = "load", value_parser = super::positive)]
    rate_scale: Option<f64>,
    /// Set the arrival rate to this share of what round robin over the fleet completes when flooded (documents: 0.8).
    #[arg(long, value_parser = super::positive)]
    load: Option<f64>,
    /// Leave out this many requests at the start.
    #[arg(long, default_value_t = 0)]
    from: usize,
    /// Take this many requests at most.
    #[arg(long)]
    limit: Option<usize>,
    /// Seed of everything random.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// documents: share of contracts among the requests.
    #[arg(long, default_value_t = CONTRACT_SHARE)]
    contract_share: f64,
}

impl Workload {
    /// The first `limit` requests of a trace or a generator at `load`.
    pub(crate) fn new(
        trace: Option<(PathBuf, Format)>,
        scenario: Option<Scenario>,
        load: f64,
        limit: usize,
    ) -> Self {
        let (trace, format) = trace.unzip();
        Self {
            trace,
            format: format.unwrap_or(Format::Mooncake),
            scenario,
            rate_scale: None,
            load: Some(load),
            from: 0,
            limit: Some(limit),
            seed: 1,
            contract_share: CONTRACT_SHARE,
        }
    }

    /// The same at another load.
    pub(crate) fn at_load(&self, load: f64) -> Self {
        Self {
            load: Some(load),
            ..self.clone()
        }
    }

    /// The load asked for, if any was.
    pub(crate) fn load(&self) -> Option<f64> {
        self.load
    }

    /// Name of the workload in reports.
    pub(crate) fn name(&self) -> String {
        match (&self.scenario, &self.trace) {
            (Some(scenario), _) => scenario.name().to_owned(),
            (None, Some(trace)) => trace
                .file_stem()
                .map_or_else(String::new, |stem| stem.to_string_lossy().into_owned()),
            (None, None) => String::new(),
        }
    }

    /// The requests at their times, and the load they make on `fleet` where it was calibrated. What was chosen goes to
    /// standard error unless `quiet`.
    pub(crate) fn rows(
        &self,
        fleet: &[Gpu],
        block_tokens: u32,
        seed: u64,
        quiet: bool,
    ) -> Result<(Vec<Row>, Option<f64>), String> {
        let mut rows = self.unscaled(seed, quiet)?;
        rows.drain(..self.from.min(rows.len()));
        rows.truncate(self.limit.unwrap_or(usize::MAX));
        let Some(first) = rows.first().map(|row| row.at_micros) else {
            return Err("no requests are left after --from".to_owned());
        };
        for row in &mut rows {
            row.at_micros -= first;
        }
        if let Some(factor) = self.rate_scale {
            trace::scale_rate(&mut rows, factor);
        }
        let load = self.load.or_else(|| {
            self.scenario
                .filter(|_| self.rate_scale.is_none())
                .map(|_| 0.8)
        });
        if let Some(load) = load {
            let capacity = flood_rate(fleet, block_tokens, &rows);
            trace::set_rate(&mut rows, capacity * load);
            if !quiet {
                eprintln!(
                    "round robin completes {capacity:.3} requests/s when flooded; at load {load} {:.3} arrive",
                    capacity * load
                );
            }
        }
        Ok((rows, load))
    }

    fn unscaled(&self, seed: u64, quiet: bool) -> Result<Vec<Row>, String> {
        let count = self.from + self.limit.unwrap_or(GENERATED);
        let Some(scenario) = self.scenario else {
            let path = self
                .trace
                .as_deref()
                .ok_or("--trace or --scenario is needed")?;
            if self.format == Format::Mooncake && !quiet {
                eprintln!(
                    "arrivals that share a timestamp are spread uniformly (seed {seed}) over the time to the next"
                );
            }
            return trace::read(path, self.format, seed).map_err(|error| error.to_string());
        };
        Ok(match scenario {
            Scenario::Documents => {
                let documents = Documents {
                    contract_share: self.contract_share,
                    ..Documents::default()
                };
                let (page, contract) = documents.token_counts();
                if !quiet {
                    eprintln!(
                        "documents of {page} tokens ({} ms of prefill on {}) and, {} % of requests, contracts of \
                         {contract} ({} ms); {} output tokens",
                        documents.page_ms,
                        documents.gpu,
                        documents.contract_share * 100.0,
                        documents.contract_ms,
                        documents.output_tokens
                    );
                }
                documents.rows(count, 1.0, seed)
            }
            Scenario::Agents => Agents::default().rows(count, 1.0, seed),
            Scenario::MultiTurn => MultiTurn::default().rows(count, 1.0, seed),
            Scenario::Bursts => Bursts::default().rows(count, 1.0, seed),
        })
    }
}
