//! The comparison: a line a target.

use std::fmt::Write as _;

use crate::race::Target;

/// A column: name, value of a target, width, decimals.
type Column = (&'static str, fn(&Target) -> f64, usize, usize);

const COLUMNS: [Column; 10] = [
    ("TTFT p50", |t| t.ttft_ms.p50, 10, 0),
    ("p99 ms", |t| t.ttft_ms.p99, 8, 0),
    ("TPOT p50", |t| t.tpot_ms.p50, 10, 1),
    ("p99 ms", |t| t.tpot_ms.p99, 8, 0),
    ("E2E p50", |t| t.e2e_ms.p50 / 1e3, 9, 1),
    ("p99 s", |t| t.e2e_ms.p99 / 1e3, 7, 1),
    ("hits", |t| t.cache_hit_ratio, 7, 3),
    ("goodput", |t| t.goodput, 9, 3),
    ("errors", |t| t.errors as f64, 8, 0),
    ("CPU us", |t| t.proxy_cpu().unwrap_or(0.0), 8, 0),
];

/// Every target, and Plimsoll's p99 TTFT and goodput over it.
pub(super) fn table(targets: &[Target]) -> String {
    let ours = ours(targets);
    let mut text = format!("{:<15}", "");
    for (name, _, width, _) in COLUMNS {
        let _ = write!(text, "{name:>width$}");
    }
    if ours.is_some() {
        text.push_str("   ours: p99 TTFT  goodput");
    }
    text.push('\n');
    for target in targets {
        let _ = write!(text, "{:<15}", target.name);
        for (_, value, width, decimals) in COLUMNS {
            let _ = write!(text, "{:>width$.decimals$}", value(target));
        }
        if let Some(ours) = ours {
            let latency = ours.ttft_ms.p99 / target.ttft_ms.p99;
            let goodput = ours.goodput / target.goodput;
            let _ = write!(text, "{latency:>17.2}{goodput:>9.2}");
        }
        text.push('\n');
    }
    text
}

/// What follows from the table, and every error in it.
pub(super) fn remarks(targets: &[Target]) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(ours) = ours(targets) {
        let rivals = targets.iter().filter(|target| target.name != ours.name);
        let losses: Vec<String> = rivals
            .clone()
            .filter_map(|rival| loss(ours, rival))
            .collect();
        lines.push(if losses.is_empty() {
            format!(
                "p99 TTFT and goodput of plimsoll are better than each of the {}",
                rivals.count()
            )
        } else {
            format!("plimsoll is not better than {}", losses.join(", "))
        });
    }
    for target in targets {
        let reasons = target.rest.get("error_reasons");
        if let Some(reasons) = reasons.filter(|_| target.errors > 0) {
            lines.push(format!("{}: errors {reasons}", target.name));
        }
    }
    lines
}

fn loss(ours: &Target, rival: &Target) -> Option<String> {
    let latency = ours.ttft_ms.p99 >= rival.ttft_ms.p99;
    let goodput = ours.goodput <= rival.goodput;
    let what = match (latency, goodput) {
        (true, true) => "p99 TTFT and goodput",
        (true, false) => "p99 TTFT",
        (false, true) => "goodput",
        (false, false) => return None,
    };
    Some(format!("{} in {what}", rival.name))
}

fn ours(targets: &[Target]) -> Option<&Target> {
    targets.iter().find(|target| target.name == "plimsoll")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn target(name: &str, p99: f64, goodput: f64, errors: u64) -> Target {
        serde_json::from_value(json!({
            "name": name, "requests": 10, "ok": 10, "errors": errors, "error_reasons": {"status 503": errors},
            "ttft_ms": {"p50": 1.0, "p90": 2.0, "p99": p99}, "tpot_ms": {"p50": 1.0, "p99": 2.0},
            "e2e_ms": {"p50": 1.0, "p90": 2.0, "p99": 3.0}, "requests_per_s": 1.0,
            "output_tokens_per_s": 1.0, "cache_hit_ratio": 0.5, "goodput": goodput, "running_cv": 0.1,
            "proxy_cpu_us": 812.0,
        }))
        .unwrap()
    }

    #[test]
    fn a_line_a_target_with_ratios_to_ours() {
        let text = table(&[
            target("smg", 400.0, 0.4, 0),
            target("plimsoll", 100.0, 0.8, 0),
        ]);
        let line = text.lines().find(|line| line.starts_with("smg")).unwrap();
        assert!(line.ends_with("812             0.25     2.00"), "{line}");
    }

    #[test]
    fn a_loss_and_an_error_are_said() {
        let rivals = [target("smg", 90.0, 0.4, 2), target("nginx", 200.0, 0.9, 0)];
        let [smg, nginx] = rivals;
        let lines = remarks(&[smg, nginx, target("plimsoll", 100.0, 0.8, 0)]);
        assert_eq!(
            lines[0],
            "plimsoll is not better than smg in p99 TTFT, nginx in goodput"
        );
        assert_eq!(lines[1], "smg: errors {\"status 503\":2}");
    }
}
