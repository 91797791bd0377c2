//! Real pages of engines, and what a page may look like otherwise.

use alloc::{format, string::String, vec::Vec};

use super::{EngineFacts, parse};
use crate::{hash::key, json::tests::Rng};

const VLLM: &str = include_str!("../../tests/data/vllm-0.32.0.metrics.txt");
const LLAMACPP: &str = include_str!("../../tests/data/llamacpp.metrics.txt");

fn facts(page: &str) -> EngineFacts {
    let mut facts = EngineFacts::default();
    parse(page.as_bytes(), &mut facts);
    facts
}

#[test]
fn vllm_page() {
    let mut idle = EngineFacts::default();
    assert_eq!(parse(VLLM.as_bytes(), &mut idle), 6);
    assert_eq!(
        idle,
        EngineFacts {
            kv_capacity_tokens: 32_768,
            block_tokens: 32,
            model: key(b"tiny"),
            ..EngineFacts::default()
        }
    );

    let busy = VLLM
        .replace(
            "running{engine=\"0\",model_name=\"tiny\"} 0.0",
            "running{engine=\"0\",model_name=\"tiny\"} 5.0",
        )
        .replace(
            "waiting{engine=\"0\",model_name=\"tiny\"} 0.0",
            "waiting{engine=\"0\",model_name=\"tiny\"} 2.0",
        )
        .replace(
            "usage_perc{engine=\"0\",model_name=\"tiny\"} 0.0",
            "usage_perc{engine=\"0\",model_name=\"tiny\"} 0.25",
        )
        .replace(
            "queries_total{engine=\"0\",model_name=\"tiny\"} 0.0",
            "queries_total{engine=\"0\",model_name=\"tiny\"} 1.5e+06",
        )
        .replace(
            "hits_total{engine=\"0\",model_name=\"tiny\"} 0.0",
            "hits_total{engine=\"0\",model_name=\"tiny\"} 500000.0",
        );
    let expected = EngineFacts {
        running: 5,
        waiting: 2,
        kv_used_q16: 16_384,
        prefix_queries: 1_500_000,
        prefix_hits: 500_000,
        generated_tokens: 0,
        ..idle
    };
    assert_eq!(facts(&busy), expected);
    assert_eq!(facts(&busy.replace('\n', "\r\n")), expected);
}

#[test]
fn llamacpp_page() {
    let expected = EngineFacts {
        prefix_queries: 13,
        ..EngineFacts::default()
    };
    assert_eq!(facts(LLAMACPP), expected);
    let busy = LLAMACPP
        .replace("requests_processing 0", "requests_processing 4")
        .replace("requests_deferred 0", "requests_deferred 7")
        .replace("cached_total 0", "cached_total 87");
    assert_eq!(
        facts(&busy),
        EngineFacts {
            running: 4,
            waiting: 7,
            prefix_queries: 100,
            prefix_hits: 87,
            generated_tokens: 0,
            ..EngineFacts::default()
        }
    );
}

#[test]
fn other_engines() {
    let sglang = concat!(
        "sglang:num_running_reqs{model_name=\"m\",tp_rank=\"0\"} 3\nsglang:num_queue_reqs{model_name=\"m\"} 1\nsglang:token_usage{model_name=\"m\"} 0.5\n",
        "sglang:max_total_num_tokens{model_name=\"m\"} 450000\nsglang:cache_config_info{page_size=\"64\",num_pages=\"100\"} 1\n",
        "sglang:prompt_tokens_total{model_name=\"m\"} 1000\nsglang:cached_tokens_total{model_name=\"m\"} 400\n",
    );
    assert_eq!(
        facts(sglang),
        EngineFacts {
            running: 3,
            waiting: 1,
            kv_used_q16: 32_768,
            kv_capacity_tokens: 450_000,
            block_tokens: 64,
            prefix_queries: 1000,
            prefix_hits: 400,
            generated_tokens: 0,
            model: key(b"m"),
        }
    );
    assert_eq!(
        facts("tgi_batch_current_size 4\ntgi_queue_size 2\n"),
        EngineFacts {
            running: 4,
            waiting: 2,
            ..EngineFacts::default()
        }
    );
    assert_eq!(
        facts(
            "trtllm_num_requests_running 4\ntrtllm_num_requests_waiting 2\ntrtllm_kv_cache_utilization 1.0\n"
        ),
        EngineFacts {
            running: 4,
            waiting: 2,
            kv_used_q16: 65_536,
            ..EngineFacts::default()
        }
    );
    let triton = concat!(
        "nv_trt_llm_request_metrics{model=\"m\",request_type=\"context\",version=\"1\"} 9\n",
        "nv_trt_llm_request_metrics{model=\"m\",request_type=\"scheduled\",version=\"1\"} 4\n",
        "nv_trt_llm_request_metrics{model=\"m\",request_type=\"waiting\",version=\"1\"} 2\n",
        "nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type=\"fraction\",model=\"m\"} 0.5\n",
        "nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type=\"tokens_per\",model=\"m\"} 64\n",
        "nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type=\"max\",model=\"m\"} 100\n",
    );
    assert_eq!(
        facts(triton),
        EngineFacts {
            running: 4,
            waiting: 2,
            kv_used_q16: 32_768,
            kv_capacity_tokens: 6400,
            block_tokens: 64,
            ..EngineFacts::default()
        }
    );
}

