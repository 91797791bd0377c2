//! `plimsoll-sim engines`.

use std::io::Write;

use clap::Args;
use plimsoll_sim::engine::Fleet;
use plimsoll_sim::server::{Config, Engines};
use tokio::signal::unix::{SignalKind, signal};

/// Arguments of `engines`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Port of the first engine on 127.0.0.1, the others follow; 0 takes free ports.
    #[arg(long, default_value_t = 0)]
    base_port: u16,
    /// Engines by GPU kind (h200, h100, a100, a10g, l4), such as 8xh200 or 4xh100,4xa100.
    #[arg(long, default_value = "8xh200")]
    fleet: Fleet,
    /// Run this many times faster than real time.
    #[arg(long, default_value_t = 1.0, value_parser = super::positive)]
    speedup: f64,
    /// The only model to serve (others answer 404); by default any.
    #[arg(long)]
    model: Option<String>,
    /// Tokens a prefix-cache block.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=4096))]
    block_tokens: u32,
    /// KV capacity of every engine in tokens; by default the GPU's (h200: 850000).
    #[arg(long, value_parser = clap::value_parser!(u32).range(4096..))]
    kv_tokens: Option<u32>,
    /// Tokens a streamed chunk (vLLM's --stream-interval).
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    stream_interval: u32,
}

/// Serves until SIGTERM or Ctrl-C.
pub(crate) fn run(arguments: Arguments) -> Result<(), String> {
    super::runtime()?.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
        let engines = Engines::start(Config {
            fleet: arguments.fleet.0,
            base_port: arguments.base_port,
            speedup: arguments.speedup,
            model: arguments.model,
            block_tokens: arguments.block_tokens,
            kv_tokens: arguments.kv_tokens,
            stream_interval: arguments.stream_interval,
        })
        .await
        .map_err(|error| format!("cannot start the engines: {error}"))?;
        let addresses: Vec<String> = engines
            .addresses()
            .iter()
            .map(ToString::to_string)
            .collect();
        let mut out = std::io::stdout().lock();
        writeln!(out, "ready {}", addresses.join(","))
            .and_then(|()| out.flush())
            .map_err(|error| error.to_string())?;
        drop(out);
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        Ok(())
    })
}
