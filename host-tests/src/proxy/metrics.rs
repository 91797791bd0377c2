//! Counters, gauges and histograms. One value a name for the whole process, as in Envoy.

use std::collections::BTreeMap;

use super::status::{Answer, BAD_ARGUMENT};

/// Kinds of metrics; the numbers are those of the ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Set or moved; never below zero.
    Gauge,
    /// Records values.
    Histogram,
}

impl Kind {
    /// Kind for the ABI's number.
    pub const fn from_abi(number: u32) -> Answer<Self> {
        Ok(match number {
            0 => Self::Counter,
            1 => Self::Gauge,
            2 => Self::Histogram,
            _ => return Err(BAD_ARGUMENT),
        })
    }
}

/// State of one metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its kind.
    pub kind: Kind,
    /// Counter or gauge value; for a histogram the number of records.
    pub value: u64,
    /// What a histogram recorded.
    pub records: Vec<u64>,
}

/// All metrics of the proxy.
#[derive(Debug, Default)]
pub struct Metrics {
    names: Vec<String>,
    metrics: BTreeMap<String, Metric>,
    underflows: u64,
}

impl Metrics {
    /// Number of the metric; the same name and kind gives the same one.
    pub fn define(&mut self, kind: u32, name: &str) -> Answer<u32> {
        let kind = Kind::from_abi(kind)?;
        let metric = self.metrics.entry(name.to_owned()).or_insert(Metric {
            kind,
            value: 0,
            records: Vec::new(),
        });
        if metric.kind != kind {
            return Err(BAD_ARGUMENT);
        }
        let at = match self.names.iter().position(|have| have == name) {
            Some(at) => at,
            None => {
                self.names.push(name.to_owned());
                self.names.len() - 1
            }
        };
        // Numbers start at 1 so that a module that uses one it was never given is found out.
        u32::try_from(at + 1).map_err(|_| BAD_ARGUMENT)
    }

    /// Name behind a number.
    pub fn name(&self, id: u32) -> Option<&str> {
        let at = usize::try_from(id).ok()?.checked_sub(1)?;
        self.names.get(at).map(String::as_str)
    }

    fn by_id(&mut self, id: u32) -> Answer<&mut Metric> {
        let at = (id as usize).checked_sub(1).ok_or(BAD_ARGUMENT)?;
        let name = self.names.get(at).ok_or(BAD_ARGUMENT)?;
        self.metrics.get_mut(name).ok_or(BAD_ARGUMENT)
    }

    /// Adds to a counter (only upwards) or moves a gauge.
    pub fn increment(&mut self, id: u32, offset: i64) -> Answer<()> {
        let metric = self.by_id(id)?;
        match metric.kind {
            Kind::Counter if offset >= 0 => metric.value += offset.unsigned_abs(),
            Kind::Gauge if offset >= 0 => metric.value += offset.unsigned_abs(),
            Kind::Gauge => {
                let below = metric.value < offset.unsigned_abs();
                metric.value = metric.value.saturating_sub(offset.unsigned_abs());
                self.underflows += u64::from(below);
            }
            Kind::Counter | Kind::Histogram => return Err(BAD_ARGUMENT),
        }
        Ok(())
    }

    /// Sets a gauge, adds to a counter, or records into a histogram.
    pub fn record(&mut self, id: u32, value: u64) -> Answer<()> {
        let metric = self.by_id(id)?;
        match metric.kind {
            Kind::Counter => metric.value += value,
            Kind::Gauge => metric.value = value,
            Kind::Histogram => {
                metric.value += 1;
                metric.records.push(value);
            }
        }
        Ok(())
    }

    /// Value of a counter or gauge by number.
    pub fn read(&mut self, id: u32) -> Answer<u64> {
        let metric = self.by_id(id)?;
        match metric.kind {
            Kind::Counter | Kind::Gauge => Ok(metric.value),
            Kind::Histogram => Err(BAD_ARGUMENT),
        }
    }

    /// Value by name; 0 when it was never defined.
    pub fn value(&self, name: &str) -> u64 {
        self.metrics.get(name).map_or(0, |metric| metric.value)
    }

    /// Metric by name.
    pub fn get(&self, name: &str) -> Option<&Metric> {
        self.metrics.get(name)
    }

    /// All metrics whose name starts so, in order.
    pub fn starting(&self, prefix: &str) -> impl Iterator<Item = (&str, &Metric)> {
        self.metrics
            .iter()
            .filter(move |(name, _)| name.starts_with(prefix))
            .map(|(name, metric)| (name.as_str(), metric))
    }

    /// Sum of all values whose name starts so.
    pub fn sum(&self, prefix: &str) -> u64 {
        self.starting(prefix).map(|(_, metric)| metric.value).sum()
    }

    /// How often a gauge was moved below zero: an accounting error of the module, which Envoy would show as 2^64.
    pub const fn underflows(&self) -> u64 {
        self.underflows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_grow_gauges_move_histograms_record() {
        let mut metrics = Metrics::default();
        let counter = metrics.define(0, "c").unwrap();
        let gauge = metrics.define(1, "g").unwrap();
        let histogram = metrics.define(2, "h").unwrap();
        assert_eq!(metrics.define(0, "c"), Ok(counter));
        assert_eq!(metrics.define(3, "x"), Err(BAD_ARGUMENT));
        assert_eq!(metrics.increment(counter, 2), Ok(()));
        assert_eq!(metrics.increment(counter, -1), Err(BAD_ARGUMENT));
        assert_eq!(metrics.record(gauge, 5), Ok(()));
        assert_eq!(metrics.increment(gauge, -6), Ok(()));
        assert_eq!(metrics.record(histogram, 9), Ok(()));
        assert_eq!(metrics.increment(99, 1), Err(BAD_ARGUMENT));
        assert_eq!((metrics.value("c"), metrics.value("g")), (2, 0));
        assert_eq!(metrics.underflows(), 1);
        assert_eq!(metrics.get("h").unwrap().records, [9]);
    }
}
