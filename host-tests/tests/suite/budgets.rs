//! What the module may cost: bytes, memory, instructions, imports. Limits are in `budgets.toml`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;

use plimsoll_core::host::{Address, Load};
use plimsoll_core::learn::Sums;
use plimsoll_core::share::{self, Part, SharedBlock};
use plimsoll_core::time::Instant;
use plimsoll_host::build;
use plimsoll_host::proxy::{Hostcall, Phase};
use plimsoll_host::scenario::{Engine, Fleet, Peer, Request, Runtime};
use plimsoll_host::vm::wasm::Module;

use crate::common::{fleet, prompt, serve, warm};

fn budget(section: &str, key: &str) -> toml::Value {
    let text = std::fs::read_to_string(build::workspace().join("budgets.toml")).unwrap();
    let budgets: toml::Table = text.parse().unwrap();
    let value = budgets.get(section).and_then(|section| section.get(key));
    value
        .unwrap_or_else(|| panic!("budgets.toml has no [{section}] {key}"))
        .clone()
}

fn limit(section: &str, key: &str) -> u64 {
    let limit = budget(section, key).as_integer();
    limit.and_then(|limit| u64::try_from(limit).ok()).unwrap()
}

fn gate(section: &str, key: &str, value: u64) {
    let limit = limit(section, key);
    println!("{key} = {value} of {limit}");
    assert!(
        value <= limit,
        "[{section}] {key}: {value} is over its budget of {limit}"
    );
}

#[test]
fn the_module_is_small() {
    let bytes = build::plimsoll_wasm();
    gate("module", "bytes", bytes.len() as u64);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(bytes).unwrap();
    gate("module", "gzip_bytes", gzip.finish().unwrap().len() as u64);
}

#[test]
fn memory_stays_in_its_budget_at_256_hosts() {
    let mut fleet = warm(fleet(Runtime::Wasm, 256).configuration("{}"));
    fleet.run_ms(3_000);
    for n in 0..400 {
        serve(&mut fleet, Request::say("m", &prompt(n, 20_000)));
    }
    fleet.check();
    gate("module", "memory_pages", fleet.peak_pages());
}

#[test]
fn memory_does_not_grow_with_requests() {
    let mut fleet = warm(fleet(Runtime::Wasm, 8));
    let mut pages = Vec::new();
    for round in 0..4 {
        for n in 0..150 {
            let stream = fleet.send(Request::say("m", &prompt(round * 1_000 + n, 8_000)));
            if n % 7 == 0 {
                fleet.abort(stream);
            }
        }
        fleet.run_ms(5_000);
        pages.push(fleet.peak_pages());
    }
    assert_eq!(pages[1], pages[3], "{pages:?}");
}

/// Instructions of the costliest callback of a phase, after a warm-up.
fn fuel(engines: usize, phase: Phase, text: &str) -> u64 {
    let mut fleet = warm(fleet(Runtime::Wasm, engines));
    for n in 0..20 {
        serve(&mut fleet, Request::say("m", &prompt(n, 500)));
    }
    fleet.reset_fuel();
    serve(&mut fleet, Request::say("m", text));
    fleet.check();
    fleet.peak_fuel(phase)
}

#[test]
fn instructions_stay_in_their_budget() {
    let short = prompt(99, 2_000);
    let long = prompt(98, 400 << 10);
    let scenarios = [
        (
            "request_headers_16_hosts",
            16,
            Phase::RequestHeaders,
            &short,
        ),
        ("decide_2_kib_16_hosts", 16, Phase::RequestBody, &short),
        ("decide_2_kib_256_hosts", 256, Phase::RequestBody, &short),
        ("decide_400_kib_16_hosts", 16, Phase::RequestBody, &long),
        ("response_chunk_16_hosts", 16, Phase::ResponseBody, &short),
        ("log_16_hosts", 16, Phase::Log, &short),
        ("tick_16_hosts", 16, Phase::Tick, &short),
        ("tick_256_hosts", 256, Phase::Tick, &short),
    ];
    // Every figure is printed before the first one fails.
    let measured = scenarios.map(|(name, engines, phase, text)| (name, fuel(engines, phase, text)));
    for (name, value) in measured {
        println!("{name} = {value}");
    }
    for (name, value) in measured {
        gate("fuel", name, value);
    }
}

/// A request of 2 KiB that could share its answer: sent for others, and answered with what was kept.
#[test]
fn sharing_stays_in_its_budget() {
    let fields = r#""reuse":{"coalesce":true,"ttl_ms":600000}"#;
    let mut fleet = warm(fleet(Runtime::Wasm, 16).fields(fields));
    let ask = |n| {
        let content = prompt(n, 2_000);
        let body = format!(
            r#"{{"model":"m","temperature":0,"messages":[{{"role":"user","content":"{content}"}}]}}"#
        );
        Request::chat(body).header("authorization", "Bearer one")
    };
    for n in 0..20 {
        serve(&mut fleet, ask(n));
    }
    for (name, n) in [("share_lead_2_kib", 99), ("share_hit_2_kib", 99)] {
        fleet.reset_fuel();
        serve(&mut fleet, ask(n));
        gate("fuel", name, fleet.peak_fuel(Phase::RequestBody));
    }
    fleet.check();
}

