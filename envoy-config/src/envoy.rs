//! Starts the Envoy binary with a configuration and waits until it routes.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::admin::AdminClient;
use crate::options::{Admin, Host, Options, Policy};
use crate::process::{Guard, wait_for};
use crate::render::{render, render_discovery, render_endpoints};

/// Environment variable that names another Envoy binary.
const BINARY: &str = "PLIMSOLL_ENVOY";
/// Longest time to `/ready`: V8 compiles the module once per process, health checks run once.
const READY: Duration = Duration::from_secs(30);
/// Longest graceful end.
const GRACE: Duration = Duration::from_secs(5);
/// How much of the log an error message repeats.
const LOG_LINES: usize = 12;

/// Where the Envoy binary is.
#[derive(Clone, Debug)]
pub struct EnvoyBinary(PathBuf);

impl EnvoyBinary {
    /// The binary that `cargo xtask setup` installed under `root`, or the one named by the
    /// environment variable `PLIMSOLL_ENVOY`.
    ///
    /// # Errors
    ///
    /// [`LaunchError::NoBinary`] when there is none.
    pub fn find(root: &Path) -> Result<Self, LaunchError> {
        let installed = root.join(".tools/bin/envoy");
        let path = std::env::var_os(BINARY).map_or(installed, PathBuf::from);
        if path.is_file() {
            Ok(Self(path))
        } else {
            Err(LaunchError::NoBinary(path))
        }
    }

    /// Path of the binary.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// `envoy --mode validate`.
    ///
    /// # Errors
    ///
    /// [`LaunchError::Refused`] with Envoy's own words.
    pub fn validate(&self, config: &Path, directory: &Path) -> Result<(), LaunchError> {
        let output = Command::new(&self.0)
            .args([
                "--mode",
                "validate",
                "--log-level",
                "error",
                "--config-path",
            ])
            .arg(config)
            .current_dir(directory)
            .output()?;
        if output.status.success() {
            return Ok(());
        }
        Err(LaunchError::Refused(
            String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        ))
    }
}

/// How to start Envoy.
#[derive(Debug)]
pub struct Launch<'a> {
    /// The binary.
    pub binary: &'a EnvoyBinary,
    /// The configuration. `hot_swap: Some(_)` is served from the instance's own directory.
    pub options: Options,
    /// Worker threads.
    pub concurrency: u32,
    /// Envoy's log level (`info`, `warning`, `error`).
    pub log_level: &'a str,
    /// Where the log goes: `None` keeps it in the instance's directory.
    pub log: Option<Stdio>,
    /// [`Guard::spawn_shared`] instead of [`Guard::spawn`].
    pub shared_group: bool,
}

/// A running Envoy with a private directory for its configuration, socket and log.
///
/// Dropping it stops the process and removes the directory.
#[derive(Debug)]
pub struct Envoy {
    // Declared first: the process ends before its directory goes.
    guard: Guard,
    admin: AdminClient,
    options: Options,
    directory: TempDir,
}

impl Envoy {
    /// A configuration's private directory: mode 0700, short enough for a unix socket's path.
    ///
    /// # Errors
    ///
    /// When it cannot be created.
    pub fn directory() -> io::Result<TempDir> {
        tempfile::Builder::new().prefix("plimsoll-").tempdir()
    }

