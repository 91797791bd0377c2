//! RAGPulse: requests made of components (system prompt, passages, history, web pages, question).

use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::{Row, Segment, TraceError, text_of};
use crate::engine::chain;

/// Files of component lengths beside the trace.
const COMPONENTS: [&str; 5] = [
    "1_sys_prompt.jsonl",
    "2_passages.jsonl",
    "3_history.jsonl",
    "4_user_input.jsonl",
    "5_web_search.jsonl",
];

#[derive(Deserialize)]
struct Line {
    /// Seconds, as text.
    timestamp: String,
    output_length: u32,
    hash_ids: Ids,
    session_id: String,
}

#[derive(Deserialize)]
struct Ids {
    sys_prompt: Vec<u64>,
    passages_ids: Vec<u64>,
    history: Vec<u64>,
    web_search: Vec<u64>,
    user_input: Vec<u64>,
}

/// Reads the trace and its component files. The prompt is in the order of the trace's fields, question last.
pub(super) fn read(path: &Path) -> Result<Vec<Row>, TraceError> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    let mut lengths = HashMap::new();
    for name in COMPONENTS {
        let file = folder.join(name);
        for (position, line) in lines(&text_of(&file)?) {
            let problem = |what: String| TraceError::new(&file, position + 1, what);
            let object: Value =
                serde_json::from_str(line).map_err(|error| problem(error.to_string()))?;
            let tokens = object.get("token_length").and_then(Value::as_u64);
            let id = object.as_object().and_then(|fields| {
                fields
                    .iter()
                    .find(|(key, _)| key.ends_with("_id"))
                    .and_then(|(_, id)| id.as_u64())
            });
            let (Some(id), Some(tokens)) = (id, tokens) else {
                return Err(problem("an id and token_length are expected".to_owned()));
            };
            lengths.insert(id, u32::try_from(tokens).unwrap_or(u32::MAX));
        }
    }
    let mut rows = Vec::new();
    let mut first = None;
    for (position, line) in lines(&text_of(path)?) {
        let problem = |what: String| TraceError::new(path, position + 1, what);
        let line: Line = serde_json::from_str(line).map_err(|error| problem(error.to_string()))?;
        let seconds: f64 = line
            .timestamp
            .parse()
            .map_err(|_| problem("timestamp: seconds are expected".to_owned()))?;
        let start = *first.get_or_insert(seconds);
        let Ids {
            sys_prompt,
            passages_ids,
            history,
            web_search,
            user_input,
        } = line.hash_ids;
        let mut segments = Vec::new();
        for id in [sys_prompt, passages_ids, history, web_search, user_input]
            .into_iter()
            .flatten()
        {
            let tokens = *lengths
                .get(&id)
                .ok_or_else(|| problem(format!("component {id} has no length")))?;
            if tokens > 0 {
                segments.push(Segment { id, tokens });
            }
        }
        rows.push(Row {
            at_micros: ((seconds - start).max(0.0) * 1e6) as u64,
            segments,
            output_tokens: line.output_length.max(1),
            tenant: 0,
            session: line
                .session_id
                .bytes()
                .fold(1, |hash, byte| chain(hash, u64::from(byte))),
        });
    }
    Ok(rows)
}

/// Lines with their position, empty ones left out.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
}
