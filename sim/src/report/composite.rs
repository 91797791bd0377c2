//! One number for one policy against another on the same requests.

use crate::fleet::RunResult;

/// Share of the latencies; the rest is goodput's.
const LATENCY: f64 = 0.8;

/// Logarithm of the composite: below 0 `of` is better than `than`.
///
/// 0.8 times the mean of ln(ratio) over mean and p99 of TTFT and E2E and p99 of TPOT, and 0.2 times ln(ratio) of
/// 1.01 - goodput. Averaged over workloads and exponentiated it is a geometric mean.
#[must_use]
pub fn ln_composite(of: &RunResult, than: &RunResult) -> f64 {
    let latencies = |result: &RunResult| {
        [
            result.ttft_ms.mean,
            result.ttft_ms.p99,
            result.tpot_ms.p99,
            result.e2e_ms.mean,
            result.e2e_ms.p99,
        ]
    };
    // Nothing takes less than a microsecond; a workload without a second token has no TPOT.
    let ln_ratio = |(of, than): (f64, f64)| (of.max(1e-3) / than.max(1e-3)).ln();
    let pairs = latencies(of).into_iter().zip(latencies(than));
    let mean = pairs.map(ln_ratio).sum::<f64>() / 5.0;
    let miss = |result: &RunResult| 1.01 - result.goodput;
    LATENCY * mean + (1.0 - LATENCY) * (miss(of) / miss(than)).ln()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::{Tpot, Ttft};

    fn result(ms: f64, goodput: f64) -> RunResult {
        let times = Ttft {
            mean: ms,
            p50: ms,
            p99: ms,
        };
        RunResult {
            ttft_ms: times,
            tpot_ms: Tpot { p99: ms },
            e2e_ms: times,
            hit_ratio: 0.0,
            goodput,
            throughput_rps: 1.0,
            drained_rps: 1.0,
            work_spread_points: 0.0,
            failed: 0,
        }
    }

    #[test]
    fn latencies_weigh_four_fifths() {
        let half = ln_composite(&result(50.0, 1.0), &result(100.0, 1.0));
        assert!((half - 0.8 * 0.5_f64.ln()).abs() < 1e-12);
        let good = ln_composite(&result(100.0, 1.0), &result(100.0, 0.0));
        assert!((good - 0.2 * (0.01_f64 / 1.01).ln()).abs() < 1e-12);
        assert_eq!(ln_composite(&result(7.0, 0.5), &result(7.0, 0.5)), 0.0);
    }
}
