//! Fixtures of the benchmarks: fleets, prompts and bodies.

use std::fmt::Write as _;

use plimsoll_core::config::Config;
use plimsoll_core::host::Polled;
use plimsoll_core::observe::Seen;
use plimsoll_core::request::{Block, Kind, Request};
use plimsoll_core::rng::mix;
use plimsoll_core::router::{Decision, Outcome, Router, Verdict};
use plimsoll_core::snapshot;
use plimsoll_core::time::Instant;

/// A moment of the benchmarks' clock.
pub const NOW: Instant = Instant::from_micros(1_000_000_000);

/// A snapshot of `hosts` hosts, each busy in its own way.
pub fn snapshot_of(hosts: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let listed = (0..hosts).map(|host| {
        let busy = mix(host as u64);
        plimsoll_core::fleet::Listed {
            address: address(host),
            weight: 1,
            models: [1, 0, 0, 0],
            state: plimsoll_core::host::State::Ready,
            since: Instant::from_micros(0),
            polled: Some(Polled {
                at: NOW,
                running: (busy % 40) as u32,
                waiting: (busy >> 8) as u32 % 3,
                kv_used_q16: (busy >> 16) as u32 % 60_000,
                kv_capacity_tokens: 850_000,
                computed_tokens: 0,
            }),
        }
    });
    snapshot::write(&mut out, 1, NOW, 7, listed);
    out
}

fn address(host: usize) -> plimsoll_core::host::Address {
    let ip = std::net::Ipv4Addr::new(10, 0, (host / 256) as u8, (host % 256) as u8);
    plimsoll_core::host::Address::new(ip.into(), 8000)
}

/// A router of `policy` over `hosts` hosts that has served some requests.
///
/// # Panics
/// When the configuration is not accepted.
pub fn warm_router(policy: &str, hosts: usize) -> Router {
    let json = format!("{{\"policy\":\"{policy}\",\"limits\":{{\"hosts\":{hosts}}}}}");
    let mut router = Router::new(
        Config::parse(json.as_bytes()).expect("a valid configuration"),
        1,
    );
    router
        .apply_snapshot(NOW, &snapshot_of(hosts))
        .expect("a valid snapshot");
    for family in 0..1000 {
        let blocks = prompt(family, 8);
        let decision = decide(&mut router, &request(&blocks, family));
        router.on_chunk(
            NOW,
            decision.ticket,
            Seen {
                tokens: 1,
                ..Seen::default()
            },
        );
        router.on_done(
            NOW,
            decision.ticket,
            Outcome {
                status: 200,
                ..Outcome::default()
            },
        );
    }
    router.on_tick(NOW);
    router
}

/// The blocks of a prompt of `blocks` times 256 bytes: the first two shared by all, the others by its `family`.
pub fn prompt(family: u64, blocks: u32) -> Vec<Block> {
    (1..=blocks)
        .map(|i| Block {
            hash: mix(u64::from(i) + if i <= 2 { 0 } else { family << 20 }),
            end: i * 256,
        })
        .collect()
}

/// A streaming chat request.
pub fn request(blocks: &[Block], seed: u64) -> Request<'_> {
    Request {
        kind: Kind::Chat,
        model: 1,
        salt: 0,
        tenant: 0,
        session: 0,
        prompt_bytes: blocks.last().map_or(0, |block| u64::from(block.end)),
        blocks,
        blocks_complete: true,
        max_tokens: Some(256),
        stream: true,
        seed,
    }
}

/// Decides, where a decision must come.
///
/// # Panics
/// When the request is not forwarded.
pub fn decide(router: &mut Router, request: &Request<'_>) -> Decision {
    match router.on_request(NOW, request) {
        Verdict::Forward(decision) => decision,
        other => panic!("not forwarded: {other:?}"),
    }
}

/// A chat body with about `bytes` of prose in one message.
pub fn body(bytes: usize) -> Vec<u8> {
    let mut prose = String::new();
    let mut line = 0;
    while prose.len() < bytes {
        let _ = write!(
            prose,
            "Line {line} of a report that nobody has read to its end, and a model is asked to. "
        );
        line += 1;
    }
    format!("{{\"messages\":[{{\"role\":\"user\",\"content\":\"{prose}\"}}],\"model\":\"llama\",\"stream\":true}}").into_bytes()
}

/// A metrics page of vLLM of about `bytes`: gauges and counters first, then histograms, the shape of the cache last.
pub fn page(bytes: usize) -> String {
    const LABELS: &str = "{engine=\"0\",model_name=\"m\"}";
    let mut page = String::with_capacity(bytes + 512);
    for name in [
        "num_requests_running",
        "num_requests_waiting",
        "kv_cache_usage_perc",
        "prefix_cache_queries_total",
        "prefix_cache_hits_total",
        "prompt_tokens_total",
        "generation_tokens_total",
    ] {
        let _ = writeln!(page, "vllm:{name}{LABELS} 0.0");
    }
    let mut le = 0;
    while page.len() < bytes {
        let _ = writeln!(
            page,
            "vllm:time_to_first_token_seconds_bucket{{engine=\"0\",le=\"{le}\",model_name=\"m\"}} 0.0"
        );
        le += 1;
    }
    page.push_str(
        "vllm:cache_config_info{block_size=\"64\",num_gpu_blocks=\"13000\",engine=\"0\"} 1.0\n",
    );
    page
}
