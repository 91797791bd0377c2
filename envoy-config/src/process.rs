//! Child processes that never outlive their owner.

use std::ffi::OsStr;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How often a condition is looked at while waiting for it.
const LOOK: Duration = Duration::from_millis(10);

/// A running child. Dropping it stops the process: SIGTERM, then SIGKILL after a grace period.
#[derive(Debug)]
pub struct Guard {
    name: String,
    child: Child,
    grace: Duration,
}

impl Guard {
    /// Starts `command` in a process group of its own, so that a Ctrl-C in the terminal reaches
    /// only the parent, which then stops its children in order.
    ///
    /// # Errors
    ///
    /// When the program cannot be started.
    pub fn spawn(command: &mut Command) -> io::Result<Self> {
        let name = command.get_program();
        let name = std::path::Path::new(name)
            .file_name()
            .unwrap_or_else(|| OsStr::new("child"));
        let name = name.to_string_lossy().into_owned();
        let child = command.process_group(0).spawn()?;
        Ok(Self {
            name,
            child,
            grace: Duration::from_secs(5),
        })
    }

    /// The operating system's process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The child, for its pipes.
    pub const fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// The exit status if the process has ended on its own.
    ///
    /// # Errors
    ///
    /// When the operating system refuses to say.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Asks the process to end (SIGTERM), waits `grace`, then kills it. Idempotent.
    ///
    /// # Errors
    ///
    /// When the operating system refuses.
    pub fn stop(&mut self, grace: Duration) -> io::Result<ExitStatus> {
        if let Some(status) = self.child.try_wait()? {
            return Ok(status);
        }
        // The child has not been waited for, so its id cannot have been given to another process.
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            kill_process(pid, Signal::TERM)?;
        }
        let ended = wait_for(grace, || self.child.try_wait().transpose());
        match ended {
            Some(status) => status,
            None => {
                self.child.kill()?;
                self.child.wait()
            }
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Err(error) = self.stop(self.grace) {
            eprintln!("cannot stop {} ({}): {error}", self.name, self.child.id());
        }
    }
}

/// Looks at `condition` until it yields a value or `deadline` has passed.
pub fn wait_for<T>(deadline: Duration, mut condition: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return Some(value);
        }
        if start.elapsed() >= deadline {
            return None;
        }
        thread::sleep(LOOK);
    }
}

/// A loopback address with a port that was free a moment ago.
///
/// # Errors
///
/// When the machine has no free port.
pub fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

#[cfg(test)]
mod tests;
