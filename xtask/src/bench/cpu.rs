//! CPU time of a process, in nanoseconds.

use std::fs;

use crate::failure::Failure;

/// CPU time that all live threads of `pid` have used, from the scheduler's own accounting.
///
/// `/proc/<pid>/stat` counts in ticks of 10 ms, too coarse for microseconds a request; the threads'
/// `schedstat` counts nanoseconds. Envoy ends no thread while it serves, so none is missed.
pub(crate) fn nanos(pid: u32) -> Result<u64, Failure> {
    let mut total = 0_u64;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = fs::read_to_string(task?.path().join("schedstat"))?;
        let used: Option<u64> = text
            .split_whitespace()
            .next()
            .and_then(|field| field.parse().ok());
        total += used.ok_or_else(|| Failure::new("this kernel keeps no schedstat"))?;
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::nanos;

    #[test]
    fn grows_with_work() {
        let before = nanos(std::process::id()).unwrap();
        let mut sum = 0_u64;
        while nanos(std::process::id()).unwrap() == before {
            sum = sum.wrapping_mul(31).wrapping_add(before);
        }
        assert!(nanos(std::process::id()).unwrap() > before, "{sum}");
    }
}
