use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use super::*;

fn shell(script: &str) -> Guard {
    Guard::spawn(Command::new("sh").args(["-c", script])).unwrap()
}

fn alive(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
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
    let script = "trap '' TERM; echo ready; while :; do sleep 0.05; done";
    let mut guard = Guard::spawn(
        Command::new("sh")
            .args(["-c", script])
            .stdout(Stdio::piped()),
    )
    .unwrap();
    let mut line = String::new();
    BufReader::new(guard.child().stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    guard.stop(Duration::from_millis(50)).unwrap();
    assert!(!alive(guard.id()));
}

#[test]
fn a_frozen_process_is_there_and_does_nothing() {
    let state = |pid: u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        stat.rsplit(") ").next().unwrap().chars().next().unwrap()
    };
    let mut guard = shell("exec sleep 600");
    let pid = guard.id();
    guard.freeze().unwrap();
    wait_for(GRACE, || (state(pid) == 'T').then_some(())).unwrap();
    guard.thaw().unwrap();
    wait_for(GRACE, || (state(pid) != 'T').then_some(())).unwrap();
    guard.kill().unwrap();
    guard.kill().unwrap();
    assert!(!alive(pid));
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

#[test]
fn a_group_is_stopped_as_a_whole() {
    let script = "sleep 600 & echo $!; wait";
    let mut guard = Guard::spawn(
        Command::new("sh")
            .args(["-c", script])
            .stdout(Stdio::piped()),
    )
    .unwrap();
    let mut line = String::new();
    BufReader::new(guard.child().stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let grandchild: u32 = line.trim().parse().unwrap();
    guard.stop(Duration::from_secs(5)).unwrap();
    // Whoever adopted the grandchild may take a moment to collect it; a zombie has no command line.
    let gone = || {
        let command = std::fs::read(format!("/proc/{grandchild}/cmdline")).unwrap_or_default();
        command.is_empty().then_some(())
    };
    assert!(wait_for(Duration::from_secs(5), gone).is_some());
}
