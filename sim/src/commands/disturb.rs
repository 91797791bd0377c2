//! The options by which things go wrong.

use std::path::PathBuf;

use clap::Args;
use plimsoll_sim::fleet::{Faults, HostEvent};

/// What befalls hosts and polls.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Disturb {
    /// Something happens to a host: "t=60s host=3 speed=0.5", or join, leave, die in the place of speed= (repeatable). A host that
    /// first of all joins is not there at the start.
    #[arg(long = "event", value_name = "EVENT")]
    events: Vec<HostEvent>,
    /// File of such events, one a line; # begins a comment.
    #[arg(long, value_name = "FILE")]
    events_file: Option<PathBuf>,
    /// Share of the answers to polls that get lost, each host's for itself.
    #[arg(long, default_value_t = 0.0, value_parser = share)]
    poll_loss: f64,
    /// Milliseconds by which the answers to polls come late.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=600_000))]
    poll_delay_ms: u64,
}

impl Disturb {
    /// The faults of a run on `hosts` hosts.
    pub(crate) fn faults(&self, hosts: usize) -> Result<Faults, String> {
        let mut events = self.events.clone();
        if let Some(path) = &self.events_file {
            let text = std::fs::read_to_string(path)
                .map_err(|error| format!("{}: {error}", path.display()))?;
            for (position, line) in text.lines().enumerate() {
                let line = line.split('#').next().unwrap_or_default();
                if !line.trim().is_empty() {
                    let event = line.parse();
                    events.push(event.map_err(|error: String| {
                        format!("{}:{}: {error}", path.display(), position + 1)
                    })?);
                }
            }
        }
        if let Some(event) = events.iter().find(|event| event.host >= hosts) {
            return Err(format!(
                "an event is about host {}, but the hosts are 0 to {}",
                event.host,
                hosts - 1
            ));
        }
        Ok(Faults {
            events,
            poll_loss: self.poll_loss,
            poll_delay_micros: self.poll_delay_ms * 1000,
        })
    }
}

/// Parses a number from 0 to 1.
fn share(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|value: &f64| (0.0..=1.0).contains(value))
        .ok_or_else(|| "a number from 0 to 1".to_owned())
}
