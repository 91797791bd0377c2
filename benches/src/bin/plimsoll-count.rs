//! One operation many times, for a simulator of processors to count its instructions: `plimsoll-count decision_16_hosts`.
//!
//! Callgrind counts what happens inside of `counted`; `cargo xtask bench --gates` runs it.

use std::hint::black_box;
use std::process::ExitCode;

use plimsoll_benches::{NOW, body, decide, page, prompt, request, warm_router};
use plimsoll_core::request::{Kind, Scanner};
use plimsoll_core::router::Outcome;
use plimsoll_core::scrape::{self, EngineFacts};

/// How often the operation is done; also what the count is divided by.
const TIMES: u64 = 64;

/// Under its own name, so that counting can start and end with it.
#[inline(never)]
fn counted(work: &mut dyn FnMut(u64)) {
    for turn in 0..TIMES {
        work(turn);
    }
}

fn decision(hosts: usize) {
    let mut router = warm_router("plimsoll", hosts);
    let prompts: Vec<_> = (0..TIMES).map(|family| prompt(family, 8)).collect();
    counted(&mut |turn| {
        let decision = decide(&mut router, &request(&prompts[turn as usize], turn));
        let outcome = Outcome {
            status: 200,
            ..Outcome::default()
        };
        router.on_done(NOW, black_box(decision).ticket, outcome);
    });
}

fn scan(kib: usize) {
    let bytes = body(kib * 1024);
    let mut scanner = Scanner::new(Kind::Chat);
    counted(&mut |_| {
        scanner.reset(Kind::Chat);
        scanner.feed(black_box(&bytes));
        black_box(scanner.facts().prompt_bytes);
    });
}

fn metrics(kib: usize) {
    let page = page(kib * 1024);
    counted(&mut |_| {
        let mut facts = EngineFacts::default();
        black_box(scrape::parse(black_box(page.as_bytes()), &mut facts));
    });
}

fn main() -> ExitCode {
    let name = std::env::args().nth(1).unwrap_or_default();
    match name.as_str() {
        "decision_16_hosts" => decision(16),
        "decision_64_hosts" => decision(64),
        "decision_256_hosts" => decision(256),
        "decision_1024_hosts" => decision(1024),
        "scan_2_kib" => scan(2),
        "scan_64_kib" => scan(64),
        "metrics_48_kib" => metrics(48),
        _ => {
            eprintln!("no operation is called {name:?}");
            return ExitCode::FAILURE;
        }
    }
    println!("operations: {TIMES}");
    ExitCode::SUCCESS
}
