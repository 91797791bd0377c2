//! From rows to composites and their tables.

use std::collections::BTreeMap;

use plimsoll_sim::fleet::ResultRow;
use plimsoll_sim::report::{Table, ln_composite, mean};
use serde::Serialize;

/// Whom everyone is compared with.
const AGAINST: [&str; 4] = ["round_robin", "lmetric", "gie", "oracle"];
/// Ours.
pub(crate) const OURS: &str = "plimsoll";
/// Policies that are told what the others have to find out, so that nobody is asked to beat them.
const KNOWING: [&str; 4] = ["oracle", "bound", "dynamo_events", "plimsoll_rates"];
/// Ours, of proxies that exchange what they do.
pub(crate) const EXCHANGE: &str = "plimsoll_exchange";

/// One policy under one condition; below 1 it is better than whom it is compared with.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Composite {
    pub(crate) policy: String,
    pub(crate) routers: usize,
    pub(crate) poll_ms: u64,
    /// Geometric mean over workloads and seeds, by whom it is compared with.
    pub(crate) against: BTreeMap<String, f64>,
    /// Standard deviation over seeds of the logarithm against round robin; absent with one seed.
    seed_sd: Option<f64>,
    pub(crate) cells: Vec<CellComposite>,
}

/// The same on one workload, over the seeds.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct CellComposite {
    pub(crate) trace: String,
    pub(crate) fleet: String,
    pub(crate) load: f64,
    pub(crate) against: BTreeMap<String, f64>,
}

/// What rows must share to be compared: trace, fleet, seed and condition.
fn comparable(a: &ResultRow, b: &ResultRow) -> bool {
    same_cell(a, b) && a.seed == b.seed && condition(a) == condition(b)
}

fn same_cell(a: &ResultRow, b: &ResultRow) -> bool {
    (&a.trace, &a.fleet) == (&b.trace, &b.fleet)
}

fn condition(row: &ResultRow) -> (usize, u64) {
    (row.routers, row.poll_ms)
}

/// Composites of all policies, in order of condition and of composite against round robin.
pub(crate) fn composites(rows: &[ResultRow]) -> Vec<Composite> {
    let mut groups: BTreeMap<(usize, u64, &str), Vec<&ResultRow>> = BTreeMap::new();
    for row in rows {
        let (routers, poll_ms) = condition(row);
        let group = groups.entry((routers, poll_ms, &row.policy)).or_default();
        group.push(row);
    }
    let mut composites: Vec<Composite> = groups
        .into_iter()
        .map(|((routers, poll_ms, policy), own)| Composite {
            policy: policy.to_owned(),
            routers,
            poll_ms,
            against: against(rows, &own),
            seed_sd: seed_sd(rows, &own),
            cells: cells(rows, &own),
        })
        .collect();
    let key = |composite: &Composite| composite.against.get(AGAINST[0]).copied().unwrap_or(1.0);
    composites.sort_by(|a, b| {
        let condition = |c: &Composite| (c.routers, c.poll_ms);
        condition(a)
            .cmp(&condition(b))
            .then(key(a).total_cmp(&key(b)))
    });
    composites
}

/// Logarithms of `own` against a policy, where it ran as well.
fn logarithms(rows: &[ResultRow], own: &[&ResultRow], than: &str) -> Vec<f64> {
    own.iter()
        .filter_map(|row| {
            let other = rows
                .iter()
                .find(|other| other.policy == than && comparable(row, other))?;
            Some(ln_composite(&row.result, &other.result))
        })
        .collect()
}

fn against(rows: &[ResultRow], own: &[&ResultRow]) -> BTreeMap<String, f64> {
    AGAINST
        .into_iter()
        .filter_map(|than| {
            let logarithms = logarithms(rows, own, than);
            (!logarithms.is_empty()).then(|| (than.to_owned(), mean(&logarithms).exp()))
        })
        .collect()
}

fn seed_sd(rows: &[ResultRow], own: &[&ResultRow]) -> Option<f64> {
    let mut seeds: BTreeMap<u64, Vec<&ResultRow>> = BTreeMap::new();
    for row in own {
        seeds.entry(row.seed).or_default().push(row);
    }
    let means: Vec<f64> = seeds
        .values()
        .map(|own| mean(&logarithms(rows, own, AGAINST[0])))
        .collect();
    let centre = mean(&means);
    let squares: f64 = means.iter().map(|mean| (mean - centre).powi(2)).sum();
    (means.len() > 1).then(|| (squares / (means.len() - 1) as f64).sqrt())
}

fn cells(rows: &[ResultRow], own: &[&ResultRow]) -> Vec<CellComposite> {
    let mut cells: Vec<(&ResultRow, Vec<&ResultRow>)> = Vec::new();
    for &row in own {
        match cells.iter_mut().find(|(first, _)| same_cell(first, row)) {
            Some((_, group)) => group.push(row),
            None => cells.push((row, vec![row])),
        }
    }
    cells
        .into_iter()
        .map(|(first, group)| CellComposite {
            trace: first.trace.clone(),
            fleet: first.fleet.clone(),
            load: first.load,
            against: against(rows, &group),
        })
        .collect()
}

