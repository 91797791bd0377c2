//! How much memory a running Envoy and the VMs in it have.

/// Guard that V8 keeps behind the memory of a VM, so that no access can leave it: no other mapping is as large.
const GUARD_BYTES: u64 = 4 << 30;

/// Linear memory of every VM of the process, in bytes.
///
/// From the process's map: what can be written right before a guard is the memory of a VM.
pub(crate) fn of_vms(pid: u32) -> Vec<u64> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    let regions: Vec<(u64, u64, &str)> = maps.lines().filter_map(region).collect();
    let pairs = regions.windows(2);
    pairs
        .filter_map(|pair| {
            let [(start, end, rights), (guard, guard_end, none)] = pair else {
                return None;
            };
            let guarded =
                end == guard && none.starts_with("---") && guard_end - guard > GUARD_BYTES;
            (guarded && rights.starts_with("rw-")).then(|| end - start)
        })
        .collect()
}

/// Start, end and rights of a line `start-end rights …` of the map.
fn region(line: &str) -> Option<(u64, u64, &str)> {
    let (range, rest) = line.split_once(' ')?;
    let (start, end) = range.split_once('-')?;
    let number = |text: &str| u64::from_str_radix(text, 16).ok();
    Some((number(start)?, number(end)?, rest))
}

/// Memory of the process that is in use and its own, in bytes.
pub(crate) fn of_process(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}
