//! The plots, each from its own runs.

use plimsoll_core::config::Config;
use plimsoll_sim::fleet::ResultRow;
use plimsoll_sim::report::mean;

use super::chart::{Axis, Bars, Figure, Line, Panel};
use crate::commands::check::{self, Kind};
use crate::commands::contest::{Cell, Contest, Entrant, Field, Routers, composites};

/// Who is shown in line charts; more lines are not told apart.
const SHOWN: [&str; 7] = [
    "round_robin",
    "least_request",
    "gie",
    "cache_aware",
    "lmetric",
    "plimsoll",
    "oracle",
];
/// Loads of the sweep by workload: to beyond what the best can bear.
const LOADS: [(&str, [f64; 7]); 2] = [
    ("conversation", [0.3, 0.45, 0.6, 0.8, 1.0, 1.2, 1.5]),
    ("agents", [0.5, 1.0, 1.4, 1.8, 2.2, 2.6, 3.0]),
];
/// Numbers of routers, with polls every second.
const ROUTERS: [usize; 5] = [1, 2, 4, 8, 16];
/// Milliseconds between polls of 16 routers.
const POLLS: [u64; 5] = [50, 200, 1000, 2000, 5000];
/// Seconds of a point in the charts of shares.
const WINDOW: f64 = 2.5;

/// What all plots share.
pub(super) struct Plots<'a> {
    pub(super) cells: &'a [Cell],
    pub(super) field: &'a Field,
    pub(super) config: Config,
}

fn plain(value: f64) -> String {
    format!("{value}")
}

fn percent(value: f64) -> String {
    format!("{:.0} %", value * 100.0)
}

/// Whole numbers with their thousands apart.
fn grouped(value: f64) -> String {
    let number = value as u64;
    if number < 1000 {
        return number.to_string();
    }
    format!("{},{:03}", number / 1000, number % 1000)
}

