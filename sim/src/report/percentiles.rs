//! Percentiles by nearest rank.

use serde::{Deserialize, Serialize};

/// Mean and percentiles of a set of times in milliseconds; all 0 when the set is empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct Percentiles {
    /// Arithmetic mean.
    pub mean: f64,
    /// Half of the values are at most this.
    pub p50: f64,
    /// 90 of 100 values are at most this.
    pub p90: f64,
    /// 99 of 100 values are at most this.
    pub p99: f64,
}

impl Percentiles {
    /// Sorts `values` and reads the percentiles off them, rounded to microseconds.
    #[must_use]
    pub fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let round = |ms: f64| (ms * 1000.0).round() / 1000.0;
        Self {
            mean: round(mean(&values)),
            p50: round(percentile(&values, 50.0)),
            p90: round(percentile(&values, 90.0)),
            p99: round(percentile(&values, 99.0)),
        }
    }
}

/// The least value that at least `percent` of the `sorted` values do not exceed; 0 for none.
#[must_use]
pub fn percentile(sorted: &[f64], percent: f64) -> f64 {
    let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied().unwrap_or(0.0)
}

/// Arithmetic mean; 0 for none.
#[must_use]
pub fn mean(values: &[f64]) -> f64 {
    if values.is_empty() {
        0.0
    } else {
        values.iter().sum::<f64>() / values.len() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let percentiles = Percentiles::of((1..=200).rev().map(f64::from).collect());
        assert_eq!(
            percentiles,
            Percentiles {
                mean: 100.5,
                p50: 100.0,
                p90: 180.0,
                p99: 198.0
            }
        );
        assert_eq!(Percentiles::of(vec![3.0]).p99, 3.0);
        assert_eq!(Percentiles::of(Vec::new()), Percentiles::default());
    }
}
