use super::*;
use std::collections::HashSet;

fn job(id: u64, blocks: &[u64], tokens: u32, output_tokens: u32) -> Job {
    let mut hash = 7;
    let blocks: Vec<u64> = blocks
        .iter()
        .map(|&block| {
            hash = chain(hash, block);
            hash
        })
        .collect();
    Job {
        id,
        prompt: Prompt {
            tokens,
            blocks: blocks.into(),
        },
        output_tokens,
    }
}

fn drain(engine: &mut Engine) -> (u64, Vec<Token>) {
    let mut tokens = Vec::new();
    let mut micros = 0;
    while let Some(step) = engine.begin_step() {
        micros += step;
        engine.finish_step(&mut tokens);
        assert!(engine.used_blocks() <= engine.block_count());
    }
    (micros, tokens)
}

#[test]
fn a_job_alone_takes_prefill_plus_decode_steps() {
    let mut engine = Engine::new(Gpu::H200, 64);
    engine.submit(job(1, &[], 1000, 3)).unwrap();
    let (micros, tokens) = drain(&mut engine);
    let model = Gpu::H200.step_model();
    let mut expected = model.prefill_alone_ms(1000);
    for context in [1001, 1002] {
        let mut load = StepLoad::default();
        load.add_decode(context);
        expected += model.step_ms(&load);
    }
    assert!(
        (micros as f64 / 1000.0 - expected).abs() < 0.01,
        "{micros} us against {expected} ms"
    );
    assert_eq!(
        tokens.iter().map(|token| token.ordinal).collect::<Vec<_>>(),
        [1, 2, 3]
    );
    assert!(tokens[2].last && !tokens[1].last);
    assert_eq!(engine.used_blocks(), 0);
}

#[test]
fn an_equal_prefix_is_cached_but_never_the_whole_prompt() {
    let mut engine = Engine::new(Gpu::H200, 64);
    engine.submit(job(1, &[1, 2, 3, 4], 256, 1)).unwrap();
    drain(&mut engine);
    engine.submit(job(2, &[1, 2, 3, 4], 256, 1)).unwrap();
    engine.submit(job(3, &[1, 2, 9, 4], 256, 1)).unwrap();
    let (_, tokens) = drain(&mut engine);
    assert_eq!(tokens[0].cached_tokens, 192);
    assert_eq!(tokens[1].cached_tokens, 128);
}

#[test]
fn a_long_prompt_is_computed_in_chunks_beside_running_sequences() {
    let mut engine = Engine::new(Gpu::H200, 64);
    engine.submit(job(1, &[], 100, 50)).unwrap();
    let mut tokens = Vec::new();
    engine.begin_step();
    engine.finish_step(&mut tokens);
    engine.submit(job(2, &[], 20_000, 1)).unwrap();
    let mut steps = 0;
    while !tokens.iter().any(|token| token.id == 2) {
        engine.begin_step();
        engine.finish_step(&mut tokens);
        steps += 1;
    }
    assert_eq!(steps, 3);
    assert_eq!(tokens.iter().filter(|token| token.id == 1).count(), 4);
}

#[test]
fn too_long_a_job_is_refused() {
    let mut engine = Engine::new(Gpu::L4, 64);
    assert!(engine.submit(job(1, &[], 39_990, 100)).is_err());
    assert!(engine.begin_step().is_none());
}

#[test]
fn cancelling_frees_blocks_at_once() {
    let mut engine = Engine::new(Gpu::H200, 64);
    engine.submit(job(1, &[], 1000, 100)).unwrap();
    engine.submit(job(2, &[], 1000, 100)).unwrap();
    engine.begin_step();
    assert!(engine.used_blocks() > 0);
    assert!(engine.cancel(1) && engine.cancel(2) && !engine.cancel(2));
    assert_eq!(engine.used_blocks(), 0);
    let mut tokens = Vec::new();
    engine.finish_step(&mut tokens);
    assert!(tokens.is_empty());
    assert!(engine.begin_step().is_none());
}

