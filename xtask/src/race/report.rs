//! The comparison table.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What clients saw of one target; the object that `plimsoll-sim load` writes.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) requests: u64,
    pub(crate) ok: u64,
    pub(crate) errors: u64,
    pub(crate) ttft_ms: Percentiles,
    pub(crate) tpot_ms: Percentiles,
    pub(crate) e2e_ms: Percentiles,
    pub(crate) requests_per_s: f64,
    pub(crate) output_tokens_per_s: f64,
    pub(crate) cache_hit_ratio: f64,
    pub(crate) goodput: f64,
    pub(crate) running_cv: f64,
    #[serde(flatten)]
    pub(crate) rest: Map<String, Value>,
}

/// Milliseconds of engine time.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Percentiles {
    pub(crate) p50: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) p90: Option<f64>,
    pub(crate) p99: f64,
}

impl Target {
    /// Requests answered a second while requests arrive.
    pub(crate) fn arrival_window(&self) -> Option<f64> {
        self.rest.get("arrival_window_per_s")?.as_f64()
    }

    /// Processor time of the proxy a request, microseconds: everything it does, its polls and timers too.
    pub(crate) fn proxy_cpu(&self) -> Option<f64> {
        self.rest.get("proxy_cpu_us")?.as_f64()
    }

    /// See [`Self::proxy_cpu`]; in seconds.
    pub(crate) fn set_proxy_cpu(&mut self, seconds: f64) {
        let micros = (seconds * 1e6).round();
        self.rest.insert("proxy_cpu_us".to_owned(), micros.into());
    }

    /// Share of departures or of engine steps that this machine made late, whichever is more.
    pub(crate) fn late_share(&self) -> f64 {
        let share = |name: &str| self.rest.get(name).and_then(Value::as_f64).unwrap_or(0.0);
        share("late_departures_share").max(share("late_steps_share"))
    }

    /// Greatest difference between hosts in the share of time they worked, in points, where measured.
    pub(crate) fn work_spread(&self) -> Option<f64> {
        self.rest.get("work_spread_points")?.as_f64()
    }
}

/// A row of the table: name, value of a target, decimals.
type Row = (&'static str, fn(&Target) -> Option<f64>, usize);

const ROWS: [Row; 15] = [
    ("requests", |t| Some(t.requests as f64), 0),
    ("errors", |t| Some(t.errors as f64), 0),
    ("TTFT p50 ms", |t| Some(t.ttft_ms.p50), 0),
    ("TTFT p90 ms", |t| t.ttft_ms.p90, 0),
    ("TTFT p99 ms", |t| Some(t.ttft_ms.p99), 0),
    ("TPOT p50 ms", |t| Some(t.tpot_ms.p50), 1),
    ("TPOT p99 ms", |t| Some(t.tpot_ms.p99), 1),
    ("E2E p50 ms", |t| Some(t.e2e_ms.p50), 0),
    ("E2E p99 ms", |t| Some(t.e2e_ms.p99), 0),
    ("requests/s", |t| Some(t.requests_per_s), 2),
    ("output tokens/s", |t| Some(t.output_tokens_per_s), 0),
    ("cache hit ratio", |t| Some(t.cache_hit_ratio), 3),
    ("goodput", |t| Some(t.goodput), 3),
    ("running CV", |t| Some(t.running_cv), 3),
    ("work spread points", Target::work_spread, 1),
];

/// All targets side by side, and the last one (Plimsoll) as a ratio to each of the others.
pub(crate) fn table(targets: &[Target]) -> String {
    let mut text = format!("{:<20}", "");
    let Some((ours, rivals)) = targets.split_last() else {
        return text;
    };
    for target in targets {
        let _ = write!(text, "{:>15}", target.name);
    }
    for rival in rivals {
        let _ = write!(text, "{:>18}", format!("/ {}", rival.name));
    }
    text.push('\n');
    for (name, value, decimals) in ROWS {
        let _ = write!(text, "{name:<20}");
        for target in targets {
            let cell = value(target).map_or_else(|| "-".to_owned(), |v| format!("{v:.decimals$}"));
            let _ = write!(text, "{cell:>15}");
        }
        for rival in rivals {
            let ratio = match (value(ours), value(rival)) {
                (Some(a), Some(b)) if b != 0.0 => format!("{:.2}", a / b),
                _ => String::new(),
            };
            let _ = write!(text, "{ratio:>18}");
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(name: &str, p99: f64) -> Target {
        serde_json::from_value(serde_json::json!({
            "name": name, "requests": 10, "ok": 10, "errors": 0,
            "ttft_ms": {"p50": 1.0, "p90": 2.0, "p99": p99}, "tpot_ms": {"p50": 1.0, "p99": 2.0},
            "e2e_ms": {"p50": 1.0, "p90": 2.0, "p99": 3.0}, "requests_per_s": 1.0,
            "output_tokens_per_s": 1.0, "cache_hit_ratio": 0.5, "goodput": 0.9, "running_cv": 0.1,
            "work_spread_points": 7.5,
        }))
        .unwrap()
    }

    #[test]
    fn ratios_are_ours_over_theirs() {
        let text = table(&[target("round_robin", 400.0), target("plimsoll", 100.0)]);
        let row = text
            .lines()
            .find(|line| line.starts_with("TTFT p99"))
            .unwrap();
        let cells: Vec<&str> = row.split_whitespace().skip(3).collect();
        assert_eq!(cells, ["400", "100", "0.25"]);
    }

    #[test]
    fn a_target_keeps_every_field_it_was_read_with() {
        let value = serde_json::to_value(target("x", 1.0)).unwrap();
        assert_eq!(value["work_spread_points"], 7.5);
        assert!(value["tpot_ms"].get("p90").is_none());
    }
}
