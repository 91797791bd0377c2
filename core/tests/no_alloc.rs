//! Nothing on the request and response path allocates once it is warm: neither the parsers nor the router.

#![allow(
    unsafe_code,
    reason = "a global allocator cannot be written without it"
)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    ops::Range,
};

use plimsoll_core::{
    config::{Config, Policy},
    observe::{Body, Observer, Seen},
    request::{Block, Kind, Request, Scanner},
    rng::mix,
    router::{Outcome, Router, Verdict},
    scrape::{EngineFacts, parse},
    time::Instant,
};

thread_local! {
    /// Allocations of this thread: the test runner's own threads do not disturb the count.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call is handed to the system allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

#[test]
fn the_counter_counts() {
    assert_eq!(
        allocations(|| drop(std::hint::black_box(Box::new(7_u64)))),
        1
    );
}

#[test]
fn parsers_do_not_allocate() {
    let text = "a long prompt \\n".repeat(100_000);
    let body = format!(
        r#"{{"model":"m","messages":[{{"role":"user","content":"{text}"}}],"max_tokens":7}}"#
    );
    let stream =
        "data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}],\"usage\":{\"prompt_tokens\":3}}\n\n"
            .repeat(100);
    let page = include_bytes!("data/vllm-0.32.0.metrics.txt");
    let (mut scanner, mut observer) = (Scanner::new(Kind::Chat), Observer::new(Body::Sse));
    let (mut tokens, mut facts) = (0, EngineFacts::default());
    let count = allocations(|| {
        for _ in 0..2 {
            scanner.reset(Kind::Chat);
            body.as_bytes()
                .chunks(16_384)
                .for_each(|chunk| scanner.feed(chunk));
        }
        stream
            .as_bytes()
            .chunks(100)
            .for_each(|chunk| tokens += observer.feed(chunk).tokens);
        parse(page, &mut facts);
    });
    assert_eq!(
        (
            scanner.facts().complete,
            scanner.facts().blocks.len(),
            tokens,
            facts.block_tokens
        ),
        (true, 256, 100, 32)
    );
    assert_eq!(count, 0);
}

/// One request from decision to end, recorded if there is a place for it; true when it was forwarded.
fn serve(router: &mut Router, n: u64, record: Option<&mut Vec<u8>>) -> bool {
    let now = Instant::from_micros(1_000_000_000 + n * 1000);
    let mut blocks = [Block { hash: 0, end: 0 }; 12];
    for (i, block) in (0u32..).zip(&mut blocks) {
        *block = Block {
            hash: mix(n % 50 * 100 + u64::from(i)),
            end: (i + 1) * 256,
        };
    }
    let request = Request {
        kind: Kind::Chat,
        model: 1,
        salt: 0,
        tenant: n % 7,
        session: 0,
        prompt_bytes: 3100,
        blocks: &blocks,
        blocks_complete: true,
        max_tokens: None,
        stream: !n.is_multiple_of(3),
        seed: n,
    };
    let verdict = match record {
        Some(record) => router.on_request_recorded(now, &request, record),
        None => router.on_request(now, &request),
    };
    let Verdict::Forward(decision) = verdict else {
        return false;
    };
    router.on_chunk(
        now,
        decision.ticket,
        Seen {
            tokens: 1,
            ..Seen::default()
        },
    );
    router.on_done(
        now,
        decision.ticket,
        Outcome {
            status: 200,
            ..Outcome::default()
        },
    );
    router.on_tick(now);
    true
}

#[test]
fn a_warm_router_does_not_allocate() {
    for (name, _) in Policy::NAMES {
        for more in [
            "",
            r#","shadow":{"enabled":true,"policy":"power_of_two"}"#,
            r#","record":{"every":1}"#,
        ] {
            let json = format!(
                r#"{{"policy":"{name}","hosts":["10.0.0.1:80","10.0.0.2:80","10.0.0.3:80","10.0.0.4:80"]{more}}}"#
            );
            let config = Config::parse(json.as_bytes()).unwrap();
            let mut buffer = Vec::new();
            let mut record = (config.record.every > 0).then_some(&mut buffer);
            let mut router = Router::new(config, 1);
            let mut all = |range: Range<u64>| {
                for n in range {
                    assert!(serve(&mut router, n, record.as_deref_mut()));
                }
            };
            all(0..200);
            assert_eq!(allocations(|| all(200..2000)), 0, "{json}");
        }
    }
}
