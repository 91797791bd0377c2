//! The workloads of the contest.

use std::path::Path;

use plimsoll_sim::engine::Fleet;
use plimsoll_sim::trace::Format;

use super::field::named;
use crate::commands::workload::{Scenario, Workload};

/// A workload on a fleet.
pub(crate) struct Cell {
    /// Name in reports: the same wherever the trace lies.
    pub(crate) name: &'static str,
    pub(crate) workload: Workload,
    pub(crate) fleet: Fleet,
}

impl Cell {
    /// Whether the workload's name begins with one of `prefixes`; all do when there are none.
    pub(crate) fn named(&self, prefixes: &[String]) -> bool {
        named(self.name, prefixes)
    }

    /// The same at another load.
    pub(crate) fn at_load(&self, load: f64) -> Self {
        Self {
            name: self.name,
            workload: self.workload.at_load(load),
            fleet: self.fleet.clone(),
        }
    }

    /// Whether its hosts are all alike.
    pub(crate) fn is_equal(&self) -> bool {
        self.fleet.0.windows(2).all(|pair| pair[0] == pair[1])
    }
}

const EQUAL: &str = "8xh200";
const TWO_KINDS: &str = "4xh100,4xa100";
const THREE_KINDS: &str = "4xh100,4xa100,8xa10g";

/// A trace: its name; files that hold it, the first that is there counts; fleets and loads; how many times the requests.
type Trace = (
    &'static str,
    &'static [&'static str],
    Format,
    &'static [(&'static str, f64)],
    usize,
);

const TRACES: [Trace; 5] = [
    (
        "conversation",
        &[
            "mooncake/conversation_first6000.jsonl",
            "mooncake-conversation.jsonl",
        ],
        Format::Mooncake,
        &[(EQUAL, 0.8), (TWO_KINDS, 0.8)],
        1,
    ),
    (
        "synthetic",
        &["mooncake/synthetic_trace.jsonl"],
        Format::Mooncake,
        &[(EQUAL, 0.8)],
        1,
    ),
    (
        "ragpulse",
        &["ragpulse/0_trace.jsonl"],
        Format::Ragpulse,
        &[(EQUAL, 0.8)],
        1,
    ),
    // Short prompts: a second of this is many requests.
    (
        "azure",
        &["azure/AzureLLMInferenceTrace_conv.csv"],
        Format::Azure,
        &[(EQUAL, 0.9), (THREE_KINDS, 0.95)],
        4,
    ),
    (
        "servegen",
        &["servegen"],
        Format::Servegen,
        &[(EQUAL, 0.8)],
        2,
    ),
];

const SCENARIOS: [(Scenario, &str, f64); 5] = [
    (Scenario::Agents, EQUAL, 1.5),
    (Scenario::Agents, THREE_KINDS, 0.95),
    (Scenario::MultiTurn, EQUAL, 0.8),
    (Scenario::Bursts, EQUAL, 0.8),
    (Scenario::Documents, "4xl4", 0.8),
];

/// The workloads whose traces lie in `traces`, and the generated ones.
pub(super) fn cells(traces: &Path, limit: usize, quiet: bool) -> Vec<Cell> {
    let mut cells = Vec::new();
    for (name, files, format, fleets, times) in TRACES {
        let paths = files.iter().map(|file| traces.join(file));
        let Some(path) = paths.into_iter().find(|path| path.exists()) else {
            if !quiet {
                eprintln!(
                    "left out: no {} in {}",
                    files.join(" or "),
                    traces.display()
                );
            }
            continue;
        };
        for &(fleet, load) in fleets {
            let trace = Some((path.clone(), format));
            let workload = Workload::new(trace, None, load, limit * times);
            cells.extend(cell(name, workload, fleet));
        }
    }
    for (scenario, fleet, load) in SCENARIOS {
        let workload = Workload::new(None, Some(scenario), load, limit);
        cells.extend(cell(scenario.name(), workload, fleet));
    }
    cells
}

fn cell(name: &'static str, workload: Workload, fleet: &str) -> Option<Cell> {
    Some(Cell {
        name,
        workload,
        fleet: fleet.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bundled_and_generated_workloads_are_there() {
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("data");
        let cells = cells(&data, 100, true);
        assert_eq!(cells.len(), 2 + SCENARIOS.len());
        let named = |prefix: &str| {
            let prefixes = [prefix.to_owned()];
            cells.iter().filter(|cell| cell.named(&prefixes)).count()
        };
        assert_eq!((named("conv"), named("agents"), named("x")), (2, 2, 0));
    }
}
