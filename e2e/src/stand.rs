//! A running Envoy with the module, in front of some hosts.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use plimsoll_envoy::process::free_address;
use plimsoll_envoy::{
    AccessLog, Admin, Envoy, EnvoyBinary, Host, Jwt, Launch, LaunchError, Options, Policy,
    Response, Tls,
};
use serde_json::Value;

use crate::artefacts::{module, root};
use crate::client::{Client, Protocol};
use crate::metrics::Metrics;
use crate::wait::until;

const ACCESS_LOG: &str = "access.log";

/// What a test varies.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Servers behind the proxy.
    pub hosts: Vec<SocketAddr>,
    /// The module's configuration.
    pub configuration: Value,
    /// Who chooses the host.
    pub policy: Policy,
    /// The module; the shipped one when absent.
    pub module: Option<PathBuf>,
    /// Load the filter from a watched file.
    pub hot_swap: bool,
    /// Read the hosts from a watched file.
    pub discovery: bool,
    /// Worker threads.
    pub concurrency: u32,
    /// Write an access log ([`Stand::access_log`]).
    pub access_log: bool,
    /// TLS between clients and Envoy.
    pub tls: Option<Tls>,
    /// Tokens of clients.
    pub jwt: Option<Jwt>,
    /// Where other proxies ask what this one does.
    pub exchange: Option<SocketAddr>,
}

impl Setting {
    /// These hosts, and defaults for the rest: discovery, one worker.
    pub fn hosts(hosts: impl IntoIterator<Item = SocketAddr>) -> Self {
        Self {
            hosts: hosts.into_iter().collect(),
            configuration: Value::Object(serde_json::Map::new()),
            policy: Policy::Plimsoll,
            module: None,
            hot_swap: false,
            discovery: false,
            concurrency: 1,
            access_log: false,
            tls: None,
            jwt: None,
            exchange: None,
        }
    }

    /// The same with a configuration of the module.
    #[must_use]
    pub fn configuration(self, configuration: Value) -> Self {
        Self {
            configuration,
            ..self
        }
    }
}

/// Envoy, running.
#[derive(Debug)]
pub struct Stand {
    envoy: Envoy,
    hosts: usize,
    concurrency: u32,
}

impl Stand {
    /// Starts Envoy and waits until the module knows its hosts and how busy they are.
    ///
    /// # Panics
    ///
    /// When it does not come to that.
    pub async fn start(setting: Setting) -> Self {
        let stand = Self::launch(setting)
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        stand.informed().await;
        stand
    }

    /// Starts Envoy.
    ///
    /// # Errors
    ///
    /// With Envoy's own words when it refuses.
    ///
    /// # Panics
    ///
    /// When there is no Envoy on this machine.
    pub async fn launch(setting: Setting) -> Result<Self, LaunchError> {
        let launched = tokio::task::spawn_blocking(move || Self::launch_blocking(&setting));
        launched.await.expect("the launch does not panic")
    }

    fn launch_blocking(setting: &Setting) -> Result<Self, LaunchError> {
        let binary = EnvoyBinary::find(&root()).unwrap_or_else(|error| panic!("{error}"));
        let directory = Envoy::directory()?;
        let options = Options {
            listen: free_address()?,
            tls: setting.tls.clone(),
            jwt: setting.jwt.clone(),
            exchange: setting.exchange,
            admin: Admin::private(directory.path()),
            hosts: setting.hosts.iter().copied().map(Host::from).collect(),
            policy: setting.policy,
            endpoints: setting
                .discovery
                .then(|| directory.path().join("endpoints.json")),
            module: setting
                .module
                .clone()
                .unwrap_or_else(|| module().to_path_buf()),
            configuration: setting.configuration.to_string(),
            hot_swap: setting
                .hot_swap
                .then(|| directory.path().join("filter.json")),
            access_log: if setting.access_log {
                AccessLog::File(directory.path().join(ACCESS_LOG))
            } else {
                AccessLog::Off
            },
            ..Options::default()
        };
        let launch = Launch {
            binary: &binary,
            options,
            concurrency: setting.concurrency,
            log_level: "info",
            log: None,
            shared_group: true,
        };
        let envoy = Envoy::start(launch, directory)?;
        Ok(Self {
            envoy,
            hosts: setting.hosts.len(),
            concurrency: setting.concurrency,
        })
    }

