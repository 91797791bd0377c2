//! Waiting for a condition.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Long enough for anything that happens at all, on a loaded machine.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Looks at `condition` until it yields a value.
///
/// # Panics
///
/// After [`DEADLINE`], with `what` was waited for.
pub async fn until<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(start.elapsed() < DEADLINE, "waited {DEADLINE:?} for {what}");
        sleep(Duration::from_millis(20)).await;
    }
}