/// Random jobs and cancellations on a KV cache so small that preemption is common.
#[test]
fn every_job_ends_once_and_blocks_are_conserved() {
    for seed in 0..20 {
        let mut random = seed;
        let mut next = move |bound: u64| {
            random = mix(random + 0x9E37_79B9);
            random % bound
        };
        let mut engine = Engine::with_blocks(Gpu::H200, 16, 64);
        let (mut ended, mut cancelled, mut tokens) = (HashSet::new(), HashSet::new(), Vec::new());
        let jobs = 200;
        let mut submitted = 0;
        loop {
            while submitted < jobs && next(3) > 0 {
                let tokens = 1 + next(400) as u32;
                let blocks: Vec<u64> = (0..u64::from(tokens / 16))
                    .map(|block| block * 4 + next(2))
                    .collect();
                engine
                    .submit(job(submitted, &blocks, tokens, 1 + next(200) as u32))
                    .unwrap();
                submitted += 1;
            }
            if next(20) == 0 {
                let victim = next(jobs);
                if engine.cancel(victim) {
                    assert!(cancelled.insert(victim));
                }
            }
            if engine.begin_step().is_none() && submitted == jobs {
                break;
            }
            tokens.clear();
            engine.finish_step(&mut tokens);
            for token in &tokens {
                if token.last {
                    assert!(ended.insert(token.id));
                }
            }
            assert!(engine.used_blocks() <= 64);
        }
        assert!(ended.is_disjoint(&cancelled));
        assert_eq!(ended.len() + cancelled.len(), jobs as usize);
        assert_eq!(engine.used_blocks(), 0);
        let totals = engine.totals();
        assert!(totals.preemptions > 0, "the case is meant to preempt");
        assert_eq!(totals.accepted, totals.finished + totals.cancelled);
    }
}

/// The pool against a list that keeps every block's last use.
#[test]
fn cache_hits_equal_those_of_a_naive_model() {
    /// Unreferenced blocks in the order in which they were released; `None` holds nothing findable.
    struct Naive(Vec<Option<u64>>);
    impl Naive {
        fn run(&mut self, blocks: &[u64]) -> usize {
            let hits = blocks
                .iter()
                .take_while(|&&hash| self.0.contains(&Some(hash)))
                .count();
            self.0
                .retain(|cached| !cached.is_some_and(|hash| blocks[..hits].contains(&hash)));
            let mut held: Vec<Option<u64>> =
                blocks[..hits].iter().map(|&hash| Some(hash)).collect();
            for &hash in &blocks[hits..] {
                self.0.remove(0);
                held.push(Some(hash).filter(|_| !self.0.contains(&Some(hash))));
            }
            self.0.extend(held.into_iter().rev());
            hits
        }
    }
    let mut naive = Naive(vec![None; 40]);
    let mut pool = BlockPool::new(40);
    let mut random = 5;
    for _ in 0..5000 {
        random = mix(random + 1);
        let length = 1 + random % 12;
        let mut hash = random % 5;
        let blocks: Vec<u64> = (0..length)
            .map(|position| {
                hash = chain(hash, (random >> (8 + 2 * position)) % 3);
                hash
            })
            .collect();
        let (hits, _) = pool.lookup(&blocks);
        let mut held: Vec<BlockId> = blocks[..hits]
            .iter()
            .filter_map(|&hash| pool.hold(hash))
            .collect();
        for &hash in &blocks[hits..] {
            held.extend(pool.allocate(Some(hash)));
        }
        assert_eq!(held.len(), blocks.len());
        assert_eq!(hits, naive.run(&blocks));
        pool.release(&mut held);
        assert_eq!(pool.free(), 40);
    }
}

#[test]
fn prompt_hashes_do_not_depend_on_pieces() {
    let text: Vec<u8> = (0..5000_u32).map(|byte| (byte * 7 % 251) as u8).collect();
    let mut whole = PromptHasher::new(64, 0);
    whole.feed(&text);
    for size in [1, 3, 255, 256, 257, 1000] {
        let mut pieces = PromptHasher::new(64, 0);
        for piece in text.chunks(size) {
            pieces.feed(piece);
        }
        assert_eq!(pieces.digest(), whole.digest());
        assert_eq!(pieces.finish().blocks.len(), 19);
    }
    let mut salted = PromptHasher::new(64, 1);
    salted.feed(&text);
    assert_ne!(salted.finish().blocks[0], whole.finish().blocks[0]);
}

#[test]
fn fleets_are_parsed_and_printed() {
    let fleet: Fleet = "2xh200,1xl4".parse().unwrap();
    assert_eq!(fleet.0, [Gpu::H200, Gpu::H200, Gpu::L4]);
    assert_eq!(fleet.to_string(), "2xh200,1xl4");
    for bad in ["", "h200", "0xh200", "2xtpu", "-1xl4"] {
        assert!(bad.parse::<Fleet>().is_err(), "{bad}");
    }
}
