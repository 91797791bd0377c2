//! Clusters: the pool of engines, and the two private ones that only the module can call.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use serde_json::{Value, json};

use crate::options::{Admin, HealthCheck, Host, Options, Policy};
use crate::wasm;

/// Request header with the ranked list of hosts (endpoint-picker protocol).
const PICK_HEADER: &str = "x-gateway-destination-endpoint";

/// A limit that no machine reaches: admission is the module's business, not the circuit breaker's.
const UNLIMITED: u32 = 100_000;

/// Share of the requests under way that may be second tries: half a fleet may die at once, and a fleet that is merely slow is not
/// asked everything twice.
const RETRY_BUDGET_PERCENT: f64 = 50.0;
/// Second tries that are always allowed.
const MIN_RETRIES: u32 = 20;

pub(crate) fn all(options: &Options) -> Value {
    match options.policy {
        Policy::Plimsoll => json!([pool(options), poll(), admin(&options.admin)]),
        Policy::RoundRobin | Policy::LeastRequest => json!([pool(options)]),
    }
}

pub(crate) fn socket_address(address: SocketAddr) -> Value {
    json!({"socket_address": {"address": address.ip().to_string(), "port_value": address.port()}})
}

pub(crate) fn admin_address(admin: &Admin) -> Value {
    match admin {
        Admin::Tcp(address) => socket_address(*address),
        // 384 is 0600: only the user that runs Envoy.
        Admin::Unix(path) => json!({"pipe": {"path": path, "mode": 384}}),
    }
}

fn pool(options: &Options) -> Value {
    let mut cluster = json!({
        "name": "pool",
        "connect_timeout": "1s",
        "ignore_health_on_host_removal": true,
        "load_balancing_policy": {"policies": [load_balancing(options.policy)]},
        "circuit_breakers": {"thresholds": [{
            "max_connections": UNLIMITED,
            "max_pending_requests": UNLIMITED,
            "max_requests": UNLIMITED,
            "retry_budget": {
                "budget_percent": {"value": RETRY_BUDGET_PERCENT},
                "min_retry_concurrency": MIN_RETRIES,
            },
        }]},
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": protocol(options),
        },
    });
    match &options.endpoints {
        None => {
            cluster["type"] = json!("STATIC");
            cluster["load_assignment"] = assignment(&options.hosts, &[]);
        }
        Some(path) => {
            cluster["type"] = json!("EDS");
            cluster["eds_cluster_config"] = json!({"eds_config": {
                "path_config_source": {"path": path},
                "resource_api_version": "V3",
            }});
        }
    }
    if let HealthCheck::Http(path) = &options.health_check {
        cluster["health_checks"] = json!([{
            "timeout": "1s",
            "interval": "2s",
            "no_traffic_interval": "2s",
            "unhealthy_threshold": 2,
            "healthy_threshold": 1,
            "http_health_check": {"path": path, "expected_statuses": [{"start": 200, "end": 500}]},
        }]);
    }
    cluster
}

/// The hosts as Envoy lists them; those in `draining` finish what they have.
pub(crate) fn assignment(hosts: &[Host], draining: &[SocketAddr]) -> Value {
    let endpoint = |host: &Host| {
        let mut endpoint = json!({
            "endpoint": {"address": socket_address(host.address)},
            "load_balancing_weight": host.weight,
        });
        if draining.contains(&host.address) {
            endpoint["health_status"] = json!("DRAINING");
        }
        endpoint
    };
    json!({
        "cluster_name": "pool",
        "endpoints": [{"lb_endpoints": hosts.iter().map(endpoint).collect::<Vec<_>>()}],
    })
}

fn load_balancing(policy: Policy) -> Value {
    match policy {
        Policy::RoundRobin => extension(
            "round_robin",
            json!({"@type": "type.googleapis.com/envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin"}),
        ),
        Policy::LeastRequest => {
            let mut config = least_request();
            config["selection_method"] = json!("FULL_SCAN");
            extension("least_request", config)
        }
        Policy::Plimsoll => extension(
            "override_host",
            json!({
                "@type": "type.googleapis.com/envoy.extensions.load_balancing_policies.override_host.v3.OverrideHost",
                "override_host_sources": [{"header": PICK_HEADER}],
                "selected_host_key": {
                    "key": "envoy.lb",
                    "path": [{"key": format!("{PICK_HEADER}-served")}],
                },
                "fallback_policy": {"policies": [extension("least_request", least_request())]},
            }),
        ),
    }
}

fn least_request() -> Value {
    json!({"@type": "type.googleapis.com/envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest"})
}

fn extension(name: &str, config: Value) -> Value {
    json!({"typed_extension_config": {
        "name": format!("envoy.load_balancing_policies.{name}"),
        "typed_config": config,
    }})
}

/// HTTP/1.1 to the engines; the pick header taken off after it has been used; the head of a streamed answer held until its first token.
fn protocol(options: &Options) -> Value {
    let mut filters = vec![
        json!({
            "name": "envoy.filters.http.header_mutation",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation",
                "mutations": {"request_mutations": [{"remove": PICK_HEADER}]},
            },
        }),
        json!({
            "name": "envoy.filters.http.upstream_codec",
            "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec"},
        }),
    ];
    if options.policy == Policy::Plimsoll {
        filters.insert(
            0,
            json!({"name": wasm::GATE, "typed_config": wasm::gate(options)}),
        );
    }
    json!({
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "common_http_protocol_options": {"idle_timeout": "4s"},
        "explicit_http_config": {"http_protocol_options": {}},
        "http_filters": filters,
    })
}

fn poll() -> Value {
    json!({
        "name": "plimsoll_poll",
        "type": "ORIGINAL_DST",
        "lb_policy": "CLUSTER_PROVIDED",
        "connect_timeout": "0.5s",
        "original_dst_lb_config": {
            "use_http_header": true,
            "http_header_name": "x-plimsoll-poll-target",
        },
    })
}

fn admin(admin: &Admin) -> Value {
    let address = match admin {
        Admin::Tcp(address) => socket_address(reachable(*address)),
        Admin::Unix(path) => json!({"pipe": {"path": path}}),
    };
    json!({
        "name": "envoy_admin",
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": "envoy_admin",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
    })
}

/// The address to call for a server that listens on `address`: the wildcard is no destination.
pub(crate) fn reachable(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => (Ipv4Addr::LOCALHOST, v4.port()).into(),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => (Ipv6Addr::LOCALHOST, v6.port()).into(),
        other => other,
    }
}
