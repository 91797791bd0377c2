//! Simulated engines, each in a process of its own, so that one can be killed or frozen without the others.

use std::net::SocketAddr;
use std::time::Duration;

use plimsoll_envoy::process::{Guard, free_address};
use serde_json::{Value, json};

use crate::engines::{order, spawn};

/// Engines in processes of their own.
#[derive(Debug)]
pub struct Fleet {
    /// What each is (`h200`, `l4`), how many times faster than real, and where it listens.
    kind: String,
    speedup: u32,
    /// Their addresses, in order.
    pub addresses: Vec<SocketAddr>,
    processes: Vec<Option<Guard>>,
}

impl Fleet {
    /// Starts `count` engines of `kind`.
    ///
    /// # Panics
    ///
    /// When they do not start.
    pub async fn start(count: usize, kind: &str, speedup: u32) -> Self {
        let mut fleet = Self {
            kind: kind.to_owned(),
            speedup,
            addresses: Vec::new(),
            processes: Vec::new(),
        };
        for index in 0..count {
            fleet.addresses.push(free_address().expect("a free port"));
            fleet.processes.push(None);
            fleet.restart(index).await;
        }
        fleet
    }

    /// How many there are, dead ones included.
    pub const fn len(&self) -> usize {
        self.addresses.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.addresses.is_empty()
    }

    /// `kill -9`.
    ///
    /// # Panics
    ///
    /// When there is no such process.
    pub fn kill(&mut self, index: usize) {
        let mut process = self.processes[index].take().expect("it runs");
        process.kill().expect("it can be killed");
    }

    /// Starts an engine again where it was, with an empty cache.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub async fn restart(&mut self, index: usize) {
        let port = self.addresses[index].port();
        let (fleet, speedup) = (format!("1x{}", self.kind), self.speedup);
        let started = tokio::task::spawn_blocking(move || spawn(port, &fleet, speedup));
        let (guard, addresses) = started.await.expect("the engine starts");
        assert_eq!(addresses, [self.addresses[index]]);
        self.processes[index] = Some(guard);
    }

    /// Freezes the process: its sockets stay open and nothing answers.
    ///
    /// # Panics
    ///
    /// When there is no such process.
    pub fn freeze(&self, index: usize) {
        let process = self.processes[index].as_ref().expect("it runs");
        process.freeze().expect("it can be frozen");
    }

    /// Lets a frozen process go on.
    ///
    /// # Panics
    ///
    /// When there is no such process.
    pub fn thaw(&self, index: usize) {
        let process = self.processes[index].as_ref().expect("it runs");
        process.thaw().expect("it can be thawed");
    }

    /// Asks an engine to misbehave; `fault` is a body of its `/faults`.
    ///
    /// # Panics
    ///
    /// When it refuses.
    pub async fn fault(&self, index: usize, fault: Value) {
        order(self.addresses[index], &fault).await;
    }

    /// Ends every fault of an engine.
    ///
    /// # Panics
    ///
    /// When it refuses.
    pub async fn heal(&self, index: usize) {
        self.fault(index, json!({"kind": "clear"})).await;
    }

    /// The largest delay of any engine's step behind its time: a machine that is too busy keeps no engine's time.
    pub async fn late(&self) -> Duration {
        let mut worst = 0;
        for index in 0..self.len() {
            let state = self.state(index).await.unwrap_or_default();
            worst = worst.max(state["worst_lag_us"].as_u64().unwrap_or_default());
        }
        Duration::from_micros(worst)
    }

    /// An engine's own account (its `/state`); `None` when it is not there to tell.
    pub async fn state(&self, index: usize) -> Option<Value> {
        crate::engines::state(self.addresses[index]).await
    }
}

impl Drop for Fleet {
    /// A frozen process cannot end by itself.
    fn drop(&mut self) {
        for process in self.processes.iter().flatten() {
            // One that has ended meanwhile cannot be thawed and need not be.
            let _ = process.thaw();
        }
    }
}
