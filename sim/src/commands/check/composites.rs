//! Promises about latencies: against others, with slow polls, without configured weights.

use plimsoll_sim::fleet::ResultRow;
use plimsoll_sim::report::{ln_composite, mean};

use super::{Check, MANY, ONE};
use crate::commands::contest::{Composite, EXCHANGE, OURS, Routers, best_rival, composites};

/// One router that polls often …
pub(super) const FAST: Routers = Routers {
    count: 1,
    poll_ms: 50,
};
/// … and many that hardly ever do.
pub(super) const SLOW: Routers = Routers {
    count: 16,
    poll_ms: 5000,
};

/// Workloads that the routing lab, which set the limits, did not have: quiet ones, on which round robin is nearly as good as any.
const NOT_THE_LABS: [&str; 2] = ["servegen", "bursts"];

/// The composites of the contest: over all workloads, and over those of the kinds that the limits were set on.
pub(super) fn against_others(rows: &[ResultRow]) -> Vec<Check> {
    let labs = rows
        .iter()
        .filter(|row| !NOT_THE_LABS.contains(&row.trace.as_str()));
    let labs: Vec<ResultRow> = labs.cloned().collect();
    let mut checks = against(&labs, "the lab's kinds of workload");
    if labs.len() < rows.len() {
        checks.extend(against(rows, "all workloads"));
    }
    let all = composites(rows);
    for (policy, routers) in [(OURS, ONE), (OURS, MANY), (EXCHANGE, MANY)] {
        checks.extend(worst_workload(&under(&all, routers), policy, routers));
    }
    checks
}

/// Those of one condition.
fn under(all: &[Composite], routers: Routers) -> Vec<&Composite> {
    let under = all
        .iter()
        .filter(|c| (c.routers, c.poll_ms) == (routers.count, routers.poll_ms));
    under.collect()
}

fn against(rows: &[ResultRow], which: &str) -> Vec<Check> {
    let all = composites(rows);
    let (one, many) = (under(&all, ONE), under(&all, MANY));
    let mut checks = Vec::new();
    for (composites, policy, routers, than, limit) in [
        (&one, OURS, ONE, "round_robin", 0.19),
        (&one, OURS, ONE, "oracle", 1.0),
        (&many, OURS, MANY, "lmetric", 0.45),
        (&many, EXCHANGE, MANY, "lmetric", 0.45),
        (&many, OURS, MANY, "gie", 0.40),
        (&many, EXCHANGE, MANY, "gie", 0.40),
    ] {
        let ours = of(composites, policy);
        if let Some(&value) = ours.and_then(|ours| ours.against.get(than)) {
            let name = format!("composite of {policy} against {than}, {which}, {routers}");
            checks.push(Check::at_most(name, value, limit));
        }
    }
    checks
}

fn of<'a>(composites: &[&'a Composite], policy: &str) -> Option<&'a Composite> {
    let mut all = composites.iter();
    all.find(|composite| composite.policy == policy).copied()
}

/// Where the best rival is furthest ahead.
fn worst_workload(composites: &[&Composite], policy: &str, routers: Routers) -> Option<Check> {
    let ours = of(composites, policy)?;
    let ratios = ours
        .cells
        .iter()
        .enumerate()
        .filter_map(|(position, cell)| {
            let (rival, its) = best_rival(composites, position)?;
            let ratio = ours.cell(position)? / its;
            Some((
                ratio,
                format!("{} {} against {rival}", cell.trace, cell.fleet),
            ))
        });
    let (ratio, which) = ratios.max_by(|(a, _), (b, _)| a.total_cmp(b))?;
    let name = format!("worst workload of {policy} against its best rival, {routers} ({which})");
    Some(Check::at_most(name, ratio, 1.02))
}

