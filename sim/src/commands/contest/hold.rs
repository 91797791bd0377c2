//! Runs every policy on every workload.

use core::fmt;
use core::ops::Range;
use core::str::FromStr;

use plimsoll_core::config::Config;
use plimsoll_sim::fleet::ResultRow;

use super::cells::Cell;
use crate::commands::arena::{Arena, BOUND, ORACLE, Proxies};
use crate::commands::parallel;

/// How many routers, and how often they poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Routers {
    pub(crate) count: usize,
    pub(crate) poll_ms: u64,
}

impl FromStr for Routers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once('@').and_then(|(count, poll_ms)| {
            let count = count
                .parse()
                .ok()
                .filter(|count| (1..=1024).contains(count));
            let poll_ms = poll_ms.parse().ok().filter(|ms| (1..=600_000).contains(ms));
            Some(Self {
                count: count?,
                poll_ms: poll_ms?,
            })
        });
        parsed.ok_or_else(|| format!("`{text}` is not ROUTERS@POLL_MS, as 16@1000"))
    }
}

impl fmt::Display for Routers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.count == 1 { "" } else { "s" };
        write!(
            f,
            "{} router{plural}, polls every {} ms",
            self.count, self.poll_ms
        )
    }
}

/// A name for reports, the policy, and the configuration of the core's policies.
#[derive(Clone, Debug)]
pub(crate) struct Entrant {
    pub(crate) name: String,
    pub(crate) policy: String,
    pub(crate) config: Config,
}

impl Entrant {
    /// The policies by their own names.
    pub(crate) fn plains<S: AsRef<str>>(policies: &[S], config: &Config) -> Vec<Self> {
        let policies = policies.iter();
        policies
            .map(|policy| Self::plain(policy.as_ref(), config))
            .collect()
    }

    /// The policy by its own name.
    pub(crate) fn plain(policy: &str, config: &Config) -> Self {
        Self {
            name: policy.to_owned(),
            policy: policy.to_owned(),
            config: config.clone(),
        }
    }
}

/// Who runs where, how often.
pub(crate) struct Contest<'a> {
    pub(crate) cells: Vec<&'a Cell>,
    pub(crate) entrants: Vec<Entrant>,
    pub(crate) routers: Vec<Routers>,
    pub(crate) seeds: Range<u64>,
    pub(crate) block_tokens: u32,
    pub(crate) quiet: bool,
}

impl Contest<'_> {
    /// Rows by workload, seed, condition and entrant.
    pub(crate) fn rows(&self) -> Result<Vec<ResultRow>, String> {
        let mut runs: Vec<(&Cell, u64)> = Vec::new();
        for &cell in &self.cells {
            runs.extend(self.seeds.clone().map(|seed| (cell, seed)));
        }
        let rows = parallel::map(&runs, |&(cell, seed)| {
            if !self.quiet {
                eprintln!("{} on {}, seed {seed}", cell.name, cell.fleet);
            }
            let arena = Arena::new(&cell.workload, &cell.fleet, self.block_tokens, seed, true)?;
            Ok::<_, String>(self.hold(cell.name, &arena))
        });
        Ok(rows
            .into_iter()
            .collect::<Result<Vec<_>, _>>()?
            .into_iter()
            .flatten()
            .collect())
    }

    /// Every entrant on one workload, by condition.
    fn hold(&self, trace: &str, arena: &Arena) -> Vec<ResultRow> {
        let mut rows: Vec<ResultRow> = Vec::new();
        for routers in &self.routers {
            let proxies = Proxies {
                routers: routers.count,
                poll_ms: routers.poll_ms,
                ..Proxies::default()
            };
            for entrant in &self.entrants {
                // The oracle sees everything itself: how many routers there are changes nothing for it, nor for the bound.
                let sees_all = [ORACLE, BOUND].contains(&entrant.policy.as_str());
                let known = rows
                    .iter()
                    .find(|row| sees_all && row.policy == entrant.name);
                let row = match known {
                    Some(row) => ResultRow {
                        routers: routers.count,
                        poll_ms: routers.poll_ms,
                        ..row.clone()
                    },
                    None => arena.run(&entrant.policy, &proxies, &entrant.config),
                };
                rows.push(ResultRow {
                    policy: entrant.name.clone(),
                    trace: trace.to_owned(),
                    ..row
                });
            }
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routers_and_polls_are_read() {
        let routers = Routers {
            count: 16,
            poll_ms: 1000,
        };
        assert_eq!("16@1000".parse(), Ok(routers));
        for wrong in ["16", "0@5", "a@b", "4@0"] {
            let result: Result<Routers, String> = wrong.parse();
            assert!(result.unwrap_err().contains(wrong));
        }
    }
}
