//! Reading an answer as it streams in: when tokens come, and the usage at the end.

use memchr::memmem::Finder;
use serde_json::Value;

/// Token counts that the server reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) prompt_tokens: u64,
    pub(super) completion_tokens: u64,
    pub(super) cached_tokens: u64,
}

/// Reader of one server-sent event stream.
pub(super) struct Reader {
    /// The beginning of a line whose end has not come.
    partial: Vec<u8>,
    pub(super) usage: Option<Usage>,
    /// Events with text.
    pub(super) events: u64,
    pub(super) done: bool,
}

/// Searchers built once for all streams.
pub(super) struct Marks {
    content: Finder<'static>,
    usage: Finder<'static>,
}

impl Marks {
    pub(super) fn new() -> Self {
        Self {
            content: Finder::new("\"content\":\""),
            usage: Finder::new("\"usage\":{"),
        }
    }
}

impl Reader {
    pub(super) fn new() -> Self {
        Self {
            partial: Vec::new(),
            usage: None,
            events: 0,
            done: false,
        }
    }

    /// Takes the next bytes; returns whether they carried text.
    pub(super) fn feed(&mut self, marks: &Marks, bytes: &[u8]) -> bool {
        let before = self.events;
        let mut rest = bytes;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (line, after) = rest.split_at(end);
            if self.partial.is_empty() {
                self.line(marks, line);
            } else {
                let mut whole = core::mem::take(&mut self.partial);
                whole.extend_from_slice(line);
                self.line(marks, &whole);
            }
            rest = &after[1..];
        }
        self.partial.extend_from_slice(rest);
        self.events > before
    }

    fn line(&mut self, marks: &Marks, line: &[u8]) {
        let Some(data) = line.strip_prefix(b"data: ") else {
            return;
        };
        if data == b"[DONE]" || data == b"[DONE]\r" {
            self.done = true;
        } else if let Some(at) = marks.content.find(data) {
            // The role chunk's content is empty.
            let text = data.get(at + marks.content.needle().len());
            self.events += u64::from(text.is_some_and(|&byte| byte != b'"'));
        } else if marks.usage.find(data).is_some() {
            self.usage = usage(data);
        }
    }
}

fn usage(data: &[u8]) -> Option<Usage> {
    let value: Value = serde_json::from_slice(data).ok()?;
    let usage = value.get("usage")?;
    let count = |field: &str| usage.get(field).and_then(Value::as_u64);
    let cached = usage
        .pointer("/prompt_tokens_details/cached_tokens")
        .and_then(Value::as_u64);
    Some(Usage {
        prompt_tokens: count("prompt_tokens")?,
        completion_tokens: count("completion_tokens")?,
        cached_tokens: cached.unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_counted_however_the_bytes_are_cut() {
        let stream = concat!(
            "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n",
            "data: {\"choices\":[{\"delta\":{\"content\":\"the \"}}]}\n\n",
            "data: {\"choices\":[{\"delta\":{\"content\":\"cat \"}}]}\n\n",
            "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"length\"}]}\n\n",
            "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":2,",
            "\"prompt_tokens_details\":{\"cached_tokens\":4}}}\n\ndata: [DONE]\n\n",
        );
        let marks = Marks::new();
        for size in [1, 7, 64, stream.len()] {
            let mut reader = Reader::new();
            for piece in stream.as_bytes().chunks(size) {
                reader.feed(&marks, piece);
            }
            assert!(reader.done);
            assert_eq!(reader.events, 2);
            assert_eq!(
                reader.usage,
                Some(Usage {
                    prompt_tokens: 7,
                    completion_tokens: 2,
                    cached_tokens: 4
                })
            );
        }
    }
}
