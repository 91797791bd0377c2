//! Twenty swaps of module and configuration under load, and bad ones that are refused.

use plimsoll_e2e::{Figure, Setting, module, until};
use serde_json::json;

use crate::report::Report;
use crate::stage::Stage;

const SWAPS: usize = 20;

pub(crate) async fn play() -> Report {
    let change = |setting| Setting {
        hot_swap: true,
        ..setting
    };
    let mut stage = Stage::with(3, json!({}), change).await;
    let load = stage.load(0.5).start();
    let second = stage.stand.second_module();
    let first = module().to_path_buf();
    for swap in 0..SWAPS {
        let code = if swap % 2 == 0 { &second } else { &first };
        let configuration = json!({"explain": true, "decide_after_bytes": 1024 * (swap + 1)});
        exchange(
            &mut stage,
            &load,
            &format!("swap-{swap}"),
            code,
            &configuration.to_string(),
        )
        .await;
    }
    stage.stand.assert_sound();
    let broken = stage.stand.path().join("broken.wasm");
    std::fs::write(&broken, b"this is no module").expect("the directory is ours");
    refuse(
        &mut stage,
        &load,
        "bad-configuration",
        &first,
        r#"{"policy":"fastest"}"#,
    )
    .await;
    refuse(
        &mut stage,
        &load,
        "bad-module",
        &broken,
        r#"{"explain":true}"#,
    )
    .await;
    let tally = load.stop().await;

    let log = stage.stand.log();
    let says = |words: &[&str]| f64::from(words.iter().all(|word| log.contains(word)));
    let rejected = stage
        .stand
        .metrics()
        .count("plimsoll_config", "result=\"rejected\"");
    let failed = tally.sent() - tally.ok();
    let mut figures = stage.account(&tally).await;
    figures.extend([
        Figure::at_most(
            "failed requests in 20 swaps and 2 refusals",
            failed as f64,
            0,
            "",
        ),
        Figure::at_least("plimsoll_config{result=\"rejected\"}", rejected, 1, ""),
        Figure::at_least(
            "the log names the field and its value",
            says(&["policy", "fastest"]),
            1,
            "",
        ),
        Figure::at_least("the log names the module", says(&["Failed to load"]), 1, ""),
    ]);
    Report::new("swap", tally, figures)
}

type Code = std::path::PathBuf;

/// Puts another filter in place and waits until it serves.
async fn exchange(
    stage: &mut Stage,
    load: &plimsoll_e2e::Running,
    version: &str,
    code: &Code,
    configuration: &str,
) {
    let reloads = "extension_config_discovery.http_filter.plimsoll.config_reload";
    let (before, served) = (stage.stand.stat(reloads), load.ended());
    stage.stand.swap(version, |options| {
        options.module.clone_from(code);
        configuration.clone_into(&mut options.configuration);
    });
    until("the new filter to serve", async || {
        (stage.stand.stat(reloads) > before && load.ended() > served + 10).then_some(())
    })
    .await;
}

/// Offers a bad filter and waits until it is refused and the old one has served on.
async fn refuse(
    stage: &mut Stage,
    load: &plimsoll_e2e::Running,
    version: &str,
    code: &Code,
    configuration: &str,
) {
    let prefix = "extension_config_discovery.http_filter.plimsoll";
    let refused = |stage: &Stage| {
        stage.stand.stat(&format!("{prefix}.update_rejected"))
            + stage.stand.stat(&format!("{prefix}.config_fail"))
    };
    let before = refused(stage);
    stage.stand.swap(version, |options| {
        options.module.clone_from(code);
        configuration.clone_into(&mut options.configuration);
    });
    until("the bad filter to be refused", async || {
        (refused(stage) > before).then_some(())
    })
    .await;
    let served = load.ended();
    until("the old filter to serve", async || {
        (load.ended() > served + 20).then_some(())
    })
    .await;
}
