//! Time of one decision and its end, on a warm router, by size of fleet; beside it the rivals of the same facade.
#![allow(missing_docs, reason = "criterion's macros")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use plimsoll_benches::{NOW, decide, prompt, request, snapshot_of, warm_router};
use plimsoll_core::router::Outcome;

fn decision(c: &mut Criterion) {
    let mut group = c.benchmark_group("decision");
    for hosts in [16, 64, 256, 1024] {
        for policy in ["plimsoll", "least_request", "round_robin"] {
            let mut router = warm_router(policy, hosts);
            let prompts: Vec<_> = (0..64).map(|family| prompt(family, 8)).collect();
            let mut turn = 0usize;
            group.bench_function(BenchmarkId::new(policy, hosts), |b| {
                b.iter(|| {
                    turn = turn.wrapping_add(1);
                    let decision = decide(&mut router, &request(&prompts[turn % 64], turn as u64));
                    router.on_done(
                        NOW,
                        black_box(decision).ticket,
                        Outcome {
                            status: 200,
                            ..Outcome::default()
                        },
                    );
                });
            });
        }
    }
    group.finish();
}

fn snapshot(c: &mut Criterion) {
    let mut group = c.benchmark_group("apply_snapshot");
    for hosts in [16, 256] {
        let mut router = warm_router("plimsoll", hosts);
        let mut other = snapshot_of(hosts);
        let mut epoch = 1u64;
        group.bench_function(BenchmarkId::from_parameter(hosts), |b| {
            b.iter(|| {
                epoch += 1;
                // The epoch lies outside the checksum, so a new one makes the same snapshot news.
                other[8..16].copy_from_slice(&epoch.to_le_bytes());
                router.apply_snapshot(NOW, black_box(&other))
            });
        });
    }
    group.finish();
}

criterion_group!(benches, decision, snapshot);
criterion_main!(benches);
