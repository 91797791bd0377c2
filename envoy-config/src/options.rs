//! What a rendered configuration may differ in. Everything else is fixed and explained in `README.md`.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// One upstream server, an address that Envoy connects to directly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Host {
    /// Literal address: the pick header names hosts by `ip:port`, so names cannot be used.
    pub address: SocketAddr,
    /// Relative capacity, 1 to 128. A prior for Plimsoll, the share for weighted round robin.
    pub weight: u32,
}

impl From<SocketAddr> for Host {
    fn from(address: SocketAddr) -> Self {
        Self { address, weight: 1 }
    }
}

/// Where Envoy's admin interface listens. Envoy has exactly one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admin {
    /// A unix socket, readable by the owner only: nothing on the network reaches it.
    Unix(PathBuf),
    /// A TCP address, for people and Prometheus. The module then polls this same address.
    Tcp(SocketAddr),
}

/// Who chooses the host of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// The module names the hosts; Envoy's `least_request` where it names none.
    Plimsoll,
    /// Envoy's `round_robin`, without the module.
    RoundRobin,
    /// Envoy's `least_request` over all hosts (full scan, not two random choices), without the module.
    LeastRequest,
}

impl Policy {
    /// The name used on command lines and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plimsoll => "plimsoll",
            Self::RoundRobin => "round_robin",
            Self::LeastRequest => "least_request",
        }
    }
}

/// How Envoy itself checks that a host is alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HealthCheck {
    /// No active check; passive signals only.
    Off,
    /// `GET` of this path every two seconds. Any status below 500 counts as alive, so a server
    /// without that path is not thrown out, and an engine that answers 503 while it loads is.
    Http(String),
}

/// Where the access log goes, one JSON object a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessLog {
    /// No access log.
    Off,
    /// To this file (`/dev/stdout` works).
    File(PathBuf),
}

/// TLS between clients and Envoy, at least version 1.2, HTTP/2 or HTTP/1.1. All files are PEM and are read at start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The server's certificate and what leads to its authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Authorities of clients: with it, who shows no certificate of theirs is turned away (mTLS).
    pub client_authorities: Option<PathBuf>,
}

/// Tokens that clients must bring (`authorization: Bearer`), checked by Envoy's `jwt_authn` filter before the module sees a request. What a token says is handed
/// to the module (`identity.jwt_claim`), and the token goes no further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jwt {
    /// Who must have issued them (`iss`).
    pub issuer: String,
    /// The keys that they are signed with, a JSON Web Key Set; read at start.
    pub keys: PathBuf,
}

/// Everything that varies between two rendered configurations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// TLS of that address; `None` is plain text.
    pub tls: Option<Tls>,
    /// Tokens of clients; `None` asks for none.
    pub jwt: Option<Jwt>,
    /// Where the admin interface listens.
    pub admin: Admin,
    /// The servers behind the proxy.
    pub hosts: Vec<Host>,
    /// Read the servers from this watched file ([`crate::render_endpoints`]) instead, so that they can come and go
    /// without a restart. `None` puts `hosts` inline.
    pub endpoints: Option<PathBuf>,
    /// Who picks the host.
    pub policy: Policy,
    /// The module, as a path that Envoy can open.
    pub module: PathBuf,
    /// The module's own configuration, JSON text. `{}` means: discover the hosts from Envoy.
    pub configuration: String,
    /// Load the filter through this watched file ([`crate::render_discovery`]), so that module and
    /// configuration can be replaced under load. `None` puts the filter inline.
    pub hot_swap: Option<PathBuf>,
    /// Where other proxies ask what this one does. A private address: whoever reaches it reads how busy the servers are. The module asks
    /// others if its configuration names them (`exchange.peers`). `None` has no such listener.
    pub exchange: Option<SocketAddr>,
    /// Envoy's active health check.
    pub health_check: HealthCheck,
    /// Access log.
    pub access_log: AccessLog,
}

impl Default for Options {
    /// Two engines on this machine, everything private: the configuration of `envoy.yaml`.
    fn default() -> Self {
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self {
            listen: local(10_000),
            tls: None,
            jwt: None,
            admin: Admin::Unix(PathBuf::from("plimsoll-admin.sock")),
            hosts: vec![local(8_001).into(), local(8_002).into()],
            endpoints: None,
            policy: Policy::Plimsoll,
            module: PathBuf::from("target/plimsoll.wasm"),
            configuration: "{}".to_owned(),
            hot_swap: None,
            exchange: None,
            health_check: HealthCheck::Http("/health".to_owned()),
            access_log: AccessLog::Off,
        }
    }
}
