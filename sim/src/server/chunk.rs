//! The answers' wire form: server-sent events and whole JSON objects, written without a serialiser because one chunk
//! is written for every token.

use bytes::{BufMut, BytesMut};

use crate::engine::mix;

/// Which API the answer belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Api {
    /// `/v1/chat/completions`
    Chat,
    /// `/v1/completions`
    Completion,
}

/// Words of three letters: with the space behind, each is one token of four bytes.
const WORDS: [&str; 32] = [
    "the", "and", "for", "are", "but", "not", "you", "all", "any", "can", "had", "her", "was",
    "one", "our", "out", "day", "get", "has", "him", "his", "how", "man", "new", "now", "old",
    "see", "two", "way", "who", "boy", "did",
];

/// Text of the tokens `first..=last` of the answer to the prompt with this digest.
fn put_text(out: &mut BytesMut, digest: u64, first: u32, last: u32) {
    for ordinal in first..=last {
        let word = mix(digest.wrapping_add(u64::from(ordinal))) % WORDS.len() as u64;
        out.put_slice(WORDS[word as usize].as_bytes());
        out.put_u8(b' ');
    }
}

/// Decimal digits of `value`.
fn put_number(out: &mut BytesMut, value: u32) {
    let mut digits = [0; 10];
    let mut start = digits.len();
    let mut rest = value;
    loop {
        start -= 1;
        digits[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.put_slice(&digits[start..]);
}

/// Token counts of one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) prompt_tokens: u32,
    pub(super) completion_tokens: u32,
    pub(super) cached_tokens: u32,
}

impl Usage {
    fn put(self, out: &mut BytesMut) {
        out.put_slice(b"\"usage\":{\"prompt_tokens\":");
        put_number(out, self.prompt_tokens);
        out.put_slice(b",\"total_tokens\":");
        put_number(
            out,
            self.prompt_tokens.saturating_add(self.completion_tokens),
        );
        out.put_slice(b",\"completion_tokens\":");
        put_number(out, self.completion_tokens);
        out.put_slice(b",\"prompt_tokens_details\":{\"cached_tokens\":");
        put_number(out, self.cached_tokens);
        out.put_slice(b"}}");
    }
}

/// Writer of one answer.
pub(super) struct Format {
    api: Api,
    /// `"id":…,"object":…,"created":…,"model":…,` as every chunk begins.
    head: Box<[u8]>,
    digest: u64,
}

impl Format {
    /// `digest` decides the text; `created` is in seconds since 1970.
    pub(super) fn new(
        api: Api,
        stream: bool,
        id: &str,
        created: u64,
        model: &str,
        digest: u64,
    ) -> Self {
        let (prefix, object) = match (api, stream) {
            (Api::Chat, true) => ("chatcmpl", "chat.completion.chunk"),
            (Api::Chat, false) => ("chatcmpl", "chat.completion"),
            (Api::Completion, _) => ("cmpl", "text_completion"),
        };
        let model = serde_json::Value::from(model);
        let head = format!(
            "{{\"id\":\"{prefix}-{id}\",\"object\":\"{object}\",\"created\":{created},\"model\":{model},"
        );
        Self {
            api,
            head: head.into_bytes().into(),
            digest,
        }
    }

    /// The chunk that opens a chat answer.
    pub(super) fn put_role(&self, out: &mut BytesMut) {
        if self.api == Api::Chat {
            self.put_event(out, |out| {
                out.put_slice(b"\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,\"finish_reason\":null}]}");
            });
        }
    }

    /// One chunk with the tokens `first..=last`.
    pub(super) fn put_tokens(&self, out: &mut BytesMut, first: u32, last: u32) {
        let (before, after): (&[u8], &[u8]) = match self.api {
            Api::Chat => (
                b"\"choices\":[{\"index\":0,\"delta\":{\"content\":\"",
                b"\"},\"logprobs\":null,\"finish_reason\":null}]}",
            ),
            Api::Completion => (
                b"\"choices\":[{\"index\":0,\"text\":\"",
                b"\",\"logprobs\":null,\"finish_reason\":null}]}",
            ),
        };
        self.put_event(out, |out| {
            out.put_slice(before);
            put_text(out, self.digest, first, last);
            out.put_slice(after);
        });
    }

    /// Finish reason, usage if asked for, and the end mark.
    pub(super) fn put_end(&self, out: &mut BytesMut, usage: Option<Usage>) {
        let finish: &[u8] = match self.api {
            Api::Chat => b"\"choices\":[{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"length\"}]}",
            Api::Completion => {
                b"\"choices\":[{\"index\":0,\"text\":\"\",\"logprobs\":null,\"finish_reason\":\"length\"}]}"
            }
        };
        self.put_event(out, |out| out.put_slice(finish));
        if let Some(usage) = usage {
            self.put_event(out, |out| {
                out.put_slice(b"\"choices\":[],");
                usage.put(out);
                out.put_u8(b'}');
            });
        }
        out.put_slice(b"data: [DONE]\n\n");
    }

    /// The whole answer as one object.
    pub(super) fn put_whole(&self, out: &mut BytesMut, usage: Usage) {
        let (before, after): (&[u8], &[u8]) = match self.api {
            Api::Chat => (
                b"\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"",
                b"\"},\"logprobs\":null,\"finish_reason\":\"length\"}],",
            ),
            Api::Completion => (
                b"\"choices\":[{\"index\":0,\"text\":\"",
                b"\",\"logprobs\":null,\"finish_reason\":\"length\"}],",
            ),
        };
        out.put_slice(&self.head);
        out.put_slice(before);
        put_text(out, self.digest, 1, usage.completion_tokens);
        out.put_slice(after);
        usage.put(out);
        out.put_u8(b'}');
    }

    fn put_event(&self, out: &mut BytesMut, rest: impl FnOnce(&mut BytesMut)) {
        out.put_slice(b"data: ");
        out.put_slice(&self.head);
        rest(out);
        out.put_slice(b"\n\n");
    }
}
