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
    use std::process::Command;
    use std::time::Duration;

    use plimsoll_envoy::process::{Guard, wait_for};

    use super::nanos;

    #[test]
    fn grows_with_work() {
        let busy = Guard::spawn(Command::new("sh").args(["-c", "while :; do :; done"])).unwrap();
        let before = nanos(busy.id()).unwrap();
        let grown = || {
            nanos(busy.id())
                .ok()
                .filter(|used| *used > before + 10_000_000)
                .map(drop)
        };
        assert!(wait_for(Duration::from_secs(30), grown).is_some());
    }

    #[test]
    fn a_process_that_is_gone_is_an_error() {
        let mut ended = Guard::spawn(&mut Command::new("true")).unwrap();
        ended.stop(Duration::from_secs(5)).unwrap();
        assert!(nanos(ended.id()).is_err());
    }
}
