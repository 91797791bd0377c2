use super::*;

fn shell(script: &str) -> Guard {
    Guard::spawn(Command::new("sh").args(["-c", script])).unwrap()
}

fn alive(pid: u32) -> bool {
    std::path::Path::new(&format!("/proc/{pid}")).exists()
}

#[test]
fn stops_a_process_that_listens_to_sigterm() {
    let mut guard = shell("exec sleep 600");
    let status = guard.stop(Duration::from_secs(5)).unwrap();
    assert!(!status.success());
    assert!(!alive(guard.id()));
}

#[test]
fn kills_a_process_that_ignores_sigterm() {
    let mut guard = shell("trap '' TERM; echo ready; while :; do sleep 0.05; done");
    guard.stop(Duration::from_millis(50)).unwrap();
    assert!(!alive(guard.id()));
}

#[test]
fn drop_stops_the_process_and_stop_is_idempotent() {
    let mut guard = shell("exec sleep 600");
    let pid = guard.id();
    guard.stop(Duration::from_secs(5)).unwrap();
    guard.stop(Duration::from_secs(5)).unwrap();
    drop(guard);
    let guard = shell("exec sleep 600");
    let other = guard.id();
    drop(guard);
    assert!(!alive(pid) && !alive(other));
}

#[test]
fn free_addresses_can_be_bound() {
    let address = free_address().unwrap();
    assert!(address.ip().is_loopback());
    TcpListener::bind(address).unwrap();
}
