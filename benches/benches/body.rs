//! Throughput of the request scanner, hashing included, and beside it the library everybody would reach for.
#![allow(missing_docs, reason = "criterion's macros")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use plimsoll_benches::body;
use plimsoll_core::request::{Kind, Scanner};

fn scan(c: &mut Criterion) {
    let mut group = c.benchmark_group("scan");
    for kib in [2, 64] {
        let bytes = body(kib * 1024);
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        let mut scanner = Scanner::new(Kind::Chat);
        group.bench_function(BenchmarkId::new("plimsoll", kib), |b| {
            b.iter(|| {
                scanner.reset(Kind::Chat);
                scanner.feed(black_box(&bytes));
                scanner.facts().prompt_bytes
            });
        });
        group.bench_function(BenchmarkId::new("serde_json", kib), |b| {
            b.iter(|| {
                serde_json::from_slice::<serde_json::Value>(black_box(&bytes))
                    .map(|value| value.is_object())
            });
        });
    }
    group.finish();
}

criterion_group!(benches, scan);
criterion_main!(benches);
