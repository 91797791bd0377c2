//! Envoy as a proxy under test.

use std::net::SocketAddr;

use plimsoll_envoy::process::free_address;
use plimsoll_envoy::{Admin, Envoy, EnvoyBinary, Host, Launch, Options, Policy};

use crate::failure::Failure;
use crate::race::{Fleet, Plan, Proxy, WORKERS};
use crate::repo::Repo;

/// Starts Envoy with `policy` in front of the fleet and waits until it routes.
pub(crate) fn start(
    repo: &Repo,
    plan: &Plan,
    fleet: &Fleet,
    policy: Policy,
    public_admin: bool,
) -> Result<Envoy, Failure> {
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
        binary: &EnvoyBinary::find(repo.root())?,
        options,
        concurrency: WORKERS,
        log_level: "warning",
        log: None,
        shared_group: false,
    };
    Ok(Envoy::start(launch, directory)?)
}

impl Proxy for Envoy {
    fn listen(&self) -> SocketAddr {
        self.options().listen
    }

    fn group(&self) -> u32 {
        self.id()
    }

    fn log(&self) -> String {
        Self::log(self)
    }
}

/// How Plimsoll decided, from Envoy's own metrics.
pub(crate) fn ladder(envoy: &Envoy) -> Result<String, Failure> {
    let page = envoy.admin().get("/stats/prometheus")?.body;
    let mut steps: Vec<(&str, u64)> = page.lines().filter_map(decisions).collect();
    steps.sort_unstable();
    let total: u64 = steps.iter().map(|(_, count)| count).sum::<u64>().max(1);
    let parts: Vec<String> = steps
        .iter()
        .map(|(step, count)| format!("{step} {:.1} %", *count as f64 * 100.0 / total as f64))
        .collect();
    Ok(format!("plimsoll decided on: {}", parts.join(", ")))
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
