//! Least response time: requests in flight times the time to first byte.
//!
//! Source: NetScaler's documentation, "Least response time method": the service where active transactions x TTFB is least, so one without
//! any comes first; ties by round robin. nginx's `least_time` and F5 weigh the same two. The mean of TTFB is not described; here it is this
//! router's own, moving with a weight of 1/16, of times to first token.

use super::loads::Loads;
use super::rival::Rival;
use super::{Conditions, Truth};
use crate::fleet::Prepared;

const WEIGHT: f64 = 1.0 / 16.0;

pub(super) struct LeastResponseTime {
    loads: Loads,
    /// Mean time to first token, microseconds; 0 before the first.
    means: Vec<f64>,
    last: usize,
}

impl LeastResponseTime {
    pub(super) fn new(conditions: &Conditions<'_>) -> Self {
        let hosts = conditions.fleet.len();
        Self {
            loads: Loads::new(hosts),
            means: vec![0.0; hosts],
            last: 0,
        }
    }
}

impl Rival for LeastResponseTime {
    fn loads(&mut self) -> &mut Loads {
        &mut self.loads
    }

    fn pick(&mut self, _now: u64, _request: &Prepared, _truth: &Truth<'_>) -> Option<usize> {
        let count = self.means.len();
        let cost = |host: usize| self.loads.own(host) * self.means[host];
        let order = (1..=count).map(|offset| (self.last + offset) % count);
        let listed = order.filter(|&host| self.loads.hosts[host].polled.listed);
        let best = listed.min_by(|&a, &b| cost(a).total_cmp(&cost(b)))?;
        self.last = best;
        Some(best)
    }

    fn first_token(&mut self, _now: u64, host: usize, ttft: u64) {
        let mean = &mut self.means[host];
        *mean = match *mean {
            0.0 => ttft as f64,
            mean => mean + (ttft as f64 - mean) * WEIGHT,
        };
    }
}

#[cfg(test)]
mod tests {
    use crate::policy::script::Script;

    #[test]
    fn a_slow_host_gets_fewer_requests() {
        let mut script = Script::new("least_response_time", 2);
        script.now = 1_000_000;
        let slow = script.choose(0, &[1]);
        script.first_token(0, slow, 300_000);
        let quick = script.choose(1, &[2]);
        assert_ne!(quick, slow, "nobody is there");
        script.first_token(1, quick, 100_000);
        // 1 x 300 ms there; 1 and 2 x 100 ms here, then 3: the tie goes to who comes after the last.
        let hosts: Vec<usize> = (2..5).map(|id| script.choose(id, &[id])).collect();
        assert_eq!(hosts, [quick, quick, slow]);
    }
}