/// What another proxy of a fleet of `hosts` says: work at each, and what it placed in the last second, about ten requests.
fn share_of_a_proxy(proxy: u64, hosts: usize, stamp: u64) -> Vec<u8> {
    const BLOCKS: u64 = 310;
    let part = |host: &Engine| Part {
        host: Address::parse(&host.address).unwrap().key(),
        load: Load {
            requests: 1,
            ..Load::default()
        },
        sums: Sums::default(),
        ejected_until: Instant::ZERO,
    };
    let engines: Vec<_> = (1..=hosts)
        .map(|n| Engine::new(format!("10.0.{}.{}:8000", n / 250, n % 250)))
        .collect();
    let blocks = (0..BLOCKS).map(|n| SharedBlock {
        key: (proxy << 40) | (stamp * BLOCKS / 5 + n),
        part: (n / 31 % hosts as u64) as u32,
        extent: 4096,
    });
    let mut out = Vec::new();
    let next = (stamp + 5) * BLOCKS / 5;
    let stamp = Instant::from_micros(stamp);
    share::write(
        &mut out,
        proxy,
        stamp,
        next,
        engines.iter().map(part),
        blocks,
    );
    out
}

/// Sixteen proxies, each of ten requests a second, in front of 64 hosts.
#[test]
fn the_exchange_of_sixteen_proxies_stays_in_its_budget() {
    const HOSTS: usize = 64;
    let peer = |n: u64| format!("10.9.0.{n}:9000");
    let peers: Vec<String> = (1..=15).map(|n| format!("{:?}", peer(n))).collect();
    let mut fleet = fleet(Runtime::Wasm, HOSTS)
        .fields(&format!(r#""exchange":{{"peers":[{}]}}"#, peers.join(",")))
        .start()
        .unwrap();
    let mut size = 0;
    for stamp in 1..=20 {
        for n in 1..=15 {
            let share = share_of_a_proxy(n, HOSTS, stamp);
            size = share.len();
            fleet.set_peer(&peer(n), Some(Peer::Answers(200, share)));
        }
        if stamp == 10 {
            fleet.reset_fuel();
        }
        fleet.run_ms(200);
    }
    fleet.check();
    println!("a share has {size} bytes");
    gate(
        "fuel",
        "answer_of_a_proxy_64_hosts",
        fleet.peak_fuel(Phase::CallResponse),
    );
    gate(
        "fuel",
        "tick_15_proxies_64_hosts",
        fleet.peak_fuel(Phase::Tick),
    );
    gate("module", "memory_pages", fleet.peak_pages());
}

/// Calls that the module made to the host in the callbacks of streams, by phase and name.
fn calls_of_streams(fleet: &Fleet) -> BTreeMap<(Phase, Hostcall), u64> {
    let proxy = fleet.proxy();
    let of_streams = |(_, phase): &(Hostcall, Phase)| {
        !matches!(
            phase,
            Phase::Initialize
                | Phase::VmStart
                | Phase::Configure
                | Phase::Tick
                | Phase::CallResponse
        )
    };
    let seen = proxy.faults.seen().filter(of_streams);
    seen.map(|(call, phase)| ((phase, call), proxy.faults.made(call, phase)))
        .collect()
}

/// Each call leaves the VM. The request has a body of 2 KiB, its answer comes in one piece.
#[test]
fn host_calls_of_a_request_stay_in_their_budget() {
    let mut fleet = warm(fleet(Runtime::Wasm, 16));
    let request = |n| {
        let content = prompt(n, 2_000);
        Request::chat(format!(
            r#"{{"model":"m","messages":[{{"role":"user","content":"{content}"}}]}}"#
        ))
    };
    for n in 0..20 {
        serve(&mut fleet, request(n));
    }
    let before = calls_of_streams(&fleet);
    const REQUESTS: u64 = 16;
    for n in 0..REQUESTS {
        serve(&mut fleet, request(100 + n));
    }
    fleet.check();
    let mut total = 0;
    for (at, made) in calls_of_streams(&fleet) {
        let made = made - before.get(&at).copied().unwrap_or(0);
        total += made;
        println!("{:?} {}: {made} in {REQUESTS} requests", at.0, at.1.name());
    }
    gate("calls", "of_16_requests", total);
}

#[test]
fn instructions_are_the_same_on_every_run() {
    let text = prompt(5, 5_000);
    assert_eq!(
        fuel(4, Phase::RequestBody, &text),
        fuel(4, Phase::RequestBody, &text)
    );
}

#[test]
fn the_module_imports_exactly_what_the_budget_lists() {
    let imports: BTreeSet<String> = Module::plimsoll()
        .imports()
        .into_iter()
        .map(|(module, name)| format!("{module}.{name}"))
        .collect();
    let listed = budget("module", "imports");
    let listed = listed.as_array().unwrap().iter();
    let listed: BTreeSet<String> = listed
        .filter_map(|name| name.as_str().map(str::to_owned))
        .collect();
    assert_eq!(imports, listed);
}

#[test]
fn the_module_exports_the_abi() {
    let exports = Module::plimsoll().exports();
    for name in [
        "memory",
        "proxy_abi_version_0_2_1",
        "proxy_on_memory_allocate",
        "proxy_on_context_create",
        "proxy_on_configure",
        "proxy_on_tick",
        "proxy_on_http_call_response",
        "proxy_on_request_headers",
        "proxy_on_request_body",
        "proxy_on_response_headers",
        "proxy_on_response_body",
        "proxy_on_log",
        "proxy_on_done",
        "proxy_on_delete",
    ] {
        assert!(exports.contains(name), "{name}");
    }
}
