//! The bootstrap as a whole; its parts are in the modules named after Envoy's own nouns.

use serde_json::{Value, json};

use crate::options::{Options, Policy};
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
            "listeners": [listener::ingress(options)],
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
