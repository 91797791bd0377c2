//! Child processes that never outlive their owner.

use std::ffi::OsStr;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// How often a condition is looked at while waiting for it.
const LOOK: Duration = Duration::from_millis(10);

/// A running child. Dropping it stops the process: SIGTERM, then SIGKILL after a grace period.
#[derive(Debug)]
pub struct Guard {
    name: String,
    child: Child,
    group: Group,
}

#[derive(Clone, Copy, Debug)]
enum Group {
    Own,
    Shared,
}

/// How long a dropped guard lets its process end by itself.
const GRACE: Duration = Duration::from_secs(5);

impl Guard {
    /// Starts `command` in a process group of its own: a Ctrl-C in the terminal reaches only the
    /// parent, which then stops its children in order, with all that they have started.
    ///
    /// # Errors
    ///
    /// When the program cannot be started.
    pub fn spawn(command: &mut Command) -> io::Result<Self> {
        Self::start(command.process_group(0), Group::Own)
    }

    /// Starts `command` in the caller's process group: for tests, whose process may be ended with
    /// its whole group before any guard is dropped.
    ///
    /// # Errors
    ///
    /// When the program cannot be started.
    pub fn spawn_shared(command: &mut Command) -> io::Result<Self> {
        Self::start(command, Group::Shared)
    }

    fn start(command: &mut Command, group: Group) -> io::Result<Self> {
        let name = Path::new(command.get_program())
            .file_name()
            .unwrap_or_else(|| OsStr::new("child"));
        let name = name.to_string_lossy().into_owned();
        Ok(Self {
            name,
            child: command.spawn()?,
            group,
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
        self.signal(Signal::TERM)?;
        if let Some(status) = wait_for(grace, || self.child.try_wait().transpose()) {
            return status;
        }
        self.signal(Signal::KILL)?;
        self.child.wait()
    }

    /// Ends the process at once (SIGKILL), as an out-of-memory kill would. Idempotent.
    ///
    /// # Errors
    ///
    /// When the operating system refuses.
    pub fn kill(&mut self) -> io::Result<ExitStatus> {
        if let Some(status) = self.child.try_wait()? {
            return Ok(status);
        }
        self.signal(Signal::KILL)?;
        self.child.wait()
    }

    /// Freezes the process (SIGSTOP): its sockets stay open and nothing answers. It must be thawed before it can end
    /// by SIGTERM.
    ///
    /// # Errors
    ///
    /// When the operating system refuses.
    pub fn freeze(&self) -> io::Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets a frozen process go on (SIGCONT).
    ///
    /// # Errors
    ///
    /// When the operating system refuses.
    pub fn thaw(&self) -> io::Result<()> {
        self.signal(Signal::CONT)
    }

    /// The child has not been waited for, so its id belongs to it still.
    fn signal(&self, signal: Signal) -> io::Result<()> {
        let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) else {
            return Ok(());
        };
        match self.group {
            Group::Own => kill_process_group(pid, signal)?,
            Group::Shared => kill_process(pid, signal)?,
        }
        Ok(())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Err(error) = self.stop(GRACE) {
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
