//! The binary as scripts use it: `engines`, `load` against them, `compare`.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

fn binary() -> Command {
    Command::new(env!("CARGO_BIN_EXE_plimsoll-sim"))
}

/// A file of this test's own, removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("plimsoll-sim-cli-{name}-{}", std::process::id())))
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&std::fs::read(&self.0).unwrap()).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Engines that are killed if the test fails before it stops them.
struct Engines(Child);

impl Engines {
    fn start(arguments: &[&str]) -> (Self, String) {
        let mut child = binary()
            .arg("engines")
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let addresses = line.strip_prefix("ready ").unwrap().trim().to_owned();
        (Self(child), addresses)
    }

    fn stop(mut self) -> bool {
        let signalled = Command::new("kill")
            .arg(self.0.id().to_string())
            .status()
            .unwrap();
        signalled.success() && self.0.wait().unwrap().success()
    }
}

impl Drop for Engines {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn trace() -> String {
    concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/data/mooncake-conversation.jsonl"
    )
    .to_owned()
}

#[test]
fn load_runs_against_engines_and_sigterm_ends_them() {
    let report = Scratch::new("load");
    let (engines, addresses) = Engines::start(&["--fleet", "2xh200", "--speedup", "100"]);
    assert_eq!(addresses.split(',').count(), 2);
    let status = binary()
        .args([
            "load",
            "--targets",
            &addresses,
            "--engines",
            &addresses,
            "--trace",
            &trace(),
        ])
        .args([
            "--limit",
            "60",
            "--warmup",
            "10",
            "--speedup",
            "100",
            "--name",
            "direct",
            "--quiet",
            "--json",
        ])
        .arg(&report.0)
        .status()
        .unwrap();
    assert!(status.success());
    assert!(engines.stop(), "SIGTERM ends the engines cleanly");
    let report = report.json();
    assert_eq!(report["name"], "direct");
    assert_eq!(
        (
            report["requests"].as_u64(),
            report["ok"].as_u64(),
            report["errors"].as_u64()
        ),
        (Some(50), Some(50), Some(0))
    );
    for pointer in [
        "/ttft_ms/p50",
        "/ttft_ms/p90",
        "/ttft_ms/p99",
        "/tpot_ms/p50",
        "/tpot_ms/p99",
        "/e2e_ms/p50",
        "/e2e_ms/p90",
        "/e2e_ms/p99",
        "/requests_per_s",
        "/output_tokens_per_s",
        "/cache_hit_ratio",
        "/goodput",
        "/running_cv",
        "/work_spread_points",
    ] {
        assert!(
            report.pointer(pointer).is_some_and(Value::is_number),
            "{pointer} in {report}"
        );
    }
}

#[test]
fn compare_writes_its_rows() {
    let rows = Scratch::new("compare");
    let output = binary()
        .args([
            "compare",
            "--trace",
            &trace(),
            "--limit",
            "200",
            "--load",
            "0.5",
            "--fleet",
            "2xh200,2xa100",
        ])
        .args([
            "--policies",
            "round_robin,plimsoll,oracle",
            "--routers",
            "2",
            "--poll-ms",
            "500",
            "--seed",
            "7",
            "--json",
        ])
        .arg(&rows.0)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let rows = rows.json();
    let rows = rows["rows"].as_array().unwrap();
    assert_eq!(
        rows.iter()
            .map(|row| row["policy"].as_str().unwrap())
            .collect::<Vec<_>>(),
        ["round_robin", "plimsoll", "oracle"]
    );
    for row in rows {
        assert_eq!(
            (
                row["fleet"].as_str(),
                row["routers"].as_u64(),
                row["poll_ms"].as_u64()
            ),
            (Some("2xh200,2xa100"), Some(2), Some(500))
        );
        for pointer in [
            "/load",
            "/seed",
            "/ttft_ms/mean",
            "/ttft_ms/p50",
            "/ttft_ms/p99",
            "/tpot_ms/p99",
            "/e2e_ms/mean",
            "/e2e_ms/p50",
            "/e2e_ms/p99",
            "/hit_ratio",
            "/goodput",
            "/throughput_rps",
            "/work_spread_points",
        ] {
            assert!(
                row.pointer(pointer).is_some_and(Value::is_number),
                "{pointer} in {row}"
            );
        }
    }
}

#[test]
fn contest_gives_every_policy_one_number() {
    let report = Scratch::new("contest");
    let output = binary()
        .args([
            "contest",
            "--only",
            "multi-turn",
            "--limit",
            "60",
            "--seeds",
            "2",
        ])
        .args([
            "--policies",
            "round_robin,lmetric,cache_aware,plimsoll,oracle",
        ])
        .args(["--routers", "1@200,4@1000", "--quiet", "--json"])
        .arg(&report.0)
        .output()
        .unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        stdout.contains("4 routers, polls every 1000 ms"),
        "{stdout}"
    );
    let report = report.json();
    assert_eq!(report["rows"].as_array().unwrap().len(), 5 * 2 * 2);
    let composites = report["composites"].as_array().unwrap();
    assert_eq!(composites.len(), 5 * 2);
    for composite in composites {
        for than in ["round_robin", "lmetric", "oracle"] {
            let value = composite["against"][than].as_f64().unwrap();
            assert!(value > 0.0);
            assert!(composite["policy"] != than || value == 1.0, "{composite}");
        }
        assert_eq!(composite["cells"][0]["trace"], "multi-turn");
    }
}

#[test]
fn mistakes_are_explained() {
    for (arguments, message) in [
        (
            vec!["engines", "--fleet", "8xtpu"],
            "h200, h100, a100, a10g, l4",
        ),
        (
            vec!["compare", "--scenario", "agents", "--policies", "magic"],
            "plimsoll",
        ),
        (
            vec!["compare", "--trace", "/nowhere.jsonl"],
            "/nowhere.jsonl",
        ),
        (
            vec![
                "load",
                "--target",
                "https://x/y",
                "--scenario",
                "agents",
                "--limit",
                "10",
            ],
            "http://HOST:PORT",
        ),
    ] {
        let output = binary().args(&arguments).output().unwrap();
        assert!(!output.status.success());
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains(message), "{arguments:?}: {stderr}");
    }
}