    /// Writes the configuration and starts the process. Does not wait for it: see [`Self::ready`].
    ///
    /// # Errors
    ///
    /// When files cannot be written or the binary does not start.
    pub fn spawn(launch: Launch<'_>, directory: TempDir) -> Result<Self, LaunchError> {
        let Launch {
            binary,
            options,
            concurrency,
            log_level,
            log,
            shared_group,
        } = launch;
        let config = directory.path().join("envoy.json");
        fs::write(&config, render(&options))?;
        if let (Policy::Plimsoll, Some(path)) = (options.policy, &options.hot_swap) {
            fs::write(path, render_discovery(&options, "1"))?;
        }
        if let Some(path) = &options.endpoints {
            fs::write(path, render_endpoints(&options.hosts, &[], "1"))?;
        }
        let log = match log {
            Some(stdio) => stdio,
            None => File::create(directory.path().join("envoy.log"))?.into(),
        };
        let mut command = Command::new(binary.path());
        command
            // No shared memory with, and no hot restart of, another Envoy on this machine.
            .arg("--disable-hot-restart")
            .arg("--config-path")
            .arg(&config)
            .args(["--concurrency", &concurrency.to_string()])
            .args(["--log-level", log_level])
            // Streams that run at the end get this long; the guard kills after its own grace.
            .args(["--drain-time-s", "2"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        let guard = if shared_group {
            Guard::spawn_shared(&mut command)?
        } else {
            Guard::spawn(&mut command)?
        };
        let admin = AdminClient::new(&options.admin);
        Ok(Self {
            guard,
            admin,
            options,
            directory,
        })
    }

    /// [`Self::spawn`], then waits until Envoy answers `/ready` with 200.
    ///
    /// # Errors
    ///
    /// [`LaunchError::Refused`] when it ends instead, [`LaunchError::NotReady`] when it takes too
    /// long; both with the end of its log.
    pub fn start(launch: Launch<'_>, directory: TempDir) -> Result<Self, LaunchError> {
        let mut envoy = Self::spawn(launch, directory)?;
        let outcome = wait_for(READY, || {
            if envoy.ready() {
                return Some(true);
            }
            matches!(envoy.guard.ended(), Ok(Some(_))).then_some(false)
        });
        match outcome {
            Some(true) => Ok(envoy),
            Some(false) => Err(LaunchError::Refused(envoy.log_tail())),
            None => Err(LaunchError::NotReady(envoy.log_tail())),
        }
    }

    /// Whether Envoy has loaded everything and takes requests.
    pub fn ready(&self) -> bool {
        self.admin
            .get("/ready")
            .is_ok_and(|response| response.status == 200)
    }

    /// The exit status if Envoy has ended.
    ///
    /// # Errors
    ///
    /// When the operating system refuses to say.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.guard.ended()
    }

    /// Operating system's process id, for CPU accounting.
    pub fn id(&self) -> u32 {
        self.guard.id()
    }

    /// The admin interface.
    pub const fn admin(&self) -> &AdminClient {
        &self.admin
    }

    /// What this Envoy was started with.
    pub const fn options(&self) -> &Options {
        &self.options
    }

    /// Its private directory.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Replaces the filter under load: writes the watched file beside its place and renames it in.
    ///
    /// # Errors
    ///
    /// When Envoy was not started with [`Options::hot_swap`], or the file cannot be written.
    pub fn swap(&mut self, options: Options, version: &str) -> io::Result<()> {
        let Some(path) = self.options.hot_swap.clone() else {
            return Err(io::Error::other("this Envoy has the filter inline"));
        };
        replace(&path, &render_discovery(&options, version))
    }

    /// Replaces the list of hosts under load; those in `draining` finish what they have.
    ///
    /// # Errors
    ///
    /// When Envoy was not started with [`Options::endpoints`], or the file cannot be written.
    pub fn set_hosts(
        &mut self,
        hosts: &[Host],
        draining: &[SocketAddr],
        version: &str,
    ) -> io::Result<()> {
        let Some(path) = &self.options.endpoints else {
            return Err(io::Error::other("this Envoy has its hosts inline"));
        };
        replace(path, &render_endpoints(hosts, draining, version))
    }

    /// The log so far, empty when it went elsewhere.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("envoy.log")).unwrap_or_default()
    }

    /// Stops Envoy: SIGTERM, then SIGKILL after five seconds.
    ///
    /// # Errors
    ///
    /// When the operating system refuses.
    pub fn stop(&mut self) -> io::Result<ExitStatus> {
        self.guard.stop(GRACE)
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let from = lines.len().saturating_sub(LOG_LINES);
        lines.get(from..).unwrap_or_default().join("\n")
    }
}

/// Writes beside `path` and renames over it, which is what Envoy watches for.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let beside = path.with_extension("next");
    fs::write(&beside, text)?;
    fs::rename(beside, path)
}

/// The admin socket inside an instance's directory.
impl Admin {
    /// A unix socket in `directory`.
    pub fn private(directory: &Path) -> Self {
        Self::Unix(directory.join("admin.sock"))
    }
}

/// Why Envoy does not run.
#[derive(Debug)]
pub enum LaunchError {
    /// No binary at this path.
    NoBinary(PathBuf),
    /// Files or the process could not be created.
    Io(io::Error),
    /// Envoy ended: the configuration was refused. The end of its log.
    Refused(String),
    /// Envoy did not become ready in time. The end of its log.
    NotReady(String),
}

impl From<io::Error> for LaunchError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl fmt::Display for LaunchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoBinary(path) => {
                write!(f, "no Envoy at {}: run `cargo xtask setup`", path.display())
            }
            Self::Io(error) => write!(f, "cannot start Envoy: {error}"),
            Self::Refused(log) => write!(f, "Envoy refused to start:\n{log}"),
            Self::NotReady(log) => write!(f, "Envoy did not become ready:\n{log}"),
        }
    }
}

impl std::error::Error for LaunchError {}
