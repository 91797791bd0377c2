//! Who got what when: requests by host and time.

use plimsoll_sim::fleet::Record;

/// What one policy did with one workload.
pub(crate) struct Course {
    /// When each request arrived, microseconds.
    arrivals: Vec<u64>,
    records: Vec<Record>,
}

impl Course {
    pub(crate) fn new(arrivals: Vec<u64>, records: Vec<Record>) -> Self {
        Self { arrivals, records }
    }

    /// What arrived from `from` to `to` seconds.
    fn between(&self, from: f64, to: f64) -> impl Iterator<Item = (u64, &Record)> + Clone {
        let arrivals = self.arrivals.iter().copied().zip(&self.records);
        arrivals.filter(move |&(at, _)| (from..to).contains(&(at as f64 / 1e6)))
    }

    /// Share of the requests that arrived from `from` to `to` seconds which went to `host`.
    pub(crate) fn share(&self, host: usize, from: f64, to: f64) -> f64 {
        let there = self
            .between(from, to)
            .filter(|(_, record)| record.host == Some(host));
        there.count() as f64 / self.between(from, to).count().max(1) as f64
    }
}
