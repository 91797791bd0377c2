//! The bootstrap as a whole; its parts are in the modules named after Envoy's own nouns.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::options::{Host, Options, Policy};
use crate::{cluster, listener, stats, wasm};

/// Clients connected at once, over all workers; beyond it connections are closed at once.
const MAX_CONNECTIONS: u32 = 50_000;

/// The complete Envoy 1.40 bootstrap for `options`, as JSON text.
///
/// The result is a function of `options` alone: equal options give equal text.
pub fn render(options: &Options) -> String {
    pretty(&bootstrap(options))
}

/// The contents of the file named by [`Options::hot_swap`]: the filter, with `version` so that
/// Envoy's admin shows which one is loaded.
///
/// Envoy watches for renames: write beside the file, then rename over it.
pub fn render_discovery(options: &Options, version: &str) -> String {
    pretty(&json!({
        "version_info": version,
        "resources": [{
            "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
            "name": wasm::FILTER,
            "typed_config": wasm::filter(options),
        }],
    }))
}

/// The contents of the file named by [`Options::endpoints`]: `hosts`, of which those in `draining` get no new requests
/// while what runs on them finishes. A host that is left out is gone: the same, and it is forgotten.
///
/// Envoy watches for renames: write beside the file, then rename over it.
pub fn render_endpoints(hosts: &[Host], draining: &[SocketAddr], version: &str) -> String {
    let mut assignment = cluster::assignment(hosts, draining);
    assignment["@type"] =
        json!("type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment");
    pretty(&json!({"version_info": version, "resources": [assignment]}))
}

fn bootstrap(options: &Options) -> Value {
    let mut root = json!({
        "node": {"id": "plimsoll", "cluster": "plimsoll"},
        "admin": {"address": cluster::admin_address(&options.admin)},
        "overload_manager": {"resource_monitors": [{
            "name": "envoy.resource_monitors.global_downstream_max_connections",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
                "max_active_downstream_connections": MAX_CONNECTIONS,
            },
        }]},
        "static_resources": {
            "listeners": listener::all(options),
            "clusters": cluster::all(options),
        },
    });
    if options.policy == Policy::Plimsoll {
        root["bootstrap_extensions"] = json!([wasm::collector(options)]);
        root["stats_config"] = stats::config();
    }
    root
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

#[cfg(test)]
mod tests;
