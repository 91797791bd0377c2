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
fn ablation_measures_a_weight() {
    let report = Scratch::new("ablate");
    let output = binary()
        .args([
            "ablate",
            "--only",
            "documents",
            "--limit",
            "40",
            "--seeds",
            "2",
        ])
        .args([
            "--weights",
            "stall",
            "--routers",
            "1@200",
            "--quiet",
            "--json",
        ])
        .arg(&report.0)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let report = report.json();
    let effects = report["effects"].as_array().unwrap();
    let names: Vec<&str> = effects
        .iter()
        .map(|e| e["variant"].as_str().unwrap())
        .collect();
    assert_eq!(names.len(), 3, "{names:?}");
    for effect in effects {
        assert!(effect["composite"].as_f64().unwrap() > 0.5, "{effect}");
        assert!(effect["seed_sd"].is_number(), "{effect}");
    }
}

#[test]
fn hosts_that_change_and_polls_that_fail_are_compared() {
    let events = Scratch::new("events");
    std::fs::write(&events.0, "# it recovers\nt=9s host=0 speed=1\n").unwrap();
    let output = binary()
        .args([
            "compare",
            "--scenario",
            "bursts",
            "--limit",
            "200",
            "--fleet",
            "2xh200",
            "--load",
            "1.2",
        ])
        .args([
            "--policies",
            "plimsoll,bound",
            "--event",
            "t=1s host=0 speed=0.5",
        ])
        .args(["--event", "t=2s host=1 die", "--event", "t=4s host=1 join"])
        .args([
            "--poll-loss",
            "0.1",
            "--poll-delay-ms",
            "100",
            "--events-file",
        ])
        .arg(&events.0)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(
        stdout.contains("plimsoll") && stdout.contains("bound"),
        "{stdout}"
    );
}

#[test]
fn recorded_decisions_are_made_again() {
    let (records, report) = (Scratch::new("records"), Scratch::new("replay"));
    let compared = binary()
        .args(["compare", "--scenario", "agents", "--limit", "300"])
        .args(["--policies", "plimsoll,power_of_two", "--quiet", "--record"])
        .arg(&records.0)
        .output()
        .unwrap();
    assert!(compared.status.success());
    let replay = |more: &[&str]| {
        let output = binary()
            .arg("replay")
            .arg(&records.0)
            .arg("--json")
            .arg(&report.0)
            .args(more)
            .output()
            .unwrap();
        (output, report.json())
    };
    let (output, counts) = replay(&[]);
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{stdout}");
    assert_eq!(counts["records"], 600);
    assert_eq!(counts["identical"], 600);
    let (_, counts) = replay(&["--policy", "least_request"]);
    let under = &counts["under"];
    assert!(under["disagreed"].as_u64().unwrap() > 50, "{counts}");
    assert!(under["regret_us"].as_u64().unwrap() > 0, "{counts}");
    let (_, counts) = replay(&["--weights", "stall=40,kv_limit=0.5"]);
    assert_eq!(counts["policy"], "plimsoll");

    // One bit of one record.
    let mut bytes = std::fs::read(&records.0).unwrap();
    bytes[600] ^= 1;
    std::fs::write(&records.0, bytes).unwrap();
    let (output, counts) = replay(&[]);
    assert!(!output.status.success());
    assert_eq!(counts["unreadable"], 1);
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
            vec![
                "compare",
                "--scenario",
                "agents",
                "--event",
                "t=1s host=8 die",
            ],
            "host 8",
        ),
        (
            vec![
                "compare",
                "--scenario",
                "agents",
                "--event",
                "t=1s host=1 explode",
            ],
            "join, leave, die",
        ),
        (
            vec!["compare", "--trace", "/nowhere.jsonl"],
            "/nowhere.jsonl",
        ),
        (vec!["replay", "/nowhere.log"], "/nowhere.log"),
        (vec!["replay", "x", "--weights", "speed=1"], "kv_pressure"),
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
