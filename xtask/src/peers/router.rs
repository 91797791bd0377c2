//! The routers that come as Python wheels. They share an ancestor, and so most of their command line.

use std::process::Command;

use plimsoll_envoy::process::free_address;
use serde_json::Value;

use crate::failure::Failure;
use crate::peers::process::Process;
use crate::race::Fleet;
use crate::repo::Repo;
use crate::{setup, step};

/// A router and what differs in starting it.
pub(super) struct Router {
    package: &'static str,
    /// Of `python -m`: two of the packages install a command of the same name.
    module: &'static [&'static str],
    arguments: &'static [&'static str],
}

/// Without it they wait for minutes for requests that will not end.
const SHUTDOWN: [&str; 2] = ["--shutdown-grace-period-secs", "1"];

pub(super) const SGLANG: Router = Router {
    package: "sglang-router",
    module: &["sglang_router.cli", "launch"],
    arguments: &SHUTDOWN,
};
pub(super) const SMG: Router = Router {
    package: "smg",
    module: &["smg.cli", "launch"],
    arguments: &SHUTDOWN,
};
pub(super) const VLLM: Router = Router {
    package: "vllm-router",
    module: &["vllm_router.launch_router"],
    arguments: &[],
};

impl Router {
    pub(super) fn version(&self, repo: &Repo) -> Option<String> {
        let program = "import importlib.metadata as m, sys; print(m.version(sys.argv[1]))";
        let text =
            step::output(Command::new(setup::python(repo)).args(["-c", program, self.package]));
        text.ok().map(|text| text.trim().to_owned())
    }

    pub(super) fn start(
        &self,
        repo: &Repo,
        fleet: &Fleet,
        more: &[String],
    ) -> Result<Process, Failure> {
        let (listen, metrics) = (free_address()?, free_address()?);
        let engines = fleet.addresses.len();
        let mut command = Command::new(setup::python(repo));
        command
            .arg("-m")
            .args(self.module)
            .args(["--policy", "cache_aware", "--log-level", "error"])
            .args(["--host", "127.0.0.1", "--port", &listen.port().to_string()])
            .args(["--prometheus-host", "127.0.0.1"])
            .args(["--prometheus-port", &metrics.port().to_string()])
            .args(self.arguments)
            .args(more)
            .arg("--worker-urls")
            .args(fleet.addresses.iter().map(|host| format!("http://{host}")));
        let directory = tempfile::tempdir()?;
        Process::start(&mut command, directory, listen, "/readiness", |body| {
            healthy_workers(body) == Some(engines as u64)
        })
    }
}

/// smg for this run: the least imbalance that breaks affinity as eight hosts need it instead of 64 requests, and its
/// intervals shortened like the engines' time, as Plimsoll's are.
pub(super) fn smg_tuning(speedup: f64) -> Vec<String> {
    let seconds = |default: f64| (default / speedup).round().max(1.0).to_string();
    [
        ("--balance-abs-threshold", "8".to_owned()),
        ("--balance-rel-threshold", "1.25".to_owned()),
        ("--load-monitor-interval", seconds(10.0)),
        ("--worker-warmup-secs", seconds(60.0)),
        ("--worker-wedge-secs", seconds(3.0)),
    ]
    .into_iter()
    .flat_map(|(name, value)| [name.to_owned(), value])
    .collect()
}

/// Of the routers' `/readiness`.
fn healthy_workers(body: &str) -> Option<u64> {
    let answer: Value = serde_json::from_str(body).ok()?;
    answer.get("healthy_workers")?.as_u64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_router_is_ready_when_it_says_how_many_engines_it_has() {
        let body = r#"{"status":"ready","healthy_workers":8,"total_workers":8}"#;
        assert_eq!(healthy_workers(body), Some(8));
        assert_eq!(healthy_workers("OK"), None);
    }

    #[test]
    fn tuned_intervals_are_whole_seconds() {
        let arguments = smg_tuning(8.0).join(" ");
        assert!(
            arguments
                .contains("--load-monitor-interval 1 --worker-warmup-secs 8 --worker-wedge-secs 1")
        );
        assert!(
            smg_tuning(1.0)
                .join(" ")
                .contains("--load-monitor-interval 10 ")
        );
    }
}
