//! A scripted engine: how it answers requests and scrapes.

use std::fmt::Write as _;

use crate::proxy::CallResponse;

/// How an engine answers a request.
#[derive(Clone, Debug)]
pub struct Script {
    /// HTTP status.
    pub status: u16,
    /// Milliseconds from the end of the request to the first token.
    pub ttft_ms: u64,
    /// Milliseconds between tokens.
    pub tpot_ms: u64,
    /// Tokens of the answer.
    pub tokens: u32,
    /// Tokens of the prompt that `usage` reports; no usage at all when absent.
    pub prompt_tokens: Option<u32>,
    /// Cached tokens that `usage` reports.
    pub cached_tokens: Option<u32>,
    /// Server-sent events, or one JSON body.
    pub stream: bool,
    /// Bytes of a network chunk; one event a chunk by default.
    pub chunk: usize,
    /// Whether the connection breaks after the first token.
    pub breaks: bool,
    /// Exactly these bytes instead of a made-up answer.
    pub body: Option<Vec<u8>>,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            status: 200,
            ttft_ms: 50,
            tpot_ms: 10,
            tokens: 4,
            prompt_tokens: Some(16),
            cached_tokens: Some(0),
            stream: true,
            chunk: usize::MAX,
            breaks: false,
            body: None,
        }
    }
}

impl Script {
    /// What goes over the wire, as (milliseconds after the end of the request, bytes).
    pub(super) fn pieces(&self) -> Vec<(u64, Vec<u8>)> {
        if let Some(body) = &self.body {
            return vec![(self.ttft_ms, body.clone())];
        }
        let usage = self.usage();
        if !self.stream {
            let usage = usage.map_or_else(String::new, |usage| format!(",\"usage\":{usage}"));
            let text = "word ".repeat(self.tokens as usize);
            let body = format!(
                "{{\"object\":\"chat.completion\",\"choices\":[{{\"index\":0,\"message\":\
                 {{\"role\":\"assistant\",\"content\":\"{text}\"}}}}]{usage}}}"
            );
            let at = self.ttft_ms + self.tpot_ms * u64::from(self.tokens);
            return vec![(at, body.into_bytes())];
        }
        let mut pieces = Vec::new();
        for token in 0..self.tokens {
            let at = self.ttft_ms + self.tpot_ms * u64::from(token);
            let event = "data: {\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\
                         \"delta\":{\"content\":\"word \"}}]}\n\n";
            pieces.push((at, event.as_bytes().to_vec()));
            if self.breaks {
                return pieces;
            }
        }
        let at = self.ttft_ms + self.tpot_ms * u64::from(self.tokens);
        let mut tail = String::new();
        if let Some(usage) = usage {
            let _ = write!(tail, "data: {{\"choices\":[],\"usage\":{usage}}}\n\n");
        }
        tail.push_str("data: [DONE]\n\n");
        pieces.push((at, tail.into_bytes()));
        pieces
    }

    fn usage(&self) -> Option<String> {
        let prompt = self.prompt_tokens?;
        let total = prompt + self.tokens;
        let cached = self.cached_tokens.map_or_else(String::new, |cached| {
            format!(",\"prompt_tokens_details\":{{\"cached_tokens\":{cached}}}")
        });
        Some(format!(
            "{{\"prompt_tokens\":{prompt},\"completion_tokens\":{},\"total_tokens\":{total}{cached}}}",
            self.tokens
        ))
    }
}

/// How an engine answers a scrape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scrape {
    /// Metrics text of its state.
    Metrics,
    /// This status with an empty body.
    Status(u16),
    /// These bytes.
    Bytes(Vec<u8>),
    /// Never; the proxy gives up after the call's timeout.
    Silent,
    /// The connection is reset.
    Reset,
}

/// One engine.
#[derive(Clone, Debug)]
pub struct Engine {
    /// `ip:port`.
    pub address: String,
    /// Model it serves.
    pub model: String,
    /// Whether connections are accepted.
    pub up: bool,
    /// Health as the proxy's admin shows it.
    pub healthy: bool,
    /// Whether the proxy's admin shows it draining.
    pub draining: bool,
    /// Requests of this proxy in service.
    pub active: u32,
    /// Requests of others in service.
    pub others_running: u32,
    /// Requests of others waiting.
    pub others_waiting: u32,
    /// KV cache in use, thousandths.
    pub kv_permille: u32,
    /// Blocks of the KV cache.
    pub kv_blocks: u32,
    /// Tokens a block.
    pub block_tokens: u32,
    /// Prompt tokens looked up in the prefix cache.
    pub queries: u64,
    /// Of these, found.
    pub hits: u64,
    /// Answer to requests.
    pub script: Script,
    /// Answer to scrapes.
    pub scrape: Scrape,
    /// Milliseconds a scrape takes.
    pub scrape_ms: u64,
    /// Requests served so far.
    pub served: u64,
    /// Scrapes answered so far.
    pub scraped: u64,
}

impl Engine {
    /// Idle engine that serves model `m`.
    pub fn new(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            model: "m".to_owned(),
            up: true,
            healthy: true,
            draining: false,
            active: 0,
            others_running: 0,
            others_waiting: 0,
            kv_permille: 0,
            kv_blocks: 10_000,
            block_tokens: 16,
            queries: 0,
            hits: 0,
            script: Script::default(),
            scrape: Scrape::Metrics,
            scrape_ms: 2,
            served: 0,
            scraped: 0,
        }
    }

    /// Metrics text with vLLM's names, labels and number format (vLLM 0.32).
    pub fn metrics_text(&self) -> String {
        let labels = format!("{{engine=\"0\",model_name=\"{}\"}}", self.model);
        let mut text = String::new();
        let gauges = [
            (
                "num_requests_running",
                f64::from(self.active + self.others_running),
            ),
            ("num_requests_waiting", f64::from(self.others_waiting)),
            ("kv_cache_usage_perc", f64::from(self.kv_permille) / 1000.0),
        ];
        for (name, value) in gauges {
            let _ = write!(
                text,
                "# HELP vllm:{name} A gauge.\n# TYPE vllm:{name} gauge\nvllm:{name}{labels} {value:?}\n"
            );
        }
        for (name, value) in [("queries", self.queries), ("hits", self.hits)] {
            let _ = write!(
                text,
                "# HELP vllm:prefix_cache_{name}_total Tokens.\n# TYPE vllm:prefix_cache_{name}_total counter\n\
                 vllm:prefix_cache_{name}_total{labels} {value}.0\n\
                 vllm:prefix_cache_{name}_created{labels} 1.7951495854913673e+09\n"
            );
        }
        let _ = write!(
            text,
            "# HELP vllm:cache_config_info Cache configuration.\n# TYPE vllm:cache_config_info gauge\n\
             vllm:cache_config_info{{block_size=\"{}\",cache_dtype=\"auto\",engine=\"0\",num_gpu_blocks=\"{}\"}} 1.0\n",
            self.block_tokens, self.kv_blocks
        );
        text
    }

    /// Answer to a scrape; `None` when none ever comes.
    pub(super) fn answer_scrape(&mut self) -> Option<CallResponse> {
        if !self.up {
            // Envoy answers a refused connection itself.
            return Some(CallResponse::new(503, "upstream connect error"));
        }
        self.scraped += 1;
        Some(match &self.scrape {
            Scrape::Metrics => CallResponse::new(200, self.metrics_text()),
            Scrape::Status(status) => CallResponse::new(*status, ""),
            Scrape::Bytes(bytes) => CallResponse::new(200, bytes.clone()),
            Scrape::Silent => return None,
            Scrape::Reset => CallResponse::reset(),
        })
    }
}
