//! Simulated engines as a child process.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use hyper::Request;
use plimsoll_envoy::process::Guard;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::artefacts::sim;
use crate::client::{Client, Protocol, whole};

/// A running fleet of `plimsoll-sim engines`.
#[derive(Debug)]
pub struct Engines {
    /// Their addresses, in order.
    pub addresses: Vec<SocketAddr>,
    _guard: Guard,
}

impl Engines {
    /// `count` engines of one kind, `speedup` times faster than real ones.
    ///
    /// # Panics
    ///
    /// When they do not start.
    pub async fn start(count: usize, speedup: u32) -> Self {
        let started =
            tokio::task::spawn_blocking(move || spawn(0, &format!("{count}xh200"), speedup));
        let (guard, addresses) = started.await.expect("the engines start");
        Self {
            addresses,
            _guard: guard,
        }
    }

    /// Asks `host` to misbehave; `order` is a body of its `/faults`.
    ///
    /// # Panics
    ///
    /// When it refuses.
    pub async fn fault(&self, host: SocketAddr, fault: &Value) {
        order(host, fault).await;
    }
}

/// Starts `plimsoll-sim engines` from `base_port` on (0: free ports) and waits until all of `fleet` listen.
pub(crate) fn spawn(base_port: u16, fleet: &str, speedup: u32) -> (Guard, Vec<SocketAddr>) {
    let mut guard = Guard::spawn_shared(
        Command::new(sim())
            .args(["engines", "--base-port", &base_port.to_string()])
            .args(["--fleet", fleet, "--speedup", &speedup.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped()),
    )
    .expect("plimsoll-sim starts");
    let mut line = String::new();
    let pipe = guard.child().stdout.take().expect("a pipe");
    BufReader::new(pipe).read_line(&mut line).expect("a line");
    let addresses = line
        .trim()
        .strip_prefix("ready ")
        .unwrap_or_else(|| panic!("not ready: {line:?}"))
        .split(',')
        .map(|address| address.parse().expect("an address"))
        .collect();
    (guard, addresses)
}

/// Asks `host` to misbehave.
pub(crate) async fn order(host: SocketAddr, fault: &Value) {
    let mut client = Client::connect(host, Protocol::Http1).await;
    let request = Request::post(format!("http://{host}/faults"))
        .header("host", host.to_string())
        .body(whole(fault.to_string()))
        .expect("a valid request");
    let reply = client.send(request).await;
    assert!(reply.status.is_success(), "{fault}: {:?}", reply.body);
}

/// What `host` says of itself; `None` when it does not.
pub(crate) async fn state(host: SocketAddr) -> Option<Value> {
    const PATIENCE: Duration = Duration::from_secs(2);
    timeout(PATIENCE, TcpStream::connect(host))
        .await
        .ok()?
        .ok()?;
    let mut client = Client::connect(host, Protocol::Http1).await;
    let request = Request::get(format!("http://{host}/state"))
        .header("host", host.to_string())
        .body(whole(""))
        .expect("a valid request");
    let reply = timeout(PATIENCE, client.try_send(request))
        .await
        .ok()?
        .ok()?;
    serde_json::from_slice(&reply.body).ok()
}
