//! What a request asks for: the facts that routing needs, taken from its path and its body.
//!
//! Inputs: the path of the request and the body in arbitrary pieces. Output: [`Facts`]; with what the headers say
//! (tenant, session) they make a [`Request`], the only form in which the router sees one.

mod prompt;
mod scan;

pub use crate::hash::key;
pub use prompt::MAX_BLOCKS;
pub use scan::Scanner;

/// Which OpenAI-style endpoint a request is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `…/v1/chat/completions`: the prompt is in `messages`.
    Chat,
    /// `…/v1/completions`: the prompt is in `prompt`.
    Completion,
    /// `…/v1/embeddings`: the text is in `input`.
    Embeddings,
    /// Anything else; the body may still name a model.
    #[default]
    Other,
}

impl Kind {
    /// Classifies a request path. The query string is ignored and anything may stand before `/v1`.
    #[must_use]
    pub fn from_path(path: &[u8]) -> Self {
        let end = crate::find::either(b'?', b'#', path).unwrap_or(path.len());
        let path = path.get(..end).unwrap_or_default();
        let path = path.strip_suffix(b"/").unwrap_or(path);
        if path.ends_with(b"/v1/chat/completions") {
            Self::Chat
        } else if path.ends_with(b"/v1/completions") {
            Self::Completion
        } else if path.ends_with(b"/v1/embeddings") {
            Self::Embeddings
        } else {
            Self::Other
        }
    }
}

/// A point in the prompt up to which two prompts can be compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Block {
    /// Hash of everything in the prompt before `end`. It does not contain the model or the cache salt: whoever keeps
    /// blocks of several models mixes those in.
    pub hash: u64,
    /// Prompt bytes before this point, in the unit of [`Facts::prompt_bytes`].
    pub end: u32,
}

/// One request as the router sees it. Hashes of names come from [`key`]; 0 means unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Request<'a> {
    /// Endpoint class.
    pub kind: Kind,
    /// Hash of the model name.
    pub model: u64,
    /// Hash of `cache_salt`: prompts with different salts share no cache.
    pub salt: u64,
    /// Hash of the tenant.
    pub tenant: u64,
    /// Hash of the session or conversation.
    pub session: u64,
    /// Size of the prompt in bytes, the unread rest of the body included if its length is known.
    pub prompt_bytes: u64,
    /// Prefix blocks, shortest first.
    pub blocks: &'a [Block],
    /// True when the whole body was read, so the prompt has no further blocks.
    pub blocks_complete: bool,
    /// The client's limit on output tokens.
    pub max_tokens: Option<u32>,
    /// Whether the response is streamed.
    pub stream: bool,
    /// Breaks near ties between hosts.
    pub seed: u64,
}

/// What is known of a body so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts<'a> {
    /// Top-level `model`, unescaped; none if absent, not a string or longer than 256 bytes.
    pub model: Option<&'a [u8]>,
    /// Top-level `stream`.
    pub stream: Option<bool>,
    /// `max_completion_tokens`, else `max_tokens`; none unless a whole number that fits.
    pub max_tokens: Option<u32>,
    /// Hash of `cache_salt`; 0 if there is none.
    pub salt: u64,
    /// Bytes of prompt text, as escaped in the body, without images and audio. A token of a token array counts 4.
    pub prompt_bytes: u64,
    /// Prefix blocks of the prompt, shortest first.
    pub blocks: &'a [Block],
    /// Nothing but the request decides its answer: an embedding, or a completion with a `temperature` of 0 and no second choice asked for.
    pub repeatable: bool,
    /// The end of the top-level object was seen.
    pub complete: bool,
    /// The body is no JSON object; what was known before the fault still stands.
    pub malformed: bool,
}

#[cfg(test)]
mod tests;
