//! Which metric name of which engine tells which fact.

/// What a metric means to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fact {
    /// Requests in the running batch.
    Running,
    /// Requests queued.
    Waiting,
    /// KV-cache utilisation, 0 to 1.
    KvUsed,
    /// KV-cache size in tokens.
    Capacity,
    /// Tokens of a KV-cache block.
    BlockTokens,
    /// Number of KV-cache blocks.
    Blocks,
    /// Prompt tokens looked up in the prefix cache.
    Queries,
    /// Tokens generated.
    Generated,
    /// Prompt tokens found in the prefix cache.
    Hits,
    /// Prompt tokens computed, cached ones not among them.
    Misses,
    /// Labels with the shape of the KV cache: tokens of a block, number of blocks, size in tokens.
    CacheInfo {
        block: &'static [u8],
        blocks: &'static [u8],
        size: &'static [u8],
    },
}

impl Fact {
    /// Whether it changes while the engine runs.
    pub(super) const fn moves(self) -> bool {
        !matches!(
            self,
            Self::Capacity | Self::BlockTokens | Self::Blocks | Self::CacheInfo { .. }
        )
    }
}

/// One line of the table.
#[derive(Debug)]
pub(super) struct Row {
    /// After the engine's prefix.
    name: &'static [u8],
    pub(super) fact: Fact,
    /// Only samples with this label.
    pub(super) only: Option<(&'static [u8], &'static [u8])>,
    /// Of names for one fact the lowest rank on the page holds.
    pub(super) rank: u8,
}

const fn row(name: &'static [u8], fact: Fact) -> Row {
    Row {
        name,
        fact,
        only: None,
        rank: 0,
    }
}

impl Row {
    /// An older or less direct name.
    const fn rank(self, rank: u8) -> Self {
        Self { rank, ..self }
    }

    const fn only(self, label: &'static [u8], value: &'static [u8]) -> Self {
        Self {
            only: Some((label, value)),
            ..self
        }
    }
}

/// The rows that a line belongs to, each with what follows the name.
///
/// Most lines of a page are histogram buckets; they fail at the first byte of every row, without a call.
pub(super) fn rows(line: &[u8]) -> impl Iterator<Item = (&'static Row, &[u8])> {
    let (table, rest): (&'static [Row], &[u8]) = match line {
        [b'v', b'l', b'l', b'm', b':', rest @ ..] => (VLLM, rest),
        [b's', b'g', b'l', b'a', b'n', b'g', b':', rest @ ..] => (SGLANG, rest),
        [b't', b'g', b'i', b'_', rest @ ..] => (TGI, rest),
        [b't', b'r', b't', b'l', b'l', b'm', b'_', rest @ ..] => (TRTLLM, rest),
        [
            b'n',
            b'v',
            b'_',
            b't',
            b'r',
            b't',
            b'_',
            b'l',
            b'l',
            b'm',
            b'_',
            rest @ ..,
        ] => (TRITON, rest),
        [
            b'l',
            b'l',
            b'a',
            b'm',
            b'a',
            b'c',
            b'p',
            b'p',
            b':',
            rest @ ..,
        ] => (LLAMACPP, rest),
        _ => (&[], &[]),
    };
    table
        .iter()
        .filter(move |row| row.name.first() == rest.first())
        .filter_map(move |row| Some((row, rest.strip_prefix(row.name)?)))
}

/// vLLM V1; rank 1 and 2 are the names of its first releases and of V0.
static VLLM: &[Row] = &[
    row(b"num_requests_running", Fact::Running),
    row(b"num_requests_waiting", Fact::Waiting),
    row(b"kv_cache_usage_perc", Fact::KvUsed),
    row(b"gpu_cache_usage_perc", Fact::KvUsed).rank(1),
    row(
        b"cache_config_info",
        Fact::CacheInfo {
            block: b"block_size",
            blocks: b"num_gpu_blocks",
            size: b"kv_cache_size_tokens",
        },
    ),
    row(b"prefix_cache_queries_total", Fact::Queries),
    row(b"generation_tokens_total", Fact::Generated),
    row(b"prefix_cache_queries", Fact::Queries).rank(1),
    row(b"gpu_prefix_cache_queries_total", Fact::Queries).rank(2),
    row(b"gpu_prefix_cache_queries", Fact::Queries).rank(3),
    row(b"prefix_cache_hits_total", Fact::Hits),
    row(b"prefix_cache_hits", Fact::Hits).rank(1),
    row(b"gpu_prefix_cache_hits_total", Fact::Hits).rank(2),
    row(b"gpu_prefix_cache_hits", Fact::Hits).rank(3),
];

/// SGLang with `--enable-metrics`.
static SGLANG: &[Row] = &[
    row(b"num_running_reqs", Fact::Running),
    row(b"num_queue_reqs", Fact::Waiting),
    row(b"token_usage", Fact::KvUsed),
    row(b"max_total_num_tokens", Fact::Capacity),
    row(
        b"cache_config_info",
        Fact::CacheInfo {
            block: b"page_size",
            blocks: b"num_pages",
            size: b"",
        },
    )
    .rank(1),
    row(b"prompt_tokens_total", Fact::Queries),
    row(b"cached_tokens_total", Fact::Hits),
    row(b"generation_tokens_total", Fact::Generated),
];

/// Hugging Face Text Generation Inference. It reports nothing of its cache.
static TGI: &[Row] = &[
    row(b"batch_current_size", Fact::Running),
    row(b"queue_size", Fact::Waiting),
];

/// trtllm-serve.
static TRTLLM: &[Row] = &[
    row(b"num_requests_running", Fact::Running),
    row(b"num_requests_waiting", Fact::Waiting),
    row(b"kv_cache_utilization", Fact::KvUsed),
];

/// Triton with the TensorRT-LLM backend.
static TRITON: &[Row] = &[
    row(b"request_metrics", Fact::Running).only(b"request_type", b"scheduled"),
    row(b"request_metrics", Fact::Waiting).only(b"request_type", b"waiting"),
    row(b"kv_cache_block_metrics", Fact::KvUsed).only(b"kv_cache_block_type", b"fraction"),
    row(b"kv_cache_block_metrics", Fact::BlockTokens).only(b"kv_cache_block_type", b"tokens_per"),
    row(b"kv_cache_block_metrics", Fact::Blocks).only(b"kv_cache_block_type", b"max"),
];

/// llama.cpp's server with `--metrics`.
static LLAMACPP: &[Row] = &[
    row(b"requests_processing", Fact::Running),
    row(b"requests_deferred", Fact::Waiting),
    row(b"kv_cache_usage_ratio", Fact::KvUsed),
    row(b"prompt_tokens_total", Fact::Misses),
    row(b"prompt_tokens_cached_total", Fact::Hits),
    row(b"tokens_predicted_total", Fact::Generated),
];
