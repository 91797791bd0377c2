//! Bad configuration is refused in the module's words, and what serves goes on serving.

use plimsoll_e2e::{Echo, Protocol, Setting, Stand, chat, root, until, whole};
use plimsoll_envoy::{Admin, EnvoyBinary, LaunchError, Options, render};
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn envoy_does_not_start_with_a_bad_configuration() {
    let echo = Echo::start().await;
    let setting = Setting::hosts([echo.address])
        .configuration(json!({"policy": "fastest", "decide_after_bytes": -1}));
    let Err(LaunchError::Refused(log)) = Stand::launch(setting).await else {
        panic!("Envoy started");
    };
    // Both errors at once, each with its field and what it holds.
    for word in ["policy", "fastest", "decide_after_bytes", "-1"] {
        assert!(log.contains(word), "{word:?} is not in Envoy's log:\n{log}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_update_is_refused_and_the_old_filter_serves() {
    let echo = Echo::start().await;
    let setting = Setting {
        hot_swap: true,
        ..Setting::hosts([echo.address])
    };
    let mut stand = Stand::start(setting).await;
    let mut client = stand.client(Protocol::Http1).await;
    let broken = stand_file(&stand, b"this is no module");
    let refused = |stand: &Stand| {
        stand.stat("extension_config_discovery.http_filter.plimsoll.update_rejected")
            + stand.stat("extension_config_discovery.http_filter.plimsoll.config_fail")
    };
    for (version, is_module) in [("bad-configuration", false), ("bad-module", true)] {
        let before = refused(&stand);
        let broken = broken.clone();
        stand.swap(version, |options| {
            if is_module {
                options.module = broken;
            } else {
                options.configuration = r#"{"policy":"fastest"}"#.to_owned();
            }
        });
        until("Envoy to refuse the update", async || {
            let reply = client.send(chat(whole("{}"))).await;
            assert_eq!(reply.status, 200, "while {version} is being refused");
            (refused(&stand) > before).then_some(())
        })
        .await;
        assert_eq!(
            client.send(chat(whole("{}"))).await.status,
            200,
            "after {version}"
        );
    }
}

/// The explained file works as it stands, with the shipped module.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_commented_configuration_is_valid() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("target")).unwrap();
    std::fs::copy(
        plimsoll_e2e::module(),
        directory.path().join("target/plimsoll.wasm"),
    )
    .unwrap();
    let binary = EnvoyBinary::find(&root()).unwrap();
    let check = |config: &std::path::Path| {
        binary
            .validate(config, directory.path())
            .unwrap_or_else(|error| panic!("{error}"));
    };
    check(
        &root()
            .canonicalize()
            .unwrap()
            .join("envoy-config/envoy.yaml"),
    );
    let rendered = directory.path().join("rendered.json");
    let options = Options {
        admin: Admin::private(directory.path()),
        ..Options::default()
    };
    std::fs::write(&rendered, render(&options)).unwrap();
    check(&rendered);
}

fn stand_file(stand: &Stand, bytes: &[u8]) -> std::path::PathBuf {
    let path = stand.path().join("broken.wasm");
    std::fs::write(&path, bytes).unwrap();
    path
}