impl Plots<'_> {
    /// The workload `name` on equal hosts.
    fn cell(&self, name: &str) -> Option<&Cell> {
        self.cells
            .iter()
            .find(|cell| cell.name == name && cell.is_equal())
    }

    fn rows(&self, cell: &Cell, routers: Vec<Routers>) -> Result<Vec<ResultRow>, String> {
        let entrants = Entrant::plains(&SHOWN, &self.config);
        Contest {
            quiet: true,
            ..self.field.contest(vec![cell], entrants, routers)
        }
        .rows()
    }

    fn source(&self, what: &str) -> String {
        let seeds = match self.field.seeds {
            1 => "seed 1".to_owned(),
            n => format!("mean of seeds 1 to {n}"),
        };
        format!(
            "{what}; {seeds}. Simulated: plimsoll-sim plots --traces DIR --seeds {} (docs/contest.md)",
            self.field.seeds
        )
    }

    /// Goodput and p99 TTFT against load: two drawings of the same runs.
    pub(super) fn loads(&self) -> Result<[String; 2], String> {
        let mut goodput = Vec::new();
        let mut ttft = Vec::new();
        for (name, loads) in LOADS {
            let Some(cell) = self.cell(name) else {
                continue;
            };
            let mut rows = Vec::new();
            for load in loads {
                rows.extend(self.rows(&cell.at_load(load), vec![check::ONE])?);
            }
            let title = format!("{name}, {}", cell.fleet);
            let lines = |figure: &dyn Fn(&ResultRow) -> f64| lines(&rows, &|row| row.load, figure);
            let ticks = if loads[6] > 2.0 {
                vec![0.5, 1.0, 1.5, 2.0, 2.5, 3.0]
            } else {
                vec![0.3, 0.6, 0.9, 1.2, 1.5]
            };
            let x = || Axis {
                title: "load (1: what round robin completes when flooded)",
                ticks: ticks.clone(),
                log: false,
                format: plain,
            };
            goodput.push(Panel {
                title: title.clone(),
                x: x(),
                y: Axis {
                    title: "goodput, share of requests",
                    ticks: vec![0.0, 0.25, 0.5, 0.75, 1.0],
                    log: false,
                    format: percent,
                },
                lines: lines(&|row| row.result.goodput),
                level: Some((0.95, "95 %")),
            });
            ttft.push(Panel {
                title,
                x: x(),
                y: Axis {
                    title: "p99 of time to first token, ms (log)",
                    ticks: vec![100.0, 300.0, 1000.0, 3000.0, 10_000.0, 30_000.0, 100_000.0],
                    log: true,
                    format: grouped,
                },
                lines: lines(&|row| row.result.ttft_ms.p99),
                level: Some((2000.0, "2 s")),
            });
        }
        let source = self.source("One router, polls every 200 ms");
        let draw = |title, panels: &[Panel]| {
            Figure {
                title,
                source: source.clone(),
            }
            .lines(panels)
        };
        Ok([
            draw(
                "Requests with TTFT within 2 s and TPOT within 50 ms, against load",
                &goodput,
            )?,
            draw("p99 time to first token against load", &ttft)?,
        ])
    }

    /// Everyone's composite, from the contest's rows.
    pub(super) fn composites(&self, rows: &[ResultRow]) -> Result<String, String> {
        let all = composites(rows);
        let panels = [check::ONE, check::MANY].map(|routers| {
            let under = all
                .iter()
                .filter(|c| (c.routers, c.poll_ms) == (routers.count, routers.poll_ms));
            let bars = under.filter_map(|composite| {
                let value = composite.against.get("round_robin")?;
                Some((composite.policy.clone(), *value))
            });
            Bars {
                title: routers.to_string(),
                axis: "composite against round robin (lower is better)",
                bars: bars.collect(),
            }
        });
        let mut workloads: Vec<(&str, &str)> = rows
            .iter()
            .map(|row| (row.trace.as_str(), row.fleet.as_str()))
            .collect();
        workloads.sort_unstable();
        workloads.dedup();
        let count = workloads.len();
        Figure {
            title: "Composite of latencies and goodput over all workloads",
            source: self.source(&format!("{count} workloads")),
        }
        .bars(&panels)
    }

    /// The share of a host that changes, over time.
    pub(super) fn change(&self, kind: Kind) -> Result<String, String> {
        let (title, fair) = match kind {
            Kind::Throttle => (
                "Share of requests of a host whose rate halves at 0 s",
                (check::THROTTLED, "fair after"),
            ),
            Kind::Join => (
                "Share of requests of a host that joins with a cold cache at 0 s",
                (check::FAIR, "fair"),
            ),
        };
        let mut panels = Vec::new();
        for routers in [check::ONE, check::MANY] {
            let mut lines = Vec::new();
            for policy in SHOWN.into_iter().filter(|policy| *policy != "cache_aware") {
                let courses =
                    check::courses(kind, policy, routers, self.field.seeds, &self.config)?;
                let starts = (-4..16).map(|window| f64::from(window) * WINDOW);
                let points = starts.map(|from| {
                    let share = check::share(&courses, from, from + WINDOW);
                    (from + WINDOW / 2.0, share)
                });
                lines.push(Line {
                    policy: policy.to_owned(),
                    points: points.collect(),
                });
            }
            panels.push(Panel {
                title: routers.to_string(),
                x: Axis {
                    title: "seconds after the change",
                    ticks: vec![-10.0, 0.0, 10.0, 20.0, 30.0, 40.0],
                    log: false,
                    format: plain,
                },
                y: Axis {
                    title: "share of requests (8 hosts)",
                    ticks: vec![0.0, 0.05, 0.10, 0.15, 0.20, 0.25],
                    log: false,
                    format: percent,
                },
                lines,
                level: Some(fair),
            });
        }
        Figure {
            title,
            source: self.source("Agents on 8xh200 at load 1; points of 2.5 s, cut at 25 %"),
        }
        .lines(&panels)
    }

    /// Mean TTFT against the number of routers and their polls' interval.
    pub(super) fn routers(&self) -> Result<String, String> {
        let Some(cell) = self.cell("agents") else {
            return Err("no workload `agents`".to_owned());
        };
        let many = ROUTERS.map(|count| Routers {
            count,
            poll_ms: 1000,
        });
        let slow = POLLS.map(|poll_ms| Routers { count: 16, poll_ms });
        let y = || Axis {
            title: "mean time to first token, ms (log)",
            ticks: vec![30.0, 100.0, 300.0, 1000.0, 3000.0],
            log: true,
            format: grouped,
        };
        let panel =
            |title: &str, rows: &[ResultRow], x: Axis, at: &dyn Fn(&ResultRow) -> f64| Panel {
                title: title.to_owned(),
                x,
                y: y(),
                lines: lines(rows, at, &|row| row.result.ttft_ms.mean),
                level: None,
            };
        let routers = Axis {
            title: "independent routers (log)",
            ticks: ROUTERS.map(|count| count as f64).to_vec(),
            log: true,
            format: grouped,
        };
        let polls = Axis {
            title: "interval of polls, ms (log)",
            ticks: vec![50.0, 200.0, 1000.0, 5000.0],
            log: true,
            format: grouped,
        };
        let load = cell.workload.load().unwrap_or(1.0);
        Figure {
            title: "Many routers and slow polls",
            source: self.source(&format!("Agents on {} at load {load}", cell.fleet)),
        }
        .lines(&[
            panel(
                "polls every second",
                &self.rows(cell, many.to_vec())?,
                routers,
                &|row| row.routers as f64,
            ),
            panel(
                "16 routers",
                &self.rows(cell, slow.to_vec())?,
                polls,
                &|row| row.poll_ms as f64,
            ),
        ])
    }
}

/// One line a policy: the mean of `figure` over the rows of each `at`.
fn lines(
    rows: &[ResultRow],
    at: &dyn Fn(&ResultRow) -> f64,
    figure: &dyn Fn(&ResultRow) -> f64,
) -> Vec<Line> {
    let line = |policy: &str| {
        let own: Vec<&ResultRow> = rows.iter().filter(|row| row.policy == policy).collect();
        let mut places: Vec<f64> = own.iter().map(|row| at(row)).collect();
        places.sort_by(f64::total_cmp);
        places.dedup();
        let points = places.into_iter().map(|place| {
            let there = own.iter().filter(|row| at(row) == place);
            let figures: Vec<f64> = there.map(|row| figure(row)).collect();
            (place, mean(&figures))
        });
        Line {
            policy: policy.to_owned(),
            points: points.collect(),
        }
    };
    SHOWN.into_iter().map(line).collect()
}
