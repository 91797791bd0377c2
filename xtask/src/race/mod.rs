//! The same traffic on the same engines through one proxy after the other: what `demo` and `peers` are made of.

mod cpu;
pub(crate) mod envoy;
mod fleet;
mod plan;
pub(crate) mod report;

use std::fs;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use plimsoll_envoy::process::Guard;

pub(crate) use self::fleet::Fleet;
pub(crate) use self::plan::{Plan, parse_load};
pub(crate) use self::report::Target;
use crate::failure::Failure;
use crate::repo::Repo;
use crate::step;

/// Worker threads or processes of a proxy. More than one, since those of Envoy share nothing but the tick.
pub(crate) const WORKERS: u32 = 2;

/// Share of late timers beyond which a measurement says more about this machine than about the proxy.
const TOO_LATE: f64 = 0.1;

/// A proxy under test.
pub(crate) trait Proxy {
    /// Where clients connect.
    fn listen(&self) -> SocketAddr;
    /// Its process group, which is its own.
    fn group(&self) -> u32;
    /// The end of what it logged, for error messages.
    fn log(&self) -> String;
}

/// Replays the plan's traffic through `proxy` and returns what the clients saw.
pub(crate) fn replay(
    repo: &Repo,
    plan: &Plan,
    fleet: &Fleet,
    proxy: &dyn Proxy,
    name: &str,
) -> Result<Target, Failure> {
    let directory = tempfile::tempdir()?;
    let result = directory.path().join("result.json");
    let before = cpu::seconds(proxy.group())?;
    let mut guard = Guard::spawn(
        Command::new(repo.sim())
            .args(["load", "--target", &format!("http://{}", proxy.listen())])
            .args(plan.load_arguments())
            .args(["--engines", &fleet.list(), "--name", name, "--json"])
            .arg(&result)
            .stdin(Stdio::null()),
    )?;
    let status = step::wait(&mut guard)?;
    if !status.success() {
        return Err(Failure::new(format!(
            "plimsoll-sim load: {status}\n{}",
            proxy.log()
        )));
    }
    let used = cpu::seconds(proxy.group())? - before;
    let mut target: Target = serde_json::from_str(&fs::read_to_string(result)?)?;
    target.set_proxy_cpu(used / f64::from(plan.limit));
    Ok(target)
}

/// A line for each target whose figures the machine was too busy for.
pub(crate) fn doubts(targets: &[Target]) -> Vec<String> {
    let late = |target: &&Target| target.late_share() > TOO_LATE;
    let line = |target: &Target| {
        format!(
            "{}: {:.0} % of departures or engine steps were more than 5 ms late: this machine was too busy, measure \
             again when it is quiet",
            target.name,
            target.late_share() * 100.0
        )
    };
    targets.iter().filter(late).map(line).collect()
}
