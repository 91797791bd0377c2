//! Where clients connect: connection manager, the one route, the filter chain, the access log. And where other proxies do.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::cluster::socket_address;
use crate::options::{AccessLog, Jwt, Options, Policy, Tls};
use crate::wasm;

/// Largest prompt, in bytes, that Envoy keeps so that it can be sent again to another host.
const BODY_BUFFER_BYTES: u64 = 8 << 20;

pub(crate) fn all(options: &Options) -> Value {
    let exchange = options
        .exchange
        .filter(|_| options.policy == Policy::Plimsoll)
        .map(|address| exchange(options, address));
    let listeners = std::iter::once(ingress(options)).chain(exchange);
    Value::Array(listeners.collect())
}

/// The listener for other proxies. It leads nowhere: what the module does not answer is not found.
fn exchange(options: &Options, address: SocketAddr) -> Value {
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "exchange",
        "codec_type": "AUTO",
        "use_remote_address": true,
        "max_request_headers_kb": 8,
        "common_http_protocol_options": {"max_headers_count": 32, "idle_timeout": "60s"},
        "request_headers_timeout": "5s",
        "stream_idle_timeout": "5s",
        "http2_protocol_options": {"max_concurrent_streams": 16},
        "route_config": {"name": "exchange", "virtual_hosts": [{
            "name": "nothing",
            "domains": ["*"],
            "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 404}}],
        }]},
        "http_filters": [
            {"name": wasm::EXCHANGE, "typed_config": wasm::exchange(options)},
            router(),
        ],
    });
    json!({
        "name": "exchange",
        "address": socket_address(address),
        "per_connection_buffer_limit_bytes": 65_536,
        "filter_chains": [{"filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": manager,
        }]}],
    })
}

fn router() -> Value {
    json!({
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
    })
}

fn ingress(options: &Options) -> Value {
    let mut chain = json!({
        "filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": connection_manager(options),
        }],
    });
    if let Some(tls) = &options.tls {
        chain["transport_socket"] = transport_socket(tls);
    }
    json!({
        "name": "ingress",
        "address": socket_address(options.listen),
        "per_connection_buffer_limit_bytes": 1_048_576,
        "filter_chains": [chain],
    })
}

fn transport_socket(tls: &Tls) -> Value {
    let mut common = json!({
        "alpn_protocols": ["h2", "http/1.1"],
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
        "tls_certificates": [{
            "certificate_chain": {"filename": tls.certificate},
            "private_key": {"filename": tls.key},
        }],
    });
    if let Some(authorities) = &tls.client_authorities {
        common["validation_context"] = json!({"trusted_ca": {"filename": authorities}});
    }
    json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": common,
            "require_client_certificate": tls.client_authorities.is_some(),
        },
    })
}

fn connection_manager(options: &Options) -> Value {
    let mut manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "ingress",
        "codec_type": "AUTO",
        "use_remote_address": true,
        "internal_address_config": {"cidr_ranges": [{"address_prefix": "0.0.0.0", "prefix_len": 32}]},
        "normalize_path": true,
        "merge_slashes": true,
        "server_header_transformation": "PASS_THROUGH",
        "max_request_headers_kb": 60,
        "common_http_protocol_options": {"max_headers_count": 100, "idle_timeout": "3600s"},
        "request_headers_timeout": "10s",
        "stream_idle_timeout": "300s",
        "http2_protocol_options": {
            "max_concurrent_streams": 1024,
            "initial_stream_window_size": 1_048_576,
            "initial_connection_window_size": 16_777_216,
        },
        "route_config": {"name": "ingress", "virtual_hosts": [{
            "name": "engines",
            "domains": ["*"],
            "request_body_buffer_limit": BODY_BUFFER_BYTES,
            "routes": [{"match": {"prefix": "/"}, "route": route()}],
        }]},
        "http_filters": filters(options),
    });
    if let AccessLog::File(path) = &options.access_log {
        manager["access_log"] = json!([access_log(path)]);
    }
    manager
}

fn route() -> Value {
    json!({
        "cluster": "pool",
        "timeout": "0s",
        "hedge_policy": {"hedge_on_per_try_timeout": true},
        "retry_policy": {
            "retry_on": "connect-failure,refused-stream,reset,retriable-status-codes",
            "retriable_status_codes": [503],
            "num_retries": 2,
            "retry_host_predicate": [{
                "name": "envoy.retry_host_predicates.previous_hosts",
                "typed_config": {"@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"},
            }],
            "host_selection_retry_max_attempts": 5,
        },
    })
}

fn filters(options: &Options) -> Value {
    let router = router();
    let mut filters: Vec<Value> = options.jwt.iter().map(jwt).collect();
    match (options.policy, &options.hot_swap) {
        (Policy::RoundRobin | Policy::LeastRequest, _) => {}
        (Policy::Plimsoll, None) => {
            filters.push(json!({"name": wasm::FILTER, "typed_config": wasm::filter(options)}));
        }
        (Policy::Plimsoll, Some(path)) => filters.push(json!({
            "name": wasm::FILTER,
            "config_discovery": {
                "config_source": {
                    "path_config_source": {"path": path},
                    "resource_api_version": "V3",
                },
                "type_urls": ["type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm"],
            },
        })),
    }
    filters.push(router);
    Value::Array(filters)
}

/// Name under which the module finds what a token says (`identity.jwt_payload`).
const PAYLOAD: &str = "jwt_payload";

fn jwt(jwt: &Jwt) -> Value {
    json!({
        "name": "envoy.filters.http.jwt_authn",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
            "providers": {"clients": {
                "issuer": jwt.issuer,
                "local_jwks": {"filename": jwt.keys},
                "payload_in_metadata": PAYLOAD,
            }},
            "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "clients"}}],
        },
    })
}

fn access_log(path: &std::path::Path) -> Value {
    json!({
        "name": "envoy.access_loggers.file",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
            "path": path,
            "log_format": {"json_format": {
                "time": "%START_TIME%",
                "method": "%REQ(:METHOD)%",
                "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
                "status": "%RESPONSE_CODE%",
                "flags": "%RESPONSE_FLAGS%",
                "details": "%RESPONSE_CODE_DETAILS%",
                "request_bytes": "%BYTES_RECEIVED%",
                "response_bytes": "%BYTES_SENT%",
                "duration_ms": "%DURATION%",
                "first_byte_ms": "%RESPONSE_DURATION%",
                "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
                // Written by the module: each decision and what came of it in words, and the decisions of its sample to be replayed.
                "decision": "%FILTER_STATE(wasm.plimsoll_decision:PLAIN)%",
                "usage": "%FILTER_STATE(wasm.plimsoll_usage:PLAIN)%",
                "record": "%FILTER_STATE(wasm.plimsoll_record:PLAIN)%",
                "host": "%UPSTREAM_HOST%",
                "request_id": "%REQ(X-REQUEST-ID)%",
            }},
        },
    })
}
