//! The unit of load: what round robin completes when flooded.

use crate::engine::{Engine, Gpu, Job};
use crate::trace::Row;

/// Requests a second that round robin over `fleet` completes when every request of `rows` is there from the start.
///
/// Each host's rate counts until its own queue is empty, so that the tail of the unluckiest host does not distort the
/// sum. Requests that do not fit a host are left out.
#[must_use]
pub fn flood_rate(fleet: &[Gpu], block_tokens: u32, rows: &[Row]) -> f64 {
    let mut rate = 0.0;
    let mut tokens = Vec::new();
    for (position, &gpu) in fleet.iter().enumerate() {
        let mut engine = Engine::new(gpu, block_tokens);
        for (id, row) in rows.iter().enumerate().skip(position).step_by(fleet.len()) {
            let job = Job {
                id: id as u64,
                prompt: row.prompt(block_tokens),
                output_tokens: row.output_tokens,
            };
            // One that never fits is refused by every host of the kind: it is no part of the capacity.
            let _ = engine.submit(job);
        }
        while engine.begin_step().is_some() {
            tokens.clear();
            engine.finish_step(&mut tokens);
        }
        let totals = engine.totals();
        if totals.busy_micros > 0 {
            rate += totals.finished as f64 * 1e6 / totals.busy_micros as f64;
        }
    }
    rate
}
