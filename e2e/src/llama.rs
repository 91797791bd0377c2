//! llama.cpp's own server with a tiny generated model.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use hyper::Request;
use plimsoll_envoy::process::{Guard, free_address};

use crate::artefacts::root;
use crate::client::{Client, Protocol, whole};
use crate::wait::until;

/// One running instance.
#[derive(Debug)]
pub struct LlamaCpp {
    /// Where it listens.
    pub address: SocketAddr,
    _guard: Guard,
}

impl LlamaCpp {
    /// Whether `cargo xtask setup --real-engine` has installed it.
    pub fn installed() -> bool {
        root().join(".tools/models/tiny.gguf").is_file()
    }

    /// Starts an instance on a free port and waits until it listens.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub async fn start() -> Self {
        tokio::task::spawn_blocking(Self::start_blocking)
            .await
            .expect("llama.cpp starts")
    }

    /// Waits until no request is being processed. The last event of a stream leaves before its slot is
    /// free; a request that comes in between gets another slot, whose cache is empty.
    ///
    /// # Panics
    ///
    /// When it stays busy.
    pub async fn idle(&self) {
        let mut client = Client::connect(self.address, Protocol::Http1).await;
        until("llama.cpp to be idle", async || {
            let request = Request::get(format!("http://{}/metrics", self.address))
                .header("host", self.address.to_string())
                .body(whole(""))
                .expect("a valid request");
            let page = client.send(request).await.body;
            let page = String::from_utf8_lossy(&page);
            page.lines()
                .any(|line| line == "llamacpp:requests_processing 0")
                .then_some(())
        })
        .await;
    }

    fn start_blocking() -> Self {
        let address = free_address().expect("a free port");
        let mut guard = Guard::spawn_shared(
            Command::new(root().join(".tools/venv/bin/python"))
                .arg(root().join("e2e/real-engine/serve.py"))
                .arg(root().join(".tools/models/tiny.gguf"))
                .arg(address.port().to_string())
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::null()),
        )
        .expect("python starts");
        let pipe = guard.child().stdout.take().expect("a pipe");
        let ready = BufReader::new(pipe)
            .lines()
            .map_while(Result::ok)
            .any(|line| line == "ready");
        assert!(ready, "llama.cpp's server did not start");
        Self {
            address,
            _guard: guard,
        }
    }
}
