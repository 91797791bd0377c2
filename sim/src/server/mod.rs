//! Engines over HTTP in real time, compatible with vLLM's server as far as a router and its clients can tell.
//!
//! A request passes `http` (routing, faults) -> `request` (what is asked) -> `host` (queue, step loop) -> `chunk` (wire
//! form) -> `sink` (bytes to the connection).

mod chunk;
mod faults;
mod host;
mod http;
mod metrics;
mod render;
mod request;
mod sink;
#[cfg(test)]
mod tests;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::task::JoinSet;

use crate::engine::Gpu;
use host::{Host, Settings};
pub use metrics::HostState;

/// On the wall clock, what a timer may be late before it counts: an idle machine keeps within it.
pub const LATE: Duration = Duration::from_millis(5);

/// What to serve.
#[derive(Clone, Debug)]
pub struct Config {
    /// One engine a GPU.
    pub fleet: Vec<Gpu>,
    /// Port of the first engine, the others follow; 0: free ports.
    pub base_port: u16,
    /// Runs this many times faster than real time.
    pub speedup: f64,
    /// The only model served (others answer 404); `None`: whatever is asked for.
    pub model: Option<String>,
    /// Tokens a prefix block.
    pub block_tokens: u32,
    /// KV capacity of every engine in tokens, which also bounds prompt and answer together; `None`: the GPU's.
    pub kv_tokens: Option<u32>,
    /// Tokens a streamed chunk; the first token always leaves at once.
    pub stream_interval: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            fleet: vec![Gpu::H200],
            base_port: 0,
            speedup: 1.0,
            model: None,
            block_tokens: 64,
            kv_tokens: None,
            stream_interval: 1,
        }
    }
}

/// Engines that listen on the loopback interface until this is dropped.
pub struct Engines {
    addresses: Vec<SocketAddr>,
    /// Aborts its tasks when dropped.
    _tasks: JoinSet<()>,
}

impl Engines {
    /// Binds every port and starts every engine, on the current tokio runtime.
    ///
    /// # Errors
    ///
    /// When a port cannot be bound.
    pub async fn start(config: Config) -> io::Result<Self> {
        let created = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |age| age.as_secs());
        let settings = Arc::new(Settings {
            speedup: config.speedup,
            model: config.model,
            block_tokens: config.block_tokens,
            kv_tokens: config.kv_tokens,
            stream_interval: config.stream_interval.max(1),
            created,
        });
        let mut listeners = Vec::new();
        let mut hosts = Vec::new();
        for (position, &gpu) in config.fleet.iter().enumerate() {
            let port = match config.base_port {
                0 => 0,
                base => u16::try_from(usize::from(base) + position).map_err(io::Error::other)?,
            };
            let listener = http::listen(http::reserve(SocketAddr::from((
                Ipv4Addr::LOCALHOST,
                port,
            )))?)?;
            hosts.push(Arc::new(Host::new(
                listener.local_addr()?,
                gpu,
                Arc::clone(&settings),
            )));
            listeners.push(listener);
        }
        let hosts: Arc<[Arc<Host>]> = hosts.into();
        let addresses = hosts.iter().map(|host| host.address).collect();
        let mut tasks = JoinSet::new();
        for (host, listener) in hosts.iter().zip(listeners) {
            tasks.spawn(Arc::clone(host).run());
            let serving = http::serve(Arc::clone(host), Arc::downgrade(&hosts), listener);
            let address = host.address;
            tasks.spawn(async move {
                if let Err(error) = serving.await {
                    eprintln!("engine {address}: {error}");
                }
            });
        }
        // Keeps the list alive for as long as the engines run.
        tasks.spawn(async move {
            std::future::pending::<()>().await;
            drop(hosts);
        });
        Ok(Self {
            addresses,
            _tasks: tasks,
        })
    }

    /// Where the engines listen, in fleet order.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }
}
