//! What is replayed, on what, and how fast. Everything here is printed with the results.

use std::fmt;

use serde_json::{Value, json};

use crate::race::WORKERS;
use crate::repo::Repo;

/// Parses `--load`.
pub(crate) fn parse_load(text: &str) -> Result<f64, String> {
    let load = text.parse().ok();
    load.filter(|load| (0.05..=10.0).contains(load))
        .ok_or_else(|| "write a number from 0.05 to 10".to_owned())
}

/// A scenario's settings.
pub(crate) struct Plan {
    pub(crate) name: &'static str,
    /// Engines, as `plimsoll-sim` names them.
    pub(crate) fleet: String,
    /// Engine time over wall time. All printed times are engine time.
    pub(crate) speedup: f64,
    /// Tokens in one streamed event. Above 1 to keep 20,000 events a second off two cores.
    pub(crate) stream_interval: u32,
    /// Arrival rate over what round robin completes when flooded.
    pub(crate) load: f64,
    /// Requests replayed.
    pub(crate) limit: u32,
    /// Requests of the beginning that are replayed and not counted: caches fill.
    pub(crate) warmup: u32,
    pub(crate) seed: u64,
    traffic: Traffic,
}

enum Traffic {
    Mooncake(String),
    Documents,
}

impl Plan {
    /// The bundled slice of the Mooncake conversation trace on eight H200.
    pub(crate) fn conversation(repo: &Repo, quick: bool) -> Self {
        let trace = repo.root().join("sim/data/mooncake-conversation.jsonl");
        Self {
            name: "conversation",
            fleet: "8xh200".to_owned(),
            speedup: if quick { 8.0 } else { 4.0 },
            stream_interval: 4,
            load: 1.0,
            limit: 2_000,
            warmup: 300,
            seed: 1,
            traffic: Traffic::Mooncake(trace.display().to_string()),
        }
    }

    /// One-page documents (200 ms of work) and fifty-page ones (12 s) on four equal hosts.
    pub(crate) fn documents(quick: bool) -> Self {
        Self {
            name: "documents",
            fleet: "4xl4".to_owned(),
            speedup: if quick { 16.0 } else { 8.0 },
            stream_interval: 4,
            load: 0.8,
            limit: 2_000,
            warmup: 200,
            seed: 1,
            traffic: Traffic::Documents,
        }
    }

    /// The same plan at another load.
    pub(crate) fn at(&self, load: f64) -> Self {
        let traffic = match &self.traffic {
            Traffic::Mooncake(trace) => Traffic::Mooncake(trace.clone()),
            Traffic::Documents => Traffic::Documents,
        };
        Self {
            fleet: self.fleet.clone(),
            load,
            traffic,
            ..*self
        }
    }

    /// Arguments of `plimsoll-sim load`.
    pub(crate) fn load_arguments(&self) -> Vec<String> {
        let mut arguments = self.arguments();
        for (name, value) in [
            ("--speedup", self.speedup.to_string()),
            ("--warmup", self.warmup.to_string()),
        ] {
            arguments.extend([name.to_owned(), value]);
        }
        arguments
    }

    /// Arguments of `load` and `compare` that say what arrives when, and for which fleet.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let mut arguments: Vec<String> = match &self.traffic {
            Traffic::Mooncake(trace) => ["--trace", trace, "--format", "mooncake"]
                .map(str::to_owned)
                .to_vec(),
            Traffic::Documents => ["--scenario", "documents"].map(str::to_owned).to_vec(),
        };
        for (name, value) in [
            ("--load", self.load.to_string()),
            ("--fleet", self.fleet.clone()),
            ("--limit", self.limit.to_string()),
            ("--seed", self.seed.to_string()),
        ] {
            arguments.extend([name.to_owned(), value]);
        }
        arguments
    }

    /// Plimsoll's configuration: its defaults, with the intervals of polls and ticks shortened like the
    /// engines' time, as far as it accepts. A poll every 200 ms would come every 1.6 s to engines that
    /// live eight times faster.
    pub(crate) fn configuration(&self) -> Value {
        let scaled = |default: f64, least: f64| (default / self.speedup).max(least) as u64;
        json!({"poll": {"every_ms": scaled(200.0, 20.0)}, "tick_ms": scaled(25.0, 5.0)})
    }

    /// For the JSON result.
    pub(crate) fn settings(&self) -> Value {
        json!({
            "fleet": self.fleet,
            "speedup": self.speedup,
            "stream_interval": self.stream_interval,
            "load": self.load,
            "requests": self.limit,
            "warmup": self.warmup,
            "seed": self.seed,
            "proxy_workers": WORKERS,
            "plimsoll": self.configuration(),
        })
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let traffic = match &self.traffic {
            Traffic::Mooncake(_) => "Mooncake conversation trace (real, first part)",
            Traffic::Documents => "one-page and fifty-page documents (generated)",
        };
        writeln!(
            f,
            "traffic   {traffic}: {} requests, the first {} not counted, load {} of round robin's capacity, seed {}",
            self.limit, self.warmup, self.load, self.seed
        )?;
        writeln!(
            f,
            "engines   {} simulated (step times measured on an H200), {} x real time, {} tokens an event",
            self.fleet, self.speedup, self.stream_interval
        )?;
        write!(
            f,
            "proxy     Envoy, {WORKERS} workers; least_request scans all hosts; Plimsoll with {}\n\
             times     the engines': wall time x {}",
            self.configuration(),
            self.speedup
        )
    }
}

#[cfg(test)]
mod tests {
    use super::parse_load;

    #[test]
    fn a_load_is_a_number_above_nothing() {
        assert_eq!(parse_load("0.8"), Ok(0.8));
        for text in ["0", "-1", "NaN", "inf", "much"] {
            assert!(parse_load(text).is_err(), "{text}");
        }
    }
}
