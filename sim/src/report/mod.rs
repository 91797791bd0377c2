//! Statistics and their printed form.

mod composite;
mod percentiles;
mod table;

pub use composite::ln_composite;
pub use percentiles::{Percentiles, mean, percentile};
pub use table::Table;

/// A request is good when its first token came within this many milliseconds …
pub const GOOD_TTFT_MS: f64 = 2000.0;
/// … and its tokens followed, on average, within this many.
pub const GOOD_TPOT_MS: f64 = 50.0;
