//! llama.cpp's own server with a tiny generated model.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use plimsoll_envoy::process::{Guard, free_address};

use crate::artefacts::root;

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
