//! A rival's process: a private directory, a log in it, and an address.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use plimsoll_envoy::process::{Guard, wait_for};
use plimsoll_envoy::{Admin, AdminClient};
use tempfile::TempDir;

use crate::failure::Failure;
use crate::interrupt;
use crate::race::Proxy;

/// Longest time from start to routing to every engine.
const READY: Duration = Duration::from_secs(60);
/// Bytes of the log that an error message repeats.
const LOG_BYTES: usize = 2_000;

/// A running rival; dropping it stops it.
pub(super) struct Process {
    // Declared first: the process ends before its directory goes.
    guard: Guard,
    listen: SocketAddr,
    directory: TempDir,
}

impl Process {
    /// Starts `command` with its output in a log in `directory`, and waits until `GET path` has an answer that `ready`
    /// accepts.
    pub(super) fn start(
        command: &mut Command,
        directory: TempDir,
        listen: SocketAddr,
        path: &str,
        ready: impl Fn(&str) -> bool,
    ) -> Result<Self, Failure> {
        let log = File::create(directory.path().join("log"))?;
        command
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let mut process = Self {
            guard: Guard::spawn(command)?,
            listen,
            directory,
        };
        let client = AdminClient::new(&Admin::Tcp(listen));
        let guard = &mut process.guard;
        let outcome = wait_for(READY, || match guard.ended() {
            _ if interrupt::requested() => Some(Err(Failure::Interrupted)),
            Ok(Some(status)) => Some(Err(Failure::new(format!("ended: {status}")))),
            Err(error) => Some(Err(error.into())),
            Ok(None) => {
                let answer = client.get(path).ok()?;
                (answer.status == 200 && ready(&answer.body)).then_some(Ok(()))
            }
        });
        match outcome {
            Some(Ok(())) => Ok(process),
            Some(Err(Failure::Interrupted)) => Err(Failure::Interrupted),
            Some(Err(failure)) => Err(Failure::new(format!("{failure}\n{}", process.log()))),
            None => Err(Failure::new(format!(
                "not ready within {} s\n{}",
                READY.as_secs(),
                process.log()
            ))),
        }
    }
}

impl Proxy for Process {
    fn listen(&self) -> SocketAddr {
        self.listen
    }

    fn group(&self) -> u32 {
        self.guard.id()
    }

    fn log(&self) -> String {
        let bytes = fs::read(self.directory.path().join("log")).unwrap_or_default();
        let end = &bytes[bytes.len().saturating_sub(LOG_BYTES)..];
        String::from_utf8_lossy(end).into_owned()
    }
}
