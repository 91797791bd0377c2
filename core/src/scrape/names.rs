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

/// One line of the table.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: &'static [u8],
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

/// Rows of the engine that a line comes from; by the start of the line, so that most lines cost one comparison.
pub(super) fn rows(line: &[u8]) -> &'static [Row] {
    match line {
        [b'v', b'l', b'l', b'm', b':', ..] => VLLM,
        [b's', b'g', b'l', b'a', b'n', b'g', b':', ..] => SGLANG,
        [b't', b'g', b'i', b'_', ..] => TGI,
        [b't', b'r', b't', b'l', b'l', b'm', b'_', ..] => TRTLLM,
        [b'n', b'v', b'_', b't', b'r', b't', b'_', ..] => TRITON,
        [b'l', b'l', b'a', b'm', b'a', b'c', b'p', b'p', b':', ..] => LLAMACPP,
        _ => &[],
    }
}

/// vLLM V1; rank 1 and 2 are the names of its first releases and of V0.
static VLLM: &[Row] = &[
    row(b"vllm:num_requests_running", Fact::Running),
    row(b"vllm:num_requests_waiting", Fact::Waiting),
    row(b"vllm:kv_cache_usage_perc", Fact::KvUsed),
    row(b"vllm:gpu_cache_usage_perc", Fact::KvUsed).rank(1),
    row(
        b"vllm:cache_config_info",
        Fact::CacheInfo {
            block: b"block_size",
            blocks: b"num_gpu_blocks",
            size: b"kv_cache_size_tokens",
        },
    ),
    row(b"vllm:prefix_cache_queries_total", Fact::Queries),
    row(b"vllm:prefix_cache_queries", Fact::Queries).rank(1),
    row(b"vllm:gpu_prefix_cache_queries_total", Fact::Queries).rank(2),
    row(b"vllm:gpu_prefix_cache_queries", Fact::Queries).rank(3),
    row(b"vllm:prefix_cache_hits_total", Fact::Hits),
    row(b"vllm:prefix_cache_hits", Fact::Hits).rank(1),
    row(b"vllm:gpu_prefix_cache_hits_total", Fact::Hits).rank(2),
    row(b"vllm:gpu_prefix_cache_hits", Fact::Hits).rank(3),
];

/// SGLang with `--enable-metrics`.
static SGLANG: &[Row] = &[
    row(b"sglang:num_running_reqs", Fact::Running),
    row(b"sglang:num_queue_reqs", Fact::Waiting),
    row(b"sglang:token_usage", Fact::KvUsed),
    row(b"sglang:max_total_num_tokens", Fact::Capacity),
    row(
        b"sglang:cache_config_info",
        Fact::CacheInfo {
            block: b"page_size",
            blocks: b"num_pages",
            size: b"",
        },
    )
    .rank(1),
    row(b"sglang:prompt_tokens_total", Fact::Queries),
    row(b"sglang:cached_tokens_total", Fact::Hits),
];

/// Hugging Face Text Generation Inference. It reports nothing of its cache.
static TGI: &[Row] = &[
    row(b"tgi_batch_current_size", Fact::Running),
    row(b"tgi_queue_size", Fact::Waiting),
];

/// trtllm-serve.
static TRTLLM: &[Row] = &[
    row(b"trtllm_num_requests_running", Fact::Running),
    row(b"trtllm_num_requests_waiting", Fact::Waiting),
    row(b"trtllm_kv_cache_utilization", Fact::KvUsed),
];

/// Triton with the TensorRT-LLM backend.
static TRITON: &[Row] = &[
    row(b"nv_trt_llm_request_metrics", Fact::Running).only(b"request_type", b"scheduled"),
    row(b"nv_trt_llm_request_metrics", Fact::Waiting).only(b"request_type", b"waiting"),
    row(b"nv_trt_llm_kv_cache_block_metrics", Fact::KvUsed)
        .only(b"kv_cache_block_type", b"fraction"),
    row(b"nv_trt_llm_kv_cache_block_metrics", Fact::BlockTokens)
        .only(b"kv_cache_block_type", b"tokens_per"),
    row(b"nv_trt_llm_kv_cache_block_metrics", Fact::Blocks).only(b"kv_cache_block_type", b"max"),
];

/// llama.cpp's server with `--metrics`.
static LLAMACPP: &[Row] = &[
    row(b"llamacpp:requests_processing", Fact::Running),
    row(b"llamacpp:requests_deferred", Fact::Waiting),
    row(b"llamacpp:kv_cache_usage_ratio", Fact::KvUsed),
    row(b"llamacpp:prompt_tokens_total", Fact::Misses),
    row(b"llamacpp:prompt_tokens_cached_total", Fact::Hits),
];
