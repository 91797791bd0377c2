//! Watching the engines while load runs.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::client::Client;
use crate::server::HostState;

/// Wall-clock time between two looks.
const INTERVAL: Duration = Duration::from_millis(100);

/// What the engines said over a stretch of time.
#[derive(Default)]
pub(super) struct Samples {
    first: Vec<HostState>,
    last: Vec<HostState>,
    /// Coefficient of variation of running requests over the hosts, a look each.
    variations: Vec<f64>,
}

impl Samples {
    /// Looks at the engines until the returned future is dropped or aborted.
    pub(super) async fn watch(clients: &[Client], samples: &Mutex<Self>) {
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            Self::look(clients, samples).await;
        }
    }

    /// Looks at the engines once.
    pub(super) async fn look(clients: &[Client], samples: &Mutex<Self>) {
        let mut states = Vec::with_capacity(clients.len());
        for client in clients {
            let state = client.get("/state").await.ok();
            states.extend(state.and_then(|body| serde_json::from_slice::<HostState>(&body).ok()));
        }
        // A host that does not answer would look like an idle one.
        if !states.is_empty() && states.len() == clients.len() {
            samples
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .add(states);
        }
    }

    fn add(&mut self, states: Vec<HostState>) {
        let running: Vec<f64> = states.iter().map(|state| state.running as f64).collect();
        self.variations.extend(variation(&running));
        if self.first.is_empty() {
            self.first.clone_from(&states);
        }
        self.last = states;
    }

    /// Mean coefficient of variation of running requests over the hosts.
    pub(super) fn running_cv(&self) -> Option<f64> {
        (!self.variations.is_empty()).then(|| crate::report::mean(&self.variations))
    }

    /// Share of time that each host spent in steps.
    pub(super) fn utilisation(&self) -> Vec<(String, f64)> {
        let pairs = self.first.iter().zip(&self.last);
        pairs
            .filter(|(first, last)| last.uptime_us > first.uptime_us)
            .map(|(first, last)| {
                let busy = last.busy_us.saturating_sub(first.busy_us) as f64;
                (
                    last.host.clone(),
                    busy / (last.uptime_us - first.uptime_us) as f64,
                )
            })
            .collect()
    }

    /// Share of the engines' steps that were late, 0 to 1.
    pub(super) fn late_steps_share(&self) -> f64 {
        let sum = |count: fn(&HostState) -> u64| -> u64 {
            let pairs = self.first.iter().zip(&self.last);
            pairs
                .map(|(first, last)| count(last).saturating_sub(count(first)))
                .sum()
        };
        sum(|state| state.late_steps) as f64 / sum(|state| state.steps).max(1) as f64
    }

    /// Worst delay of any engine's step, wall-clock milliseconds.
    pub(super) fn worst_lag_ms(&self) -> f64 {
        self.last
            .iter()
            .map(|state| state.worst_lag_us as f64 / 1000.0)
            .fold(0.0, f64::max)
    }
}

/// Standard deviation over mean; `None` when nothing runs.
fn variation(values: &[f64]) -> Option<f64> {
    let mean = crate::report::mean(values);
    let squares: Vec<f64> = values
        .iter()
        .map(|value| (value - mean) * (value - mean))
        .collect();
    (mean > 0.0).then(|| crate::report::mean(&squares).sqrt() / mean)
}

/// Difference between the busiest and the idlest, in percentage points.
pub(crate) fn spread_points(utilisation: &[f64]) -> f64 {
    let most = utilisation.iter().copied().fold(0.0, f64::max);
    let least = utilisation.iter().copied().fold(f64::INFINITY, f64::min);
    if utilisation.is_empty() {
        0.0
    } else {
        (most - least) * 100.0
    }
}
