//! Processor time of a process group.

use std::fs;

use crate::failure::Failure;

/// The kernel counts in ticks of 10 ms on every architecture it reports to user space.
const TICKS_PER_SECOND: f64 = 100.0;

/// User and system time of all processes of `group`, with that of their children that have ended, seconds.
pub(super) fn seconds(group: u32) -> Result<f64, Failure> {
    let mut ticks = 0;
    for entry in fs::read_dir("/proc")?.filter_map(Result::ok) {
        // A process may end while the list is read.
        if let Ok(stat) = fs::read_to_string(entry.path().join("stat")) {
            ticks += used(&stat, group).unwrap_or(0);
        }
    }
    Ok(ticks as f64 / TICKS_PER_SECOND)
}

/// Ticks in a line of `/proc/PID/stat`, if the process belongs to `group`.
fn used(stat: &str, group: u32) -> Option<u64> {
    // The second field is the program's name in parentheses and may hold spaces.
    let (_, rest) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    if fields.get(2)?.parse() != Ok(group) {
        return None;
    }
    fields
        .get(11..15)?
        .iter()
        .try_fold(0, |sum: u64, field| sum.checked_add(field.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::used;

    #[test]
    fn counts_the_group_and_nothing_else() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 1 0 0 0 10 20 3 4 20 0 2 0 5 6 7";
        assert_eq!(used(stat, 7), Some(37));
        assert_eq!(used(stat, 1), None);
        assert_eq!(used("7 (x) S 1 7", 7), None);
    }
}
