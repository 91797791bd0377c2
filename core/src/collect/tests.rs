mod exchange;
mod head;
mod health;

use super::*;
use crate::snapshot::{Record, View};
use alloc::format;
use alloc::string::String;

const PAGE: &[u8] = include_bytes!("../../tests/data/vllm-0.32.0.metrics.txt");

fn at(millis: u64) -> Instant {
    Instant::from_micros(millis * 1000)
}

fn tasks(collector: &mut Collector, now: Instant) -> Vec<Task> {
    let mut tasks = Vec::new();
    collector.due(now, |task, _| {
        tasks.push(task);
        true
    });
    tasks
}

fn records(collector: &mut Collector, now: Instant) -> Vec<Record> {
    let mut out = Vec::new();
    assert!(collector.publish(now, &mut out), "nothing to publish");
    View::new_checked(&out).unwrap().records().collect()
}

fn clusters(hosts: &[(u16, &str)]) -> String {
    let hosts: Vec<String> = hosts
        .iter()
        .map(|(port, health)| {
            format!(r#"{{"address":{{"socket_address":{{"address":"127.0.0.1","port_value":{port}}}}},"stats":[{{"name":"cx_active","type":"GAUGE"}}],"health_status":{{{health}}},"weight":2,"locality":{{}}}}"#)
        })
        .collect();
    format!(
        r#"{{"cluster_statuses":[{{"name":"other"}},{{"name":"pool","host_statuses":[{}]}}]}}"#,
        hosts.join(",")
    )
}

#[test]
fn configured_hosts_are_polled_with_jitter_and_published() {
    let config = Config::parse(br#"{"hosts":["127.0.0.1:1","127.0.0.1:2"]}"#).unwrap();
    let mut collector = Collector::new(config, 9);
    let (a, b) = (
        Address::parse("127.0.0.1:1").unwrap(),
        Address::parse("127.0.0.1:2").unwrap(),
    );
    assert_eq!(
        tasks(&mut collector, at(1000)),
        [Task::Poll(a), Task::Poll(b)]
    );
    assert_eq!(
        tasks(&mut collector, at(1010)),
        [],
        "both are asked already"
    );
    assert!(collector.on_polled(at(1020), a, Ok(PAGE)));
    assert!(!collector.on_polled(at(1020), b, Ok(b"something else")));
    let seen = records(&mut collector, at(1025));
    assert_eq!(seen[0].polled.map(|p| p.at), Some(at(1020)));
    assert!(seen[0].models[0] != 0);
    assert_eq!((seen[1].polled, seen[1].state), (None, State::Ready));
    let mut intervals = Vec::new();
    let mut last = at(1000);
    for millis in 1030..9000 {
        if tasks(&mut collector, at(millis)).contains(&Task::Poll(a)) {
            intervals.push(at(millis).since(last).get() / 1000);
            last = at(millis);
            collector.on_polled(at(millis), a, Ok(PAGE));
        }
    }
    let mean = intervals.iter().sum::<u64>() / intervals.len() as u64;
    assert!((190..=210).contains(&mean), "{mean}");
    assert!(
        intervals.iter().any(|i| *i < 180) && intervals.iter().any(|i| *i > 220),
        "{intervals:?}"
    );
}

#[test]
fn a_host_that_stops_answering_goes_down_and_comes_back() {
    let mut collector = Collector::new(Config::parse(br#"{"hosts":["127.0.0.1:1"]}"#).unwrap(), 9);
    let a = Address::parse("127.0.0.1:1").unwrap();
    for i in 0..3 {
        assert_eq!(
            records(&mut collector, at(1000 + 1000 * i))[0].state,
            State::Ready
        );
        tasks(&mut collector, at(1000 + 1000 * i));
        collector.on_polled(at(1010 + 1000 * i), a, Err(PollFailure::Unreachable));
    }
    assert_eq!(records(&mut collector, at(5000))[0].state, State::Down);
    for _ in 0..2 {
        collector.on_polled(at(5010), a, Err(PollFailure::NoMetrics));
    }
    assert_eq!(
        records(&mut collector, at(5020))[0].state,
        State::Ready,
        "it answers, so it serves"
    );
    // Answers that never come count as well.
    for i in 0..4 {
        tasks(&mut collector, at(10_000 + 3000 * i));
    }
    assert_eq!(records(&mut collector, at(20_000))[0].state, State::Down);
}

#[test]
fn hosts_are_discovered_with_their_health() {
    let mut collector = Collector::new(Config::default(), 9);
    assert_eq!(tasks(&mut collector, at(1000)), [Task::Discover]);
    assert!(
        !collector.publish(at(1000), &mut Vec::new()),
        "nothing is known"
    );
    let body = clusters(&[
        (1, r#""eds_health_status":"HEALTHY""#),
        (2, r#""eds_health_status":"DRAINING""#),
        (3, r#""failed_active_health_check":true"#),
        (
            4,
            r#""failed_active_health_check":true,"pending_active_hc":true"#,
        ),
        (5, r#""failed_outlier_check":true"#),
    ]);
    assert!(collector.on_discovered(Some(body.as_bytes())));
    let states: Vec<State> = records(&mut collector, at(1010))
        .iter()
        .map(|r| r.state)
        .collect();
    assert_eq!(
        states,
        [
            State::Ready,
            State::Draining,
            State::Down,
            State::Ready,
            State::Down
        ]
    );
    for nothing in [
        None,
        Some(&b"not json"[..]),
        Some(br#"{"cluster_statuses":[]}"#),
    ] {
        assert!(!collector.on_discovered(nothing));
        assert_eq!(collector.len(), 5, "the last good list stays");
    }
    assert!(collector.on_discovered(Some(clusters(&[(1, "")]).as_bytes())));
    assert_eq!(records(&mut collector, at(1300)).len(), 1);
}

#[test]
fn quiet_times_are_published_once_an_interval_and_epochs_outrun_others() {
    let mut collector = Collector::new(Config::parse(br#"{"hosts":["127.0.0.1:1"]}"#).unwrap(), 9);
    let mut out = Vec::new();
    assert!(collector.publish(at(1000), &mut out));
    assert!(!collector.publish(at(1100), &mut out));
    collector.outrun(70);
    assert!(collector.publish(at(1200), &mut out));
    assert_eq!(View::new_checked(&out).unwrap().epoch(), 71);
}
