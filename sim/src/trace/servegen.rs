//! ServeGen: who asks how often. Lengths are not in the files used here.

use std::path::Path;

use super::{Row, Segment, TraceError, text_of};
use crate::engine::{chain, mix};
use crate::random::Random;

/// Requests generated at most: the files describe two weeks of a large service.
const MOST_ROWS: usize = 100_000;
/// Time covered, in seconds: the first windows of the files.
const SPAN_SECONDS: f64 = 3600.0;

struct Window {
    start: f64,
    /// `None`: no arrivals.
    gaps: Option<Gaps>,
}

struct Gaps {
    weibull: bool,
    shape: f64,
    scale: f64,
}

/// Reads `chunk-N-trace.csv` of every client in the folder: window start in seconds, rate, coefficient of variation,
/// family, shape, scale of the gaps. A client's arrivals follow its windows' distributions; lengths are log-normal
/// around medians of the client's own (median 600 prompt and 150 output tokens over clients), and each client has a
/// system prompt.
pub(super) fn read(folder: &Path, seed: u64) -> Result<Vec<Row>, TraceError> {
    let entries = std::fs::read_dir(folder).map_err(|error| TraceError::new(folder, 0, error))?;
    let mut files: Vec<_> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().ends_with("-trace.csv"))
        })
        .collect();
    files.sort();
    let mut rows = Vec::new();
    for file in &files {
        let client = client_of(file);
        let windows = windows(file)?;
        arrivals(&windows, client, seed, &mut rows);
    }
    rows.sort_by_key(|row: &Row| row.at_micros);
    rows.truncate(MOST_ROWS);
    Ok(rows)
}

/// The number in `chunk-N-trace.csv`.
fn client_of(file: &Path) -> u64 {
    let name = file
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let digits: String = name.chars().filter(char::is_ascii_digit).collect();
    digits.parse().unwrap_or(0)
}

fn windows(file: &Path) -> Result<Vec<Window>, TraceError> {
    let mut windows = Vec::new();
    for (position, line) in text_of(file)?.lines().enumerate() {
        let fields: Vec<&str> = line.split(',').collect();
        let [start, _rate, _variation, family, shape, scale] = fields[..] else {
            return Err(TraceError::new(
                file,
                position + 1,
                "six fields are expected",
            ));
        };
        let number = |text: &str| {
            text.parse::<f64>().map_err(|_| {
                TraceError::new(file, position + 1, format!("`{text}` is not a number"))
            })
        };
        let gaps = match family {
            "" => None,
            "Gamma" | "Weibull" => Some(Gaps {
                weibull: family == "Weibull",
                shape: number(shape)?,
                scale: number(scale)?,
            }),
            other => {
                return Err(TraceError::new(
                    file,
                    position + 1,
                    format!("unknown family `{other}`"),
                ));
            }
        };
        windows.push(Window {
            start: number(start)?,
            gaps,
        });
    }
    Ok(windows)
}

fn arrivals(windows: &[Window], client: u64, seed: u64, rows: &mut Vec<Row>) {
    let mut random = Random::new(chain(seed, client));
    let input = random.log_normal(600.0, 0.8);
    let output = random.log_normal(150.0, 0.6);
    let system = Segment {
        id: chain(1, client),
        tokens: random.log_normal(200.0, 0.8).clamp(16.0, 4096.0) as u32,
    };
    for (position, window) in windows
        .iter()
        .enumerate()
        .take_while(|(_, window)| window.start < SPAN_SECONDS)
    {
        let Some(gaps) = &window.gaps else { continue };
        let end = windows
            .get(position + 1)
            .map_or(window.start + 600.0, |next| next.start)
            .min(SPAN_SECONDS);
        let mut at = window.start;
        loop {
            at += if gaps.weibull {
                random.weibull(gaps.shape, gaps.scale)
            } else {
                random.gamma(gaps.shape, gaps.scale)
            };
            if at >= end || rows.len() >= 4 * MOST_ROWS {
                break;
            }
            let own = Segment {
                id: mix(chain(client, random.bits())),
                tokens: random.log_normal(input, 0.8).clamp(4.0, 30_000.0) as u32,
            };
            rows.push(Row {
                at_micros: (at * 1e6) as u64,
                segments: vec![system, own],
                output_tokens: random.log_normal(output, 0.7).clamp(1.0, 4000.0) as u32,
                tenant: client + 1,
                session: 0,
            });
        }
    }
}
