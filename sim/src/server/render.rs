//! `/v1/chat/completions/render` and `/v1/completions/render`: a prompt's token numbers, as vLLM 0.32 gives them to
//! routers that match prefixes by tokens.

use crate::engine::TOKEN_BYTES;

use super::chunk::Api;
use super::request;

/// The rendered prompt: what vLLM's `GenerateRequest` holds, as far as routers read it. A completion has a list of them.
///
/// # Errors
///
/// What is wrong with the request, for the client.
pub(super) fn render(api: Api, body: &[u8]) -> Result<String, String> {
    let text = request::text(api, body)?;
    // Written in place: a router may ask every engine about every prompt, and these are long.
    let mut out = String::with_capacity(128 + text.len() / TOKEN_BYTES * 6);
    out.push_str("{\"request_id\":\"render\",\"sampling_params\":{},\"token_ids\":[");
    for (position, token) in text.chunks(TOKEN_BYTES).enumerate() {
        if position > 0 {
            out.push(',');
        }
        let number = number(token);
        for place in [10_000, 1_000, 100, 10, 1] {
            out.push(char::from(b'0' + (number / place % 10) as u8));
        }
    }
    out.push_str("]}");
    Ok(match api {
        Api::Chat => out,
        Api::Completion => format!("[{out}]"),
    })
}

/// A token's number in a vocabulary of 65,536, always of five digits: equal text, equal number.
fn number(token: &[u8]) -> u32 {
    let bytes = token
        .iter()
        .fold(0_u32, |number, &byte| number << 8 | u32::from(byte));
    10_000 + (bytes.wrapping_mul(0x9E37_79B1) >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_is_its_text_four_bytes_a_token() {
        let chat = br#"{"messages":[{"role":"user","content":"the cat "},{"role":"user","content":"the"}]}"#;
        let parsed = |text: String| serde_json::from_str::<serde_json::Value>(&text).unwrap();
        let rendered = parsed(render(Api::Chat, chat).unwrap());
        let prompt = br#"{"prompt":"the cat the"}"#;
        let completion = parsed(render(Api::Completion, prompt).unwrap());
        assert_eq!(rendered["token_ids"], completion[0]["token_ids"]);
        let tokens = rendered["token_ids"].as_array().unwrap();
        assert_eq!(tokens.len(), 3);
        assert_ne!(tokens[0], tokens[1]);
        assert!(render(Api::Chat, b"{}").is_err());
    }
}
