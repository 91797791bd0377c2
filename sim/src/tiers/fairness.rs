//! How evenly something was divided.

/// Jain's index: 1 when all are equal, 1/n when one has everything.
#[must_use]
fn jain(values: &[f64]) -> f64 {
    let sum: f64 = values.iter().sum();
    let squares: f64 = values.iter().map(|value| value * value).sum();
    if squares == 0.0 {
        return 1.0;
    }
    sum * sum / (values.len() as f64 * squares)
}

/// The max-min fair parts of `total` among those who want so much.
#[must_use]
fn fair_parts(wanted: &[f64], total: f64) -> Vec<f64> {
    let mut parts = vec![0.0; wanted.len()];
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|a, b| wanted[*a].total_cmp(&wanted[*b]));
    let mut rest = total;
    for (place, tenant) in order.iter().enumerate() {
        parts[*tenant] = wanted[*tenant].min(rest / (order.len() - place) as f64);
        rest -= parts[*tenant];
    }
    parts
}

/// Jain's index of what each got of its max-min fair part. `divided`: how much each wanted, and got.
#[must_use]
pub fn fairness(divided: &[(f64, f64)]) -> f64 {
    let wanted: Vec<f64> = divided.iter().map(|(wanted, _)| *wanted).collect();
    let parts = fair_parts(&wanted, divided.iter().map(|(_, got)| got).sum());
    let relative = divided
        .iter()
        .zip(&parts)
        .map(|((_, got), part)| got / part);
    jain(&relative.collect::<Vec<f64>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_fair_and_the_index_says_so() {
        assert_eq!(fair_parts(&[10.0, 100.0, 30.0], 60.0), [10.0, 25.0, 25.0]);
        assert_eq!(fair_parts(&[10.0, 20.0], 60.0), [10.0, 20.0]);
        assert_eq!(jain(&[3.0, 3.0, 3.0]), 1.0);
        assert_eq!(jain(&[1.0, 0.0, 0.0, 0.0]), 0.25);
        assert_eq!(jain(&[0.0]), 1.0);
        assert_eq!(fairness(&[(10.0, 10.0), (100.0, 25.0), (30.0, 25.0)]), 1.0);
        assert!(fairness(&[(10.0, 10.0), (100.0, 40.0), (30.0, 10.0)]) < 0.9);
    }
}
