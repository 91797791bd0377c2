//! The parsers on the request and response path allocate nothing once they are built.

#![allow(
    unsafe_code,
    reason = "a global allocator cannot be written without it"
)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

use plimsoll_core::{
    observe::{Body, Observer},
    request::{Kind, Scanner},
    scrape::{EngineFacts, parse},
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
