use super::*;
use std::path::{Path, PathBuf};

use crate::options::{AccessLog, Admin, HealthCheck};
use crate::{Envoy, EnvoyBinary};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The smallest module that Envoy loads: an ABI marker, a memory and an allocator. The shipped
/// module is validated by the end-to-end tests, which build it.
const MODULE: &[u8] = b"\0asm\x01\0\0\0\
    \x01\x09\x02\x60\0\0\x60\x01\x7f\x01\x7f\
    \x03\x03\x02\0\x01\
    \x05\x03\x01\0\x01\
    \x07\x2d\x03\x06memory\x02\0\x17proxy_abi_version_0_2_1\0\0\x06malloc\0\x01\
    \x0a\x09\x02\x02\0\x0b\x04\0\x41\0\x0b";

/// The explained file and the code say the same, so neither can drift.
#[test]
fn the_commented_file_equals_the_default() {
    let text = std::fs::read_to_string(root().join("envoy-config/envoy.yaml")).unwrap();
    let written: Value = serde_norway::from_str(&text).unwrap();
    let rendered: Value = serde_json::from_str(&render(&Options::default())).unwrap();
    for (part, value) in rendered.as_object().unwrap() {
        assert_eq!(&written[part], value, "in {part}");
    }
    assert_eq!(written, rendered);
}

#[test]
fn every_mode_is_accepted_by_envoy() {
    let Ok(binary) = EnvoyBinary::find(&root()) else {
        eprintln!("skipped: no Envoy; run `cargo xtask setup`");
        return;
    };
    let directory = Envoy::directory().unwrap();
    let module = directory.path().join("module.wasm");
    std::fs::write(&module, MODULE).unwrap();
    let base = Options {
        module,
        admin: Admin::private(directory.path()),
        ..Options::default()
    };
    let variants = [
        base.clone(),
        Options {
            policy: Policy::RoundRobin,
            ..base.clone()
        },
        Options {
            policy: Policy::LeastRequest,
            ..base.clone()
        },
        Options {
            hot_swap: Some(directory.path().join("filter.json")),
            ..base.clone()
        },
        Options {
            exchange: Some("127.0.0.1:10001".parse().unwrap()),
            ..base.clone()
        },
        Options {
            endpoints: Some(directory.path().join("endpoints.json")),
            ..base.clone()
        },
        Options {
            admin: Admin::Tcp("0.0.0.0:9901".parse().unwrap()),
            health_check: HealthCheck::Off,
            access_log: AccessLog::File("/dev/stdout".into()),
            hosts: vec!["[::1]:8001".parse::<SocketAddr>().unwrap().into()],
            ..base
        },
    ];
    for (index, options) in variants.iter().enumerate() {
        let config = directory.path().join(format!("{index}.json"));
        std::fs::write(&config, render(options)).unwrap();
        if let Some(path) = &options.hot_swap {
            std::fs::write(path, render_discovery(options, "1")).unwrap();
        }
        if let Some(path) = &options.endpoints {
            let draining = [options.hosts[1].address];
            let text = render_endpoints(&options.hosts, &draining, "1");
            std::fs::write(path, text).unwrap();
        }
        if let Err(error) = binary.validate(&config, directory.path()) {
            panic!("variant {index}: {error}");
        }
    }
}

#[test]
fn rivals_differ_only_in_who_chooses() {
    let ours: Value = serde_json::from_str(&render(&Options::default())).unwrap();
    let rival = Options {
        policy: Policy::RoundRobin,
        ..Options::default()
    };
    let rival: Value = serde_json::from_str(&render(&rival)).unwrap();
    let pool = |root: &Value| {
        let mut pool = root["static_resources"]["clusters"][0].clone();
        pool.as_object_mut()
            .unwrap()
            .remove("load_balancing_policy");
        let http = "/typed_extension_protocol_options/envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
        let filters = pool.pointer_mut(&format!("{http}/http_filters")).unwrap();
        let filters = filters.as_array_mut().unwrap();
        filters.retain(|filter| filter["name"] != wasm::GATE);
        pool
    };
    assert_eq!(pool(&ours), pool(&rival));
    let route = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/route_config";
    assert_eq!(ours.pointer(route), rival.pointer(route));
    assert!(!rival.to_string().contains("wasm"));
}

#[test]
fn a_wildcard_admin_is_polled_on_loopback() {
    let options = Options {
        admin: Admin::Tcp("0.0.0.0:9901".parse().unwrap()),
        ..Options::default()
    };
    let rendered: Value = serde_json::from_str(&render(&options)).unwrap();
    let endpoint = "/static_resources/clusters/2/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address/socket_address/address";
    assert_eq!(rendered.pointer(endpoint).unwrap(), "127.0.0.1");
    assert_eq!(
        rendered["admin"]["address"]["socket_address"]["address"],
        "0.0.0.0"
    );
}
