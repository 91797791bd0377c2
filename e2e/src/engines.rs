//! Simulated engines as a child process.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use hyper::Request;
use plimsoll_envoy::process::Guard;
use serde_json::Value;

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
        let started = tokio::task::spawn_blocking(move || Self::start_blocking(count, speedup));
        started.await.expect("the engines start")
    }

    fn start_blocking(count: usize, speedup: u32) -> Self {
        let mut guard = Guard::spawn_shared(
            Command::new(sim())
                .args([
                    "engines",
                    "--base-port",
                    "0",
                    "--fleet",
                    &format!("{count}xh200"),
                ])
                .args(["--speedup", &speedup.to_string()])
                .stdin(Stdio::null())
                .stdout(Stdio::piped()),
        )
        .expect("plimsoll-sim starts");
        let mut line = String::new();
        let pipe = guard.child().stdout.take().expect("a pipe");
        BufReader::new(pipe).read_line(&mut line).expect("a line");
        let addresses: Vec<SocketAddr> = line
            .trim()
            .strip_prefix("ready ")
            .unwrap_or_else(|| panic!("not ready: {line:?}"))
            .split(',')
            .map(|address| address.parse().expect("an address"))
            .collect();
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
    pub async fn fault(&self, host: SocketAddr, order: &Value) {
        let mut client = Client::connect(host, Protocol::Http1).await;
        let request = Request::post(format!("http://{host}/faults"))
            .header("host", host.to_string())
            .body(whole(order.to_string()))
            .expect("a valid request");
        let reply = client.send(request).await;
        assert!(reply.status.is_success(), "{order}: {:?}", reply.body);
    }
}
