//! Checks with thresholds, joins and recoveries, warm-up, and a change of collectors.

use super::*;

fn collector(json: &str) -> Collector {
    Collector::new(Config::parse(json.as_bytes()).unwrap(), 9)
}

fn host(port: u16) -> Address {
    Address::parse(&format!("127.0.0.1:{port}")).unwrap()
}

fn listed(collector: &mut Collector, millis: u64, hosts: &[(u16, &str)]) -> Vec<Record> {
    tasks(collector, at(millis));
    assert!(collector.on_discovered(Some(clusters(hosts).as_bytes())));
    let mut out = Vec::new();
    collector.changed = true;
    assert!(collector.publish(at(millis), &mut out));
    View::new_checked(&out).unwrap().records().collect()
}

#[test]
fn every_flag_of_the_proxy_counts() {
    let mut collector = collector("{}");
    let hosts = [
        (1, r#""pending_dynamic_removal":true"#),
        (2, r#""excluded_via_immediate_hc_fail":true"#),
        (3, r#""eds_health_status":"DEGRADED""#),
    ];
    let states: Vec<State> = listed(&mut collector, 1000, &hosts)
        .iter()
        .map(|record| record.state)
        .collect();
    assert_eq!(states, [State::Draining, State::Down, State::Ready]);
    let body = clusters(&[(1, "")]).replace(r#""weight":2"#, r#""weight":0"#);
    assert!(collector.on_discovered(Some(body.as_bytes())));
    let states = records(&mut collector, at(1300));
    assert_eq!(states[0].state, State::Draining, "weight 0");
}

#[test]
fn joins_and_recoveries_are_stamped_and_those_of_the_first_list_are_not() {
    let mut collector = collector("{}");
    let sick = r#""failed_active_health_check":true"#;
    let since = |records: &[Record]| records.iter().map(|r| r.since).collect::<Vec<_>>();
    let first = listed(&mut collector, 1000, &[(1, ""), (2, sick)]);
    assert_eq!(since(&first), [Instant::ZERO; 2]);
    let joined = listed(&mut collector, 2000, &[(1, ""), (2, sick), (3, "")]);
    assert_eq!(since(&joined), [Instant::ZERO, Instant::ZERO, at(2000)]);
    let back = listed(&mut collector, 13_000, &[(1, ""), (2, ""), (3, "")]);
    assert_eq!(since(&back), [Instant::ZERO, at(13_000), at(2000)]);
    listed(&mut collector, 14_000, &[(1, ""), (2, "")]);
    let again = listed(&mut collector, 15_000, &[(1, ""), (2, ""), (3, "")]);
    assert_eq!(since(&again)[2], at(15_000), "it had left");
}

#[test]
fn hosts_that_a_starting_proxy_has_not_checked_yet_do_not_come_back() {
    let mut collector = collector("{}");
    let sick = r#""failed_active_health_check":true"#;
    let since = |records: &[Record]| records.iter().map(|r| r.since).collect::<Vec<_>>();
    listed(&mut collector, 1000, &[(1, sick), (2, sick)]);
    listed(&mut collector, 2000, &[(1, ""), (2, sick)]);
    let well = listed(&mut collector, 3000, &[(1, ""), (2, "")]);
    assert_eq!(since(&well), [Instant::ZERO; 2]);
    listed(&mut collector, 4000, &[(1, sick), (2, "")]);
    let back = listed(&mut collector, 5000, &[(1, ""), (2, "")]);
    assert_eq!(since(&back), [at(5000), Instant::ZERO], "it had been well");
}

#[test]
fn checks_have_thresholds_both_ways_and_stand_above_polls() {
    let json = r#"{"hosts":["127.0.0.1:1"],"checks":{"every_ms":100,"path":"/health"},
        "poll":{"unhealthy_after":2,"healthy_after":3}}"#;
    let mut collector = collector(json);
    let a = host(1);
    let asked = tasks(&mut collector, at(1000));
    assert_eq!(asked, [Task::Poll(a), Task::Check(a)]);
    let shown = |collector: &mut Collector| {
        collector.changed = true;
        records(collector, at(9000))[0].state
    };
    collector.on_checked(at(1001), a, false);
    assert_eq!(shown(&mut collector), State::Ready);
    collector.on_checked(at(1002), a, true);
    collector.on_checked(at(1003), a, false);
    assert_eq!(shown(&mut collector), State::Ready, "not in a row");
    collector.on_checked(at(1004), a, false);
    collector.on_polled(at(1005), a, Ok(PAGE));
    assert_eq!(
        shown(&mut collector),
        State::Down,
        "a metrics page is not health"
    );
    collector.on_checked(at(1006), a, true);
    collector.on_checked(at(1007), a, true);
    assert_eq!(shown(&mut collector), State::Down);
    collector.on_checked(at(1008), a, true);
    let back = records(&mut collector, at(9100));
    assert_eq!((back[0].state, back[0].since), (State::Ready, at(1008)));
}

#[test]
fn a_host_that_joins_is_warmed_up_before_its_first_traffic() {
    let mut collector = collector(r#"{"warmup":{"requests":3}}"#);
    listed(&mut collector, 1000, &[(1, "")]);
    assert_eq!(
        listed(&mut collector, 2000, &[(1, ""), (2, "")])[1].state,
        State::Warming
    );
    let mut sent = 0;
    let mut last = at(2000);
    for millis in 2000..4000 {
        for task in tasks(&mut collector, at(millis)) {
            match task {
                Task::Warm(address) => {
                    assert_eq!(address, host(2));
                    sent += 1;
                    last = at(millis + 5);
                    collector.on_warmed(last, address);
                }
                Task::Poll(address) => {
                    collector.on_polled(at(millis), address, Ok(PAGE));
                }
                _ => {
                    collector.on_discovered(None);
                }
            }
        }
    }
    assert_eq!(sent, 3, "bounded");
    collector.changed = true;
    let warm = records(&mut collector, at(4000));
    assert_eq!((warm[1].state, warm[1].since), (State::Ready, last));
}

#[test]
fn idle_hosts_are_kept_warm_when_asked_for() {
    for (json, expected) in [
        (
            r#"{"hosts":["127.0.0.1:1"],"warmup":{"keep_warm_ms":1000}}"#,
            8..=10,
        ),
        (r#"{"hosts":["127.0.0.1:1"]}"#, 0..=0),
    ] {
        let mut collector = collector(json);
        let mut sent = 0;
        for millis in (10_000..20_000).step_by(20) {
            for task in tasks(&mut collector, at(millis)) {
                match task {
                    Task::Warm(address) => {
                        sent += 1;
                        collector.on_warmed(at(millis), address);
                    }
                    Task::Poll(address) => {
                        let idle = b"vllm:num_requests_running 0\n";
                        collector.on_polled(at(millis), address, Ok(idle));
                    }
                    _ => {}
                }
            }
        }
        assert!(expected.contains(&sent), "{json}: {sent}");
    }
}

#[test]
fn whoever_takes_over_knows_what_was_known() {
    let mut before = collector("{}");
    listed(&mut before, 1000, &[(1, ""), (2, "")]);
    listed(&mut before, 2000, &[(1, ""), (2, ""), (3, "")]);
    for _ in 0..3 {
        before.on_polled(at(2100), host(2), Err(PollFailure::Unreachable));
    }
    before.on_polled(at(2100), host(1), Ok(PAGE));
    let mut out = Vec::new();
    assert!(before.publish(at(2200), &mut out));
    let view = View::new_checked(&out).unwrap();
    let mut after = collector("{}");
    after.resume(&view);
    let expected: Vec<Record> = view.records().collect();
    assert_eq!(records(&mut after, at(2300)), expected);
    assert_eq!(expected[1].state, State::Down);
}