#[test]
fn several_engines_on_one_page() {
    let page = concat!(
        "vllm:num_requests_running{engine=\"0\",model_name=\"m\"} 3.0\nvllm:num_requests_running{engine=\"1\",model_name=\"m\"} 4.0\n",
        "vllm:kv_cache_usage_perc{engine=\"0\",model_name=\"m\"} 0.75\nvllm:kv_cache_usage_perc{engine=\"1\",model_name=\"m\"} 0.25\n",
        "vllm:cache_config_info{block_size=\"16\",engine=\"0\",num_gpu_blocks=\"100\"} 1.0\n",
        "vllm:cache_config_info{block_size=\"16\",engine=\"1\",num_gpu_blocks=\"200\"} 1.0\n",
    );
    let expected = EngineFacts {
        running: 7,
        kv_used_q16: 49_152,
        kv_capacity_tokens: 4800,
        block_tokens: 16,
        model: key(b"m"),
        ..EngineFacts::default()
    };
    assert_eq!(facts(page), expected);
}

/// Releases in transition print a value under both names; it is one value.
#[test]
fn old_names() {
    let old = "vllm:gpu_cache_usage_perc 0.5\nvllm:gpu_prefix_cache_queries_total 10\nvllm:gpu_prefix_cache_hits_total 4\n";
    let expected = EngineFacts {
        kv_used_q16: 32_768,
        prefix_queries: 10,
        prefix_hits: 4,
        generated_tokens: 0,
        ..EngineFacts::default()
    };
    assert_eq!(facts(old), expected);
    let new = "vllm:kv_cache_usage_perc 0.25\nvllm:prefix_cache_queries_total 20\nvllm:prefix_cache_hits_total 8\n";
    let both = EngineFacts {
        kv_used_q16: 16_384,
        prefix_queries: 20,
        prefix_hits: 8,
        generated_tokens: 0,
        ..EngineFacts::default()
    };
    assert_eq!(facts(&format!("{old}{new}")), both);
    assert_eq!(facts(&format!("{new}{old}")), both);
}

#[test]
fn values_that_are_none_leave_facts_alone() {
    let known = EngineFacts {
        running: 3,
        kv_used_q16: 7,
        kv_capacity_tokens: 9,
        model: 5,
        ..EngineFacts::default()
    };
    for line in [
        "vllm:num_requests_running{model_name=\"m\"} NaN",
        "vllm:num_requests_running{model_name=\"m\"} -1",
        "vllm:num_requests_running{model_name=\"m\"} +Inf",
        "vllm:num_requests_running{model_name=\"m\"}",
        "vllm:num_requests_running",
        "vllm:num_requests_running_total 8",
        "vllm:cache_config_info{block_size=\"None\",num_gpu_blocks=\"None\"} 1.0",
        "# vllm:num_requests_running 8",
        " vllm:num_requests_running 8",
        "xvllm:num_requests_running 8",
        "",
    ] {
        let mut facts = known;
        assert_eq!(parse(line.as_bytes(), &mut facts), 0, "{line}");
        assert_eq!(facts, known, "{line}");
    }
}

#[test]
fn values_at_the_edges() {
    assert_eq!(facts("vllm:num_requests_running 1e30").running, u32::MAX);
    assert_eq!(facts("vllm:kv_cache_usage_perc 7").kv_used_q16, 65_536);
    assert_eq!(
        facts("vllm:prefix_cache_hits_total 1e30\nvllm:prefix_cache_hits_total 1e30").prefix_hits,
        u64::MAX
    );
    assert_eq!(
        facts("vllm:num_requests_running 8 1795149585000").running,
        8
    );
}

#[test]
fn noise_does_no_harm() {
    let mut rng = Rng(8);
    let page = format!("{VLLM}{LLAMACPP}");
    for _ in 0..if cfg!(miri) { 3 } else { 300 } {
        let mut bytes: Vec<u8> = page.as_bytes()[..rng.below(page.len())].to_vec();
        for _ in 0..rng.below(30) {
            let at = rng.below(bytes.len().max(1));
            if let Some(byte) = bytes.get_mut(at) {
                *byte = b"{}\"\\ \n=,.e9\xff"[rng.below(12)];
            }
        }
        let mut facts = EngineFacts::default();
        assert!(
            parse(&bytes, &mut facts) < 60,
            "{}",
            String::from_utf8_lossy(&bytes)
        );
        assert!(facts.kv_used_q16 <= 65_536);
    }
}
