use super::*;
use alloc::string::ToString;

#[test]
fn empty_documents_are_the_default() {
    for json in ["", " \n", "{}"] {
        let config = Config::parse(json.as_bytes()).unwrap();
        assert_eq!(
            Config {
                fingerprint: 0,
                ..config
            },
            Config {
                fingerprint: 0,
                ..Config::default()
            }
        );
    }
}

#[test]
fn every_error_is_named_at_once() {
    let errors = Config::parse(
        br#"{"pool":"","policy":"fastest","hosts":["localhost:80",7,{"weight":0},{"address":"10.0.0.1:80","colour":1}],
            "poll":{"every_ms":-1,"speed":3},"weights":[],"tick_ms":1.5,"tie_band":2,"explain":"yes"}"#,
    )
    .unwrap_err();
    let text = errors.to_string();
    for expected in [
        "pool: \"\" is not accepted; give a string of 1 to 256 bytes",
        "policy: \"fastest\" is not accepted; give one of plimsoll, round_robin",
        "hosts[0]: \"localhost:80\" is not accepted; give a literal ip:port",
        "hosts[1]: 7 is not accepted",
        "hosts[2].weight: 0 is not accepted; give an integer from 1 to 1000",
        "hosts[2].address: missing",
        "hosts[3].colour: unknown field; accepted here: address, weight, models",
        "poll.every_ms: -1 is not accepted; give an integer from 20 to 60000",
        "poll.speed: unknown field; accepted here: cluster, path, every_ms, timeout_ms, unhealthy_after, healthy_after",
        "weights: [] is not accepted; give an object",
        "tick_ms: 1.5 is not accepted",
        "tie_band: 2 is not accepted; give a number from 0 to 1",
        "explain: \"yes\" is not accepted; give true or false",
    ] {
        assert!(text.contains(expected), "missing: {expected}\nin:\n{text}");
    }
    assert_eq!(errors.messages().len(), 13, "{text}");
}

#[test]
fn what_is_not_json_says_where() {
    let text = Config::parse(b"{\"pool\": ").unwrap_err().to_string();
    assert!(
        text.contains("not JSON") && text.contains("line 1"),
        "{text}"
    );
    assert!(
        Config::parse(b"[1]")
            .unwrap_err()
            .to_string()
            .contains("give a JSON object")
    );
}

#[test]
fn whole_document_rules() {
    let text = Config::parse(br#"{"hosts":["10.0.0.1:80","10.0.0.1:80"],"stale_after_ms":100}"#)
        .unwrap_err()
        .to_string();
    assert!(
        text.contains("listed twice") && text.contains("stale_after_ms: 100 is not accepted"),
        "{text}"
    );
}

#[test]
fn sizes_that_would_exhaust_a_module_are_refused() {
    let parse = |hosts, blocks| {
        let limits = alloc::format!(r#"{{"limits":{{"hosts":{hosts},"prefix_blocks":{blocks}}}}}"#);
        Config::parse(limits.as_bytes())
    };
    assert!(parse(4096, 65_536).is_ok() && parse(256, 2_097_152).is_ok());
    let text = parse(4096, 4_194_304).unwrap_err().to_string();
    assert!(
        text.contains("take 4176 MiB; give sizes that take 256 MiB at most"),
        "{text}"
    );
}

#[test]
fn fields_are_read() {
    let config = Config::parse(
        br#"{"policy":"least_request","hosts":["10.0.0.1:80",{"address":"[::1]:81","weight":3,"models":["a"]}],
            "weights":{"stall":0.25},"poll":{"every_ms":500},"limits":{"hosts":8}}"#,
    )
    .unwrap();
    assert_eq!(config.policy, Policy::LeastRequest);
    assert_eq!(config.hosts.len(), 2);
    assert_eq!(config.hosts[1].weight, 3);
    assert_eq!(config.hosts[1].models, [hash::key(b"a")]);
    assert_eq!(config.weights.stall, fixed::ONE / 4);
    assert_eq!(config.poll.every, Micros::from_millis(500));
    assert_ne!(config.fingerprint, Config::default().fingerprint);
}

#[test]
fn schema_and_table_name_every_field() {
    let schema = Config::schema();
    let table = Config::table();
    assert_eq!(
        schema["properties"]["poll"]["properties"]["every_ms"]["default"],
        200
    );
    assert_eq!(
        schema["properties"]["weights"]["properties"]["crowding"]["default"],
        0.1
    );
    assert!(
        table.contains("| `weights.kv_limit` | 0.8 | 0 to 1 |"),
        "{table}"
    );
    assert!(table.contains("| `poll.every_ms` | 200 | 20 to 60000 |"));
}

#[test]
fn health_and_draining_are_read_and_checked() {
    let config = Config::parse(
        br#"{"draining":["10.0.0.1:80","[::1]:81"],"health":{"max_ejected":0.25,"slow_start_ms":0},
            "checks":{"every_ms":500},"warmup":{"requests":50},"limits":{"host_inflight":9}}"#,
    )
    .unwrap();
    assert_eq!(config.draining.len(), 2);
    assert_eq!(config.health.max_ejected, fixed::ONE / 4);
    assert_eq!(config.health.slow_start, Micros::ZERO);
    assert_eq!(config.checks.every, Micros::from_millis(500));
    assert_eq!(
        (config.warmup.requests, config.limits.host_inflight),
        (50, 9)
    );
    let text = Config::parse(
        br#"{"draining":["nowhere"],"health":{"open_ms":5000,"max_open_ms":1000,"probes":0}}"#,
    )
    .unwrap_err()
    .to_string();
    for expected in [
        "draining: \"nowhere\" is not accepted; give a literal ip:port",
        "health.max_open_ms: 1000 is not accepted; give at least health.open_ms (5000)",
        "health.probes: 0 is not accepted; give an integer from 1 to 1000",
    ] {
        assert!(text.contains(expected), "missing: {expected}\nin:\n{text}");
    }
    let text = Config::parse(br#"{"draining":[7]}"#)
        .unwrap_err()
        .to_string();
    assert!(
        text.contains("draining: [7] is not accepted; give a list"),
        "{text}"
    );
}