fn figure(against: &BTreeMap<String, f64>, than: &str) -> String {
    against
        .get(than)
        .map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"))
}

/// Everyone against the four.
pub(crate) fn overall(composites: &[&Composite]) -> Table {
    let mut table = Table::new([
        "policy",
        "round robin",
        "LMetric",
        "GIE",
        "oracle",
        "seed sd",
    ]);
    for composite in composites {
        let mut line = vec![composite.policy.clone()];
        line.extend(AGAINST.map(|than| figure(&composite.against, than)));
        line.push(match composite.seed_sd {
            Some(sd) => format!("{:.1} %", sd * 100.0),
            None => "-".to_owned(),
        });
        table.line(line);
    }
    table
}

impl Composite {
    /// Against round robin on one workload; every policy ran on the same ones in the same order.
    pub(crate) fn cell(&self, position: usize) -> Option<f64> {
        self.cells.get(position)?.against.get(AGAINST[0]).copied()
    }
}

/// Of those that are told no more than a router can know, the best but ours on the workload at `position`, against round robin.
pub(crate) fn best_rival<'a>(
    composites: &[&'a Composite],
    position: usize,
) -> Option<(&'a str, f64)> {
    let rivals = composites.iter().filter(|composite| {
        ![OURS, EXCHANGE].contains(&composite.policy.as_str())
            && !KNOWING.contains(&composite.policy.as_str())
    });
    let figures = rivals.filter_map(|rival| Some((rival.policy.as_str(), rival.cell(position)?)));
    figures.min_by(|(_, a), (_, b)| a.total_cmp(b))
}

/// Ours and the best rival on each workload, against round robin.
pub(crate) fn by_workload(composites: &[&Composite]) -> Table {
    let mut table = Table::new([
        "workload",
        "load",
        OURS,
        "exchanging",
        "LMetric",
        "GIE",
        "oracle",
        "best rival",
        "its",
        "ours / its",
    ]);
    let of = |policy: &str| {
        composites
            .iter()
            .find(|composite| composite.policy == policy)
    };
    let Some(first) = composites.first() else {
        return table;
    };
    for (position, cell) in first.cells.iter().enumerate() {
        let value = |composite: &Composite| composite.cell(position);
        let shown = |policy: &str| {
            of(policy)
                .and_then(|composite| value(composite))
                .map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"))
        };
        let best = best_rival(composites, position);
        let ours = of(OURS).and_then(|composite| value(composite));
        table.line(vec![
            format!("{} {}", cell.trace, cell.fleet),
            cell.load.to_string(),
            shown(OURS),
            shown(EXCHANGE),
            shown("lmetric"),
            shown("gie"),
            shown("oracle"),
            best.map_or_else(|| "-".to_owned(), |(best, _)| best.to_owned()),
            best.map_or_else(|| "-".to_owned(), |(_, value)| format!("{value:.3}")),
            ours.zip(best).map_or_else(
                || "-".to_owned(),
                |(ours, (_, best))| format!("{:.3}", ours / best),
            ),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(policy: &str, trace: &str, seed: u64, ms: f64) -> ResultRow {
        let times = serde_json::json!({"mean": ms, "p50": ms, "p99": ms});
        serde_json::from_value(serde_json::json!({
            "policy": policy, "trace": trace, "fleet": "8xh200", "load": 0.8, "arrivals_rps": 1.0, "routers": 1,
            "workers": 1, "poll_ms": 200, "seed": seed, "ttft_ms": times, "tpot_ms": {"p99": ms}, "e2e_ms": times,
            "hit_ratio": 0.0, "goodput": 1.0, "throughput_rps": 1.0, "drained_rps": 1.0, "work_spread_points": 0.0,
            "failed": 0
        }))
        .unwrap()
    }

    #[test]
    fn composites_are_geometric_means_in_order() {
        let mut rows = Vec::new();
        for seed in [1, 2] {
            for (trace, ms) in [("a", 50.0), ("b", 25.0)] {
                rows.push(row("round_robin", trace, seed, 100.0));
                rows.push(row("plimsoll", trace, seed, ms));
                rows.push(row("gie", trace, seed, 60.0));
            }
        }
        let composites = composites(&rows);
        let names: Vec<&str> = composites.iter().map(|c| c.policy.as_str()).collect();
        assert_eq!(names, ["plimsoll", "gie", "round_robin"]);
        // Equal goodput, so 0.8 of the mean of ln(1/2) and ln(1/4).
        let expected = (0.8 * (0.5_f64.ln() + 0.25_f64.ln()) / 2.0).exp();
        let against = &composites[0].against;
        assert!((against["round_robin"] - expected).abs() < 1e-9);
        assert!(!against.contains_key("lmetric"));
        assert_eq!(composites[0].seed_sd, Some(0.0));
        let text = by_workload(&composites.iter().collect::<Vec<_>>()).to_string();
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(text.contains("gie"), "{text}");
    }
}
