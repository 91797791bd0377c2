use std::path::PathBuf;

use super::*;
use crate::engine::PromptHasher;

/// A folder of this test's own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("plimsoll-sim-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn mooncake_rows_of_one_step_are_spread_and_seeded() {
    let folder = Folder::new("mooncake");
    let path = folder.write(
        "t.jsonl",
        r#"{"timestamp": 6000, "input_length": 600, "output_length": 5, "hash_ids": [0, 1]}
{"timestamp": 6000, "input_length": 512, "output_length": 0, "hash_ids": [0]}
{"timestamp": 9000, "input_length": 100, "output_length": 7, "hash_ids": [4]}
"#,
    );
    let rows = read(&path, Format::Mooncake, 1).unwrap();
    assert_eq!(rows, read(&path, Format::Mooncake, 1).unwrap());
    assert_eq!(rows.len(), 3);
    assert_eq!(
        rows[0].segments,
        [
            Segment { id: 0, tokens: 512 },
            Segment { id: 1, tokens: 88 }
        ]
    );
    assert_eq!(rows[1].output_tokens, 1);
    assert!(rows[1].at_micros < 3_000_000 && rows[0].at_micros > 0);
    assert_eq!(rows[2].at_micros, 3_000_000);
}

#[test]
fn a_broken_line_is_named() {
    let folder = Folder::new("broken");
    let path = folder.write(
        "t.jsonl",
        "{\"timestamp\": 0, \"input_length\": 600, \"output_length\": 5, \"hash_ids\": [0]}\n",
    );
    let message = read(&path, Format::Mooncake, 1).unwrap_err().to_string();
    assert!(message.contains("t.jsonl:1: input_length"), "{message}");
    let missing = read(&folder.0.join("none"), Format::Azure, 1)
        .unwrap_err()
        .to_string();
    assert!(missing.contains("none"), "{missing}");
}

#[test]
fn azure_times_and_lengths_are_read() {
    let folder = Folder::new("azure");
    let path = folder.write(
        "t.csv",
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 23:59:59.5000000,374,44\n2023-11-17 00:00:01.2500000,396,109\n",
    );
    let rows = read(&path, Format::Azure, 1).unwrap();
    assert_eq!((rows[0].at_micros, rows[1].at_micros), (0, 1_750_000));
    assert_eq!((rows[1].input_tokens(), rows[1].output_tokens), (396, 109));
    assert_ne!(rows[0].segments[0].id, rows[1].segments[0].id);
}

#[test]
fn ragpulse_components_make_the_prompt() {
    let folder = Folder::new("ragpulse");
    for (name, line) in [
        (
            "1_sys_prompt.jsonl",
            r#"{"sys_prompt_id": 1, "token_length": 40}"#,
        ),
        (
            "2_passages.jsonl",
            r#"{"passage_id": 2, "token_length": 84}"#,
        ),
        (
            "3_history.jsonl",
            r#"{"history_id": 3, "token_length": 11}"#,
        ),
        (
            "4_user_input.jsonl",
            r#"{"user_input_id": 4, "token_length": 9}"#,
        ),
        (
            "5_web_search.jsonl",
            r#"{"web_search_id": 5, "token_length": 512}"#,
        ),
    ] {
        folder.write(name, line);
    }
    let path = folder.write(
        "0_trace.jsonl",
        r#"{"timestamp": "82", "input_length": 144, "output_length": 192, "hash_ids": {"sys_prompt": [1], "passages_ids": [2], "history": [3], "web_search": [], "user_input": [4]}, "session_id": "a-1"}"#,
    );
    let rows = read(&path, Format::Ragpulse, 1).unwrap();
    assert_eq!(rows[0].input_tokens(), 144);
    assert_eq!(
        rows[0]
            .segments
            .iter()
            .map(|segment| segment.id)
            .collect::<Vec<_>>(),
        [1, 2, 3, 4]
    );
    assert_ne!(rows[0].session, 0);
}