/// Growth of the mean time to first token from [`FAST`] to [`SLOW`].
pub(super) fn slow_polls(rows: &[ResultRow]) -> Vec<Check> {
    let limits = [("agents", 1.4), ("conversation", 1.6)];
    let limits = limits
        .into_iter()
        .flat_map(|(trace, limit)| [OURS, EXCHANGE].map(|policy| (trace, policy, limit)));
    let checks = limits.filter_map(|(trace, policy, limit)| {
        let ttft = |policy: &str, routers: Routers| {
            let own = rows.iter().filter(|row| {
                (row.trace.as_str(), row.policy.as_str()) == (trace, policy)
                    && (row.routers, row.poll_ms) == (routers.count, routers.poll_ms)
            });
            let times: Vec<f64> = own.map(|row| row.result.ttft_ms.mean).collect();
            (!times.is_empty()).then(|| mean(&times))
        };
        // Alone a proxy has nobody to exchange with.
        let (slow, fast) = (ttft(policy, SLOW)?, ttft(OURS, FAST)?);
        let name = format!("mean TTFT of {policy} on {trace}: {SLOW}, over {FAST}");
        Some(Check::at_most(name, slow / fast.max(1e-9), limit))
    });
    checks.collect()
}

/// Plimsoll that has to learn the hosts' speeds, over Plimsoll that is told them.
pub(super) fn mixed_fleets(rows: &[ResultRow]) -> Vec<Check> {
    let checks = [ONE, MANY].into_iter().filter_map(|routers| {
        let under = |row: &&ResultRow| {
            (row.routers, row.poll_ms) == (routers.count, routers.poll_ms)
                && row.fleet.contains(',')
        };
        let of = |policy: &str| {
            let rows = rows.iter().filter(under);
            rows.filter(|row| row.policy == policy).collect::<Vec<_>>()
        };
        let (learns, told) = (of(OURS), of("plimsoll_rates"));
        let logarithms = learns.iter().filter_map(|row| {
            let same = |other: &&&ResultRow| {
                (&other.trace, &other.fleet, other.seed) == (&row.trace, &row.fleet, row.seed)
            };
            Some(ln_composite(&row.result, &told.iter().find(same)?.result))
        });
        let logarithms: Vec<f64> = logarithms.collect();
        let name = format!("mixed fleets without weights, over with true rates, {routers}");
        (!logarithms.is_empty()).then(|| Check::at_most(name, mean(&logarithms).exp(), 1.03))
    });
    checks.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(policy: &str, trace: &str, fleet: &str, routers: Routers, ms: f64) -> ResultRow {
        let times = serde_json::json!({"mean": ms, "p50": ms, "p99": ms});
        serde_json::from_value(serde_json::json!({
            "policy": policy, "trace": trace, "fleet": fleet, "load": 0.8, "arrivals_rps": 1.0, "routers": routers.count,
            "workers": 1, "poll_ms": routers.poll_ms, "seed": 1, "ttft_ms": times, "tpot_ms": {"p99": ms}, "e2e_ms": times,
            "hit_ratio": 0.0, "goodput": 1.0, "throughput_rps": 1.0, "drained_rps": 1.0, "work_spread_points": 0.0,
            "failed": 0
        }))
        .unwrap()
    }

    #[test]
    fn figures_stand_beside_their_limits() {
        let mixed = "1xh100,1xa100";
        let rows: Vec<ResultRow> = [
            ("round_robin", 100.0),
            ("gie", 20.0),
            ("plimsoll", 10.0),
            ("plimsoll_rates", 9.0),
            ("oracle", 10.0),
        ]
        .into_iter()
        .map(|(policy, ms)| row(policy, "a", mixed, ONE, ms))
        .collect();
        let checks = against_others(&rows);
        let of = |name: &str| {
            checks
                .iter()
                .find(|check| check.name.contains(name))
                .unwrap()
        };
        assert!((of("round_robin").value - (0.8 * 0.1_f64.ln()).exp()).abs() < 1e-9);
        assert!(of("round_robin").pass && of("oracle").pass);
        let worst = of("worst workload");
        assert!(worst.name.contains("against gie") && worst.value < 0.6 && worst.pass);
        let learned = mixed_fleets(&rows);
        assert_eq!(learned.len(), 1, "there are no rows of many routers");
        assert!(!learned[0].pass, "{}", learned[0].value);
        let stale = [
            row("plimsoll", "agents", "8xh200", FAST, 100.0),
            row("plimsoll", "agents", "8xh200", SLOW, 130.0),
        ];
        let grown = slow_polls(&stale);
        assert!((grown[0].value - 1.3).abs() < 1e-9 && grown[0].pass);
    }
}
