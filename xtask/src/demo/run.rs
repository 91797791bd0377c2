//! One target: fresh engines, Envoy with one policy, one replay.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use plimsoll_envoy::process::{Guard, free_address, wait_for};
use plimsoll_envoy::{Admin, Envoy, EnvoyBinary, Host, Launch, Options, Policy};

use crate::demo::fleet::Fleet;
use crate::demo::plan::Plan;
use crate::demo::report::Target;
use crate::failure::Failure;
use crate::interrupt;
use crate::repo::Repo;
use crate::step;

/// Worker threads of Envoy. More than one, since workers share nothing but the tick.
pub(crate) const WORKERS: u32 = 2;

/// Everything that one target needs, running.
pub(crate) struct Stand {
    // Declared in the order in which they end: first the proxy, then what is behind it.
    envoy: Envoy,
    fleet: Fleet,
    policy: Policy,
}

impl Stand {
    pub(crate) fn start(
        repo: &Repo,
        binary: &EnvoyBinary,
        plan: &Plan,
        policy: Policy,
        public_admin: bool,
    ) -> Result<Self, Failure> {
        let fleet = Fleet::start(repo, &plan.fleet, plan.speedup, plan.stream_interval)?;
        let directory = Envoy::directory()?;
        let admin = if public_admin {
            Admin::Tcp(free_address()?)
        } else {
            Admin::private(directory.path())
        };
        let options = Options {
            listen: free_address()?,
            admin,
            hosts: fleet.addresses.iter().copied().map(Host::from).collect(),
            policy,
            module: repo.module(),
            configuration: plan.configuration().to_string(),
            ..Options::default()
        };
        let launch = Launch {
            binary,
            options,
            concurrency: WORKERS,
            log_level: "warning",
            log: None,
            shared_group: false,
        };
        let envoy = Envoy::start(launch, directory)?;
        Ok(Self {
            envoy,
            fleet,
            policy,
        })
    }

    /// Replays the plan's traffic and returns what the clients saw.
    pub(crate) fn load(&self, repo: &Repo, plan: &Plan) -> Result<Target, Failure> {
        let result = self.envoy.path().join("result.json");
        let mut guard = Guard::spawn(
            Command::new(repo.sim())
                .args([
                    "load",
                    "--target",
                    &format!("http://{}", self.envoy.options().listen),
                ])
                .args(plan.load_arguments())
                .args([
                    "--engines",
                    &self.fleet.list(),
                    "--name",
                    self.policy.name(),
                    "--json",
                ])
                .arg(&result)
                .stdin(Stdio::null()),
        )?;
        let status = step::wait(&mut guard)?;
        if !status.success() {
            return Err(Failure::new(format!(
                "plimsoll-sim load: {status}\n{}",
                self.envoy.log()
            )));
        }
        Ok(serde_json::from_str(&fs::read_to_string(result)?)?)
    }

    /// How Plimsoll decided, from Envoy's own metrics; nothing for a rival.
    pub(crate) fn ladder(&self) -> Result<Option<String>, Failure> {
        if self.policy != Policy::Plimsoll {
            return Ok(None);
        }
        let page = self.envoy.admin().get("/stats/prometheus")?.body;
        let mut steps: Vec<(&str, u64)> = page.lines().filter_map(decisions).collect();
        steps.sort_unstable();
        let total: u64 = steps.iter().map(|(_, count)| count).sum::<u64>().max(1);
        let parts: Vec<String> = steps
            .iter()
            .map(|(step, count)| format!("{step} {:.1} %", *count as f64 * 100.0 / total as f64))
            .collect();
        Ok(Some(format!("plimsoll decided on: {}", parts.join(", "))))
    }

    /// Keeps everything running until Ctrl-C.
    pub(crate) fn hold(&mut self) -> Result<(), Failure> {
        let options = self.envoy.options();
        println!(
            "\nstill running, until Ctrl-C: requests to http://{}",
            options.listen
        );
        if let Admin::Tcp(admin) = options.admin {
            println!("metrics at http://{admin}/stats/prometheus");
        }
        let ended = || self.envoy.ended().transpose();
        let mut ended = ended;
        loop {
            if interrupt::requested() {
                return Ok(());
            }
            if let Some(status) = wait_for(Duration::from_millis(200), &mut ended) {
                return Err(Failure::new(format!("Envoy ended: {}", status?)));
            }
        }
    }
}

/// `plimsoll_decisions{step="full"} 7` -> `("full", 7)`.
fn decisions(line: &str) -> Option<(&str, u64)> {
    let rest = line.strip_prefix("plimsoll_decisions{step=\"")?;
    let (step, rest) = rest.split_once('"')?;
    let (_, count) = rest.rsplit_once(' ')?;
    Some((step, count.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::decisions;

    #[test]
    fn reads_the_ladder_from_the_metrics_page() {
        assert_eq!(
            decisions("plimsoll_decisions{step=\"full\"} 42"),
            Some(("full", 42))
        );
        assert_eq!(decisions("plimsoll_requests{} 42"), None);
    }
}
