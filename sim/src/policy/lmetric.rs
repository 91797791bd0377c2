//! LMetric: prompt tokens to be computed, times requests there.
//!
//! After its abstract: choose the host with the least (queued + own uncached prompt tokens) x (1 + requests). Blind to
//! speed, no learned parts. Ties go to the host after the last choice.

use super::loads::Loads;
use super::rival::Rival;
use super::view::View;
use super::{Conditions, Truth};
use crate::fleet::Prepared;

pub(super) struct Lmetric {
    view: View,
    /// Mean uncached tokens of own requests: what another router's waiting request is taken to be.
    mean_uncached: f64,
    last: usize,
}

impl Lmetric {
    pub(super) fn new(conditions: &Conditions<'_>) -> Self {
        Self {
            view: View::new(conditions),
            mean_uncached: 0.0,
            last: 0,
        }
    }
}

impl Rival for Lmetric {
    fn loads(&mut self) -> &mut Loads {
        &mut self.view.loads
    }

    fn pick(&mut self, _now: u64, request: &Prepared, _truth: &Truth<'_>) -> Option<usize> {
        let count = self.view.loads.hosts.len();
        let uncached =
            |host: usize| request.prompt.tokens - self.view.cached_tokens(host, &request.prompt);
        let score = |host: usize| {
            let view = &self.view.loads.hosts[host];
            let queued = view.own_queued_tokens as f64
                + f64::from(view.others_waiting()) * self.mean_uncached;
            (queued + f64::from(uncached(host))) * f64::from(1 + view.requests())
        };
        let order = (1..=count).map(|offset| (self.last + offset) % count);
        let scored = order
            .filter(|&host| self.view.loads.hosts[host].polled.listed)
            .map(|host| (host, score(host)));
        let (best, _) = scored.min_by(|(_, a), (_, b)| a.total_cmp(b))?;
        self.mean_uncached += (f64::from(uncached(best)) - self.mean_uncached) / 32.0;
        self.last = best;
        Some(best)
    }

    fn book(&mut self, _now: u64, host: usize, request: &Prepared) {
        self.view.sent(host, request.id, &request.prompt);
    }
}

#[cfg(test)]
mod tests {
    use crate::policy::script::Script;

    #[test]
    fn work_times_requests_decides() {
        let mut script = Script::new("lmetric", 2);
        let home = script.choose(0, &[1, 2, 3, 4]);
        script.first_token(0, home, 0);
        // One block for two requests there, five for one elsewhere.
        assert_eq!(script.choose(1, &[1, 2, 3, 4, 5]), home);
        // Two blocks for three requests there, one for one elsewhere.
        assert_ne!(script.choose(2, &[9]), home);
    }
}
