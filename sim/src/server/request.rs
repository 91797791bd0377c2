//! Reading a request body as far as the engine needs it.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};

use crate::engine::{Prompt, PromptHasher, chain};

use super::chunk::Api;

/// Tokens generated when a request names no limit.
const DEFAULT_OUTPUT_TOKENS: u32 = 128;

/// A request, understood.
pub(super) struct Request {
    pub(super) prompt: Prompt,
    /// Decides the answer's text.
    pub(super) digest: u64,
    pub(super) model: Option<String>,
    pub(super) output_tokens: u32,
    pub(super) stream: bool,
    pub(super) include_usage: bool,
}

impl Request {
    /// Parses `body`.
    ///
    /// # Errors
    ///
    /// What is wrong, for the client.
    pub(super) fn parse(api: Api, body: &[u8], block_tokens: u32) -> Result<Self, String> {
        let wire: Wire<'_> = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        let limit = wire.max_completion_tokens.or(wire.max_tokens);
        let output_tokens = match limit {
            None => DEFAULT_OUTPUT_TOKENS,
            Some(limit) => u32::try_from(limit)
                .ok()
                .filter(|&limit| limit > 0)
                .ok_or_else(|| format!("max_tokens must be at least 1, got {limit}"))?,
        };
        let salt = wire
            .cache_salt
            .iter()
            .flat_map(|salt| salt.bytes())
            .fold(0, |hash, byte| chain(hash, u64::from(byte)));
        let mut hasher = PromptHasher::new(block_tokens, salt);
        let model = wire.model.clone().map(Cow::into_owned);
        let stream = wire.stream.unwrap_or(false);
        let include_usage = wire
            .stream_options
            .as_ref()
            .is_some_and(|options| options.include_usage.unwrap_or(false));
        for piece in wire.content(api)?.iter().flat_map(|content| &content.0) {
            hasher.feed(piece);
        }
        Ok(Self {
            digest: hasher.digest(),
            prompt: hasher.finish(),
            model,
            output_tokens,
            stream,
            include_usage,
        })
    }
}

/// The bytes of a request's prompt: all its text, in order.
///
/// # Errors
///
/// What is wrong, for the client.
pub(super) fn text(api: Api, body: &[u8]) -> Result<Vec<u8>, String> {
    let wire: Wire<'_> = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let content = wire.content(api)?;
    let pieces: Vec<&[u8]> = content
        .iter()
        .flat_map(|content| &content.0)
        .map(|piece| &**piece)
        .collect();
    Ok(pieces.concat())
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow)]
    model: Option<Cow<'a, str>>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    max_tokens: Option<i64>,
    max_completion_tokens: Option<i64>,
    #[serde(borrow)]
    cache_salt: Option<Cow<'a, str>>,
    #[serde(borrow)]
    messages: Option<Vec<Message<'a>>>,
    #[serde(borrow)]
    prompt: Option<Content<'a>>,
}

impl<'a> Wire<'a> {
    fn content(self, api: Api) -> Result<Vec<Content<'a>>, String> {
        match api {
            Api::Chat => {
                let messages = self.messages.ok_or("messages: field required")?;
                Ok(messages
                    .into_iter()
                    .map(|message| message.content)
                    .collect())
            }
            Api::Completion => Ok(vec![self.prompt.ok_or("prompt: field required")?]),
        }
    }
}

#[derive(Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow, default)]
    content: Content<'a>,
}

/// Text, however it is wrapped: a string, a list of strings or content parts, or a list of token numbers.
#[derive(Default)]
struct Content<'a>(Vec<Cow<'a, [u8]>>);

impl<'de: 'a, 'a> Deserialize<'de> for Content<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut content = Self::default();
        deserializer.deserialize_any(Pieces(&mut content.0))?;
        Ok(content)
    }
}

/// Collects text into a list of pieces.
struct Pieces<'v, 'a>(&'v mut Vec<Cow<'a, [u8]>>);

impl<'de: 'a, 'a> serde::de::DeserializeSeed<'de> for Pieces<'_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de: 'a, 'a> Visitor<'de> for Pieces<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text, content parts or token numbers")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<(), E> {
        self.0.push(Cow::Borrowed(text.as_bytes()));
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.0.push(Cow::Owned(text.as_bytes().to_vec()));
        Ok(())
    }

    fn visit_u64<E>(self, token: u64) -> Result<(), E> {
        self.0
            .push(Cow::Owned((token as u32).to_le_bytes().to_vec()));
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Pieces(self.0))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut part: A) -> Result<(), A::Error> {
        while let Some(key) = part.next_key::<Cow<'de, str>>()? {
            if key == "text" {
                part.next_value_seed(Pieces(self.0))?;
            } else {
                part.next_value::<serde::de::IgnoredAny>()?;
            }
        }
        Ok(())
    }
}
