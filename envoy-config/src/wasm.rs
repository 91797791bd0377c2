//! The module's roles: the HTTP filter, the gate and the exchange on every worker, and the collector singleton.

use serde_json::{Value, json};

use crate::options::{AccessLog, Options};

/// Name of the filter; its `root_id` too.
pub(crate) const FILTER: &str = "plimsoll";
const COLLECTOR: &str = "plimsoll_collector";
/// Name of the upstream filter; its `root_id` too.
pub(crate) const GATE: &str = "plimsoll_gate";

/// Name of the filter that answers other proxies; its `root_id` too.
pub(crate) const EXCHANGE: &str = "plimsoll_exchange";

/// The HTTP filter, a `Wasm` message with its type.
pub(crate) fn filter(options: &Options) -> Value {
    on_requests(options, FILTER)
}

/// The upstream HTTP filter that holds the head of a streamed answer until its first token.
pub(crate) fn gate(options: &Options) -> Value {
    on_requests(options, GATE)
}

/// The HTTP filter that answers other proxies.
pub(crate) fn exchange(options: &Options) -> Value {
    on_requests(options, EXCHANGE)
}

fn on_requests(options: &Options, root_id: &str) -> Value {
    let mut config = plugin(options, root_id);
    config["failure_policy"] = json!("FAIL_RELOAD");
    config["reload_config"] = json!({"backoff": {"base_interval": "1s"}});
    config["allow_on_headers_stop_iteration"] = json!(true);
    json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
        "config": config,
    })
}

/// The collector, a bootstrap extension that runs once in the process.
pub(crate) fn collector(options: &Options) -> Value {
    json!({
        "name": "envoy.bootstrap.wasm",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.wasm.v3.WasmService",
            "singleton": true,
            "config": plugin(options, COLLECTOR),
        },
    })
}

fn plugin(options: &Options, root_id: &str) -> Value {
    json!({
        "name": root_id,
        "root_id": root_id,
        "configuration": {
            "@type": "type.googleapis.com/google.protobuf.StringValue",
            "value": configuration(options),
        },
        "vm_config": {
            "vm_id": "plimsoll",
            "runtime": "envoy.wasm.runtime.v8",
            "code": {"local": {"filename": options.module}},
        },
    })
}

/// The module's configuration. With an access log it writes its decisions there, unless it is told otherwise; what is not a JSON object is for
/// the module to refuse.
fn configuration(options: &Options) -> String {
    let text = &options.configuration;
    if options.access_log == AccessLog::Off {
        return text.clone();
    }
    match serde_json::from_str(text) {
        Ok(Value::Object(mut fields)) if !fields.contains_key("access_log") => {
            fields.insert("access_log".to_owned(), json!(true));
            Value::Object(fields).to_string()
        }
        _ => text.clone(),
    }
}
