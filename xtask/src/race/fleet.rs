//! Simulated engines as a child process.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use plimsoll_envoy::process::Guard;

use crate::failure::Failure;
use crate::race::Plan;
use crate::repo::Repo;

/// Running engines; dropping it stops them.
pub(crate) struct Fleet {
    pub(crate) addresses: Vec<SocketAddr>,
    _guard: Guard,
}

impl Fleet {
    /// Starts `plimsoll-sim engines` on free ports and waits until all of them listen.
    pub(crate) fn start(repo: &Repo, plan: &Plan) -> Result<Self, Failure> {
        let mut guard = Guard::spawn(
            Command::new(repo.sim())
                .args(["engines", "--base-port", "0", "--fleet", &plan.fleet])
                .args(["--speedup", &plan.speedup.to_string()])
                .args(["--stream-interval", &plan.stream_interval.to_string()])
                .stdin(Stdio::null())
                .stdout(Stdio::piped()),
        )?;
        let pipe = guard.child().stdout.take();
        let mut line = String::new();
        if let Some(pipe) = pipe {
            BufReader::new(pipe).read_line(&mut line)?;
        }
        let addresses = line
            .trim()
            .strip_prefix("ready ")
            .and_then(|list| list.split(',').map(|item| item.parse().ok()).collect())
            .ok_or_else(|| Failure::new(format!("plimsoll-sim engines did not start: {line:?}")))?;
        Ok(Self {
            addresses,
            _guard: guard,
        })
    }

    /// The addresses as command lines want them.
    pub(crate) fn list(&self) -> String {
        let addresses: Vec<String> = self.addresses.iter().map(ToString::to_string).collect();
        addresses.join(",")
    }
}
