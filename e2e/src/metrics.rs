//! Envoy's Prometheus page, read by name and labels.

/// One scrape of `/stats/prometheus`.
#[derive(Clone, Debug)]
pub struct Metrics(String);

impl Metrics {
    pub(crate) const fn new(page: String) -> Self {
        Self(page)
    }

    /// The sum of all samples of `name` whose labels contain `label` (`step="full"`, or nothing for
    /// all); `None` when there is no such sample.
    pub fn sum(&self, name: &str, label: &str) -> Option<f64> {
        let values: Vec<f64> = self
            .0
            .lines()
            .filter_map(|line| {
                line.strip_prefix(name)?
                    .strip_prefix('{')?
                    .rsplit_once("} ")
            })
            .filter(|(labels, _)| labels.contains(label))
            .filter_map(|(_, value)| value.parse().ok())
            .collect();
        (!values.is_empty()).then(|| values.iter().sum())
    }

    /// [`Self::sum`], 0 when absent.
    pub fn count(&self, name: &str, label: &str) -> f64 {
        self.sum(name, label).unwrap_or_default()
    }

    /// The page as it is.
    pub fn text(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::Metrics;

    #[test]
    fn sums_by_label() {
        let page = "# TYPE d counter\nd{step=\"full\"} 3\nd{step=\"hash\"} 4\ndd{} 9\n";
        let metrics = Metrics::new(page.to_owned());
        assert_eq!(metrics.sum("d", "step=\"full\""), Some(3.0));
        assert_eq!(metrics.sum("d", ""), Some(7.0));
        assert_eq!(metrics.sum("d", "step=\"proxy\""), None);
    }
}