#[test]
fn servegen_clients_arrive_at_their_rates() {
    let folder = Folder::new("servegen");
    folder.write("chunk-0-trace.csv", "0,2.0,1,Gamma,1.0,0.5\n600,0,0,,0,0\n");
    folder.write(
        "chunk-7-trace.csv",
        "0,0,0,,0,0\n600,1.0,1,Weibull,1.0,1.0\n",
    );
    let rows = read(&folder.0, Format::Servegen, 3).unwrap();
    let of = |tenant| rows.iter().filter(|row| row.tenant == tenant).count() as f64;
    assert!((of(1) - 1200.0).abs() < 120.0, "{}", of(1));
    assert!((of(8) - 600.0).abs() < 80.0, "{}", of(8));
    assert!(
        rows.iter()
            .filter(|row| row.tenant == 8)
            .all(|row| row.at_micros >= 600_000_000)
    );
}

/// The engine over HTTP hashes text, the discrete-event one hashes identifiers: both must find the same equal
/// prefixes.
#[test]
fn text_and_identifiers_agree_on_shared_prefixes() {
    let rows = MultiTurn::default().rows(60, 10.0, 4);
    let text_prompt = |row: &Row| {
        let mut hasher = PromptHasher::new(64, 0);
        for &segment in &row.segments {
            hasher.feed(segment_text(segment).as_bytes());
        }
        hasher.finish()
    };
    let shared = |a: &Prompt, b: &Prompt| {
        a.blocks
            .iter()
            .zip(b.blocks.iter())
            .take_while(|(a, b)| a == b)
            .count()
    };
    let mut most = 0;
    for a in &rows {
        for b in &rows {
            let by_id = shared(&a.prompt(64), &b.prompt(64));
            assert_eq!(by_id, shared(&text_prompt(a), &text_prompt(b)));
            most = most.max(by_id);
        }
    }
    assert!(most > 3);
}

#[test]
fn text_is_four_bytes_a_token_and_needs_no_escapes() {
    for tokens in [0, 1, 2, 3, 511, 512] {
        let text = segment_text(Segment { id: 9, tokens });
        assert_eq!(text.len(), tokens as usize * 4);
        assert!(
            text.bytes()
                .all(|byte| byte == b' ' || byte.is_ascii_lowercase())
        );
        assert!(segment_text(Segment { id: 9, tokens: 600 }).starts_with(&text));
    }
}

#[test]
fn documents_take_the_work_they_are_named_for() {
    let documents = Documents::default();
    let (page, contract) = documents.token_counts();
    let model = documents.gpu.step_model();
    assert!((model.prefill_alone_ms(page) / 200.0 - 1.0).abs() < 0.01);
    assert!((model.prefill_alone_ms(contract) / 12_000.0 - 1.0).abs() < 0.01);
    assert!(contract + documents.output_tokens <= documents.gpu.kv_tokens());
    let rows = documents.rows(20_000, 5.0, 1);
    let contracts = rows
        .iter()
        .filter(|row| row.input_tokens() == contract)
        .count();
    assert!((contracts as f64 / 20_000.0 - 0.03).abs() < 0.005);
    let span = rows.last().unwrap().at_micros as f64 / 1e6;
    assert!((20_000.0 / span / 5.0 - 1.0).abs() < 0.05);
}

#[test]
fn rates_can_be_set() {
    let mut rows = Documents::default().rows(1000, 5.0, 1);
    set_rate(&mut rows, 50.0);
    assert!((rows.last().unwrap().at_micros as f64 / 1e6 - 20.0).abs() < 0.1);
}

#[test]
fn bursts_keep_the_mean_rate() {
    let rows = Bursts::default().rows(20_000, 5.0, 1);
    let span = rows.last().unwrap().at_micros as f64 / 1e6;
    let rate = rows.len() as f64 / span;
    assert!((4.0..6.0).contains(&rate), "{rate}");
    // The busiest second of a hundred has several times the mean.
    let mut counts = vec![0; span as usize + 1];
    for row in &rows {
        counts[(row.at_micros / 1_000_000) as usize] += 1;
    }
    counts.sort_unstable();
    assert!(counts[counts.len() * 99 / 100] > 20, "{counts:?}");
}