    /// Waits until every worker holds a snapshot that carries the engines' own figures.
    async fn informed(&self) {
        let hosts = self.hosts as f64;
        let polled = until("every host to be polled", async || {
            let metrics = self.metrics();
            let known = metrics.count("plimsoll_hosts", "") >= hosts;
            let polled = metrics.count("plimsoll_polls", "result=\"ok\"") >= 2.0 * hosts;
            (known && polled).then(|| metrics.count("plimsoll_snapshots", "result=\"applied\""))
        })
        .await;
        // Each worker, and the filter's instance on the main thread, counts every snapshot it takes.
        let holders = f64::from(self.concurrency + 1);
        until("every worker to take a snapshot", async || {
            let taken = self
                .metrics()
                .count("plimsoll_snapshots", "result=\"applied\"")
                - polled;
            (taken >= 2.0 * holders).then_some(())
        })
        .await;
    }

    /// Waits until no request is in flight; the gauge follows by the tick.
    ///
    /// # Panics
    ///
    /// When one is never released.
    pub async fn released(&self) {
        until("every request to be released", async || {
            (self.metrics().count("plimsoll_inflight", "") == 0.0).then_some(())
        })
        .await;
    }

    /// Where clients connect.
    pub const fn address(&self) -> SocketAddr {
        self.envoy.options().listen
    }

    /// A new connection.
    pub async fn client(&self, protocol: Protocol) -> Client {
        Client::connect(self.address(), protocol).await
    }

    /// `GET` on the admin interface.
    ///
    /// # Panics
    ///
    /// When Envoy is gone.
    pub fn admin(&self, path: &str) -> Response {
        self.envoy
            .admin()
            .get(path)
            .unwrap_or_else(|error| panic!("{path}: {error}\n{}", self.log()))
    }

    /// Waits until the counter `name`, summed over its labels, stands at `value`: counters reach Envoy by the tick.
    ///
    /// # Panics
    ///
    /// When it never does.
    pub async fn until_counted(&self, name: &str, value: f64) {
        until(&format!("{name} to be {value}"), async || {
            (self.metrics().count(name, "") == value).then_some(())
        })
        .await;
    }

    /// The Prometheus page.
    pub fn metrics(&self) -> Metrics {
        Metrics::new(self.admin("/stats/prometheus").body)
    }

    /// One of Envoy's own statistics by its full name, 0 when absent.
    pub fn stat(&self, name: &str) -> u64 {
        let page = self.admin("/stats").body;
        let value = page
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        value
            .and_then(|value| value.trim().parse().ok())
            .unwrap_or_default()
    }

    /// Replaces the filter: `change` alters what Envoy was started with.
    ///
    /// # Panics
    ///
    /// When the watched file cannot be written.
    pub fn swap(&mut self, version: &str, change: impl FnOnce(&mut Options)) {
        let mut options = self.envoy.options().clone();
        change(&mut options);
        self.envoy
            .swap(options, version)
            .expect("the watched file is written");
    }

    /// Replaces the list of hosts; those in `draining` finish what they have.
    ///
    /// # Panics
    ///
    /// When the stand was not started with [`Setting::discovery`].
    pub fn set_hosts(&mut self, hosts: &[SocketAddr], draining: &[SocketAddr], version: &str) {
        let hosts: Vec<Host> = hosts.iter().copied().map(Host::from).collect();
        self.envoy
            .set_hosts(&hosts, draining, version)
            .expect("the watched file is written");
    }

    /// The module with other bytes, so that Envoy starts new VMs: a custom section changes the code's hash.
    ///
    /// # Panics
    ///
    /// When it cannot be read or written.
    pub fn second_module(&self) -> PathBuf {
        let mut code = std::fs::read(module()).expect("the module is there");
        code.extend_from_slice(b"\0\x05\x04swap");
        let path = self.path().join("second.wasm");
        std::fs::write(&path, code).expect("the directory is ours");
        path
    }

    /// Envoy's process id.
    pub fn pid(&self) -> u32 {
        self.envoy.id()
    }

    /// Envoy's private directory, for files of the test.
    pub fn path(&self) -> &Path {
        self.envoy.path()
    }

    /// The lines of the access log so far.
    ///
    /// # Panics
    ///
    /// When a line is not JSON.
    pub fn access_log(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.path().join(ACCESS_LOG)).unwrap_or_default();
        text.lines()
            .map(|line| serde_json::from_str(line).expect("a JSON line"))
            .collect()
    }

    /// Envoy's log.
    pub fn log(&self) -> String {
        self.envoy.log()
    }

    /// Asserts that the module has not trapped and Envoy has not complained about it.
    ///
    /// # Panics
    ///
    /// When it has.
    pub fn assert_sound(&self) {
        let log = self.log();
        for sign in [
            "panicked",
            "Uncaught",
            "RuntimeError",
            "Function: proxy_",
            "[critical]",
        ] {
            assert!(!log.contains(sign), "{sign} in Envoy's log:\n{log}");
        }
    }
}
