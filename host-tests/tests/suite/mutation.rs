//! Malformed requests by the thousand, from a seed.
//!
//! `PLIMSOLL_MUTATIONS` sets how many (2,000 by default), `PLIMSOLL_MUTATION_SEED` where to start. A failure names the seed of
//! the one request that did it.

use plimsoll_host::scenario::{Builder, Fleet, Request, Runtime, Scrape};

use crate::body::malformed;
use crate::common::{fleet, nothing_in_flight, prompt, same, serve, warm};

/// Requests that one fleet serves before it is checked and replaced.
const BATCH: u64 = 500;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = malformed()
        .into_iter()
        .map(|(_, body)| body)
        .filter(|body| body.len() < 10_000)
        .collect();
    for n in 0..4 {
        seeds.push(Request::say("m", &prompt(n, 300 << n)).body().to_vec());
    }
    let parts = r#"{"model":"m","cache_salt":"s","max_completion_tokens":9,"stream":false,"messages":[
        {"role":"system","content":[{"type":"text","text":"a\nb\u0041\ud83d\ude00"},{"type":"image_url","image_url":{"url":"data:,"}}]},
        {"role":"user","content":null,"tool_calls":[{"function":{"arguments":"{\"a\":[1,2]}"}}]}],"n":1.5e3}"#;
    seeds.push(parts.as_bytes().to_vec());
    seeds.push(br#"{"prompt":["a","b"],"model":"m","max_tokens":1}"#.to_vec());
    seeds
}

/// Changes a body in one to eight places.
fn mutate(body: &mut Vec<u8>, random: &mut Random) {
    const TOKENS: [&[u8]; 16] = [
        b"\"",
        b"\\",
        b"\\u",
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b"null",
        b"-",
        b"1e999",
        b"\xff",
        b"\xed\xa0\x80",
        b"\"model\":",
        b"\"messages\":",
    ];
    for _ in 0..=random.below(8) {
        let at = random.below(body.len() + 1);
        let end = (at + random.below(40)).min(body.len());
        match random.below(7) {
            0 => body.truncate(at),
            1 => drop(body.drain(at..end)),
            2 => drop(body.splice(at..at, TOKENS[random.below(TOKENS.len())].iter().copied())),
            3 => {
                if let Some(byte) = body.get_mut(at) {
                    *byte ^= 1 << random.below(8);
                }
            }
            4 => {
                let piece = body[at..end].to_vec();
                let to = random.below(body.len() + 1);
                drop(body.splice(to..to, piece));
            }
            5 => {
                let token = TOKENS[random.below(TOKENS.len())].repeat(1 + random.below(200));
                drop(body.splice(at..at, token));
            }
            _ => {
                let middle = at % body.len().max(1);
                body.rotate_left(middle);
            }
        }
    }
}

fn request(seeds: &[Vec<u8>], seed: u64) -> Request {
    let random = &mut Random(seed);
    let mut body = seeds[random.below(seeds.len())].clone();
    mutate(&mut body, random);
    let path = [
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/completions?x",
        "/other",
    ][random.below(4)];
    let mut request = Request::post(path, body);
    if random.below(3) == 0 {
        let mut value = format!("{:x}", random.next()).into_bytes();
        mutate(&mut value, random);
        let name = [
            "content-length",
            "authorization",
            "x-session-id",
            "x-request-id",
            "x-plimsoll-explain",
        ];
        request = request.header(name[random.below(5)], value);
    }
    match random.below(4) {
        0 => request = request.without_length(),
        1 => request = request.late_end(),
        2 => request = request.trailers(),
        _ => {}
    }
    let chunk = [1, 3, 17, 256, 16 << 10][random.below(5)];
    request.chunks_of(chunk)
}

fn batch(runtime: Runtime, seeds: &[Vec<u8>], from: u64, count: u64) -> Fleet {
    let mut fleet = warm(fleet(runtime, 3));
    for seed in from..from + count {
        let stream = fleet.send(request(seeds, seed));
        assert!(
            fleet.failures().is_empty(),
            "seed {seed}: {:?}",
            fleet.failures()
        );
        match seed % 5 {
            0 => fleet.abort(stream),
            1 => fleet.run_ms(5),
            _ => {}
        }
    }
    fleet.run_ms(10_000);
    fleet.check();
    nothing_in_flight(&fleet);
    fleet
}

fn setting(name: &str, default: u64) -> u64 {
    let Ok(text) = std::env::var(name) else {
        return default;
    };
    text.parse()
        .unwrap_or_else(|_| panic!("{name}={text} is not a number"))
}

#[test]
fn malformed_requests_by_the_thousand() {
    let count = setting("PLIMSOLL_MUTATIONS", 2_000);
    let first = setting("PLIMSOLL_MUTATION_SEED", 1);
    let seeds = seeds();
    let mut from = first;
    while from < first + count {
        let size = BATCH.min(first + count - from);
        let native = batch(Runtime::Native, &seeds, from, size);
        let wasm = batch(Runtime::Wasm, &seeds, from, size);
        same(&native, &wasm);
        from += size;
    }
}

const KEYS: [&str; 4] = ["snapshot", "lease", "worker/0", "worker/1"];

/// Everything that reaches the module from elsewhere than a client, changed at random: metrics pages, the admin interface,
/// shared data, configuration.
fn control_path(runtime: Runtime, from: u64, count: u64) -> Fleet {
    let builder = fleet(runtime, 3).workers(2).configuration("{}");
    let mut fleet = warm(builder.collector_configuration("{}"));
    fleet.run_ms(1_000);
    let configuration = Builder::listing(
        fleet.engines(),
        r#""policy":"plimsoll","poll":{"every_ms":200},"limits":{"hosts":64},"weights":{"stall":0.5},"explain":true"#,
    );
    for seed in from..from + count {
        let random = &mut Random(seed);
        let engine = random.below(3);
        let mut page = fleet.engines()[engine].metrics_text().into_bytes();
        mutate(&mut page, random);
        fleet.engine(engine).scrape = Scrape::Bytes(page);
        let mut admin = fleet.admin_clusters().into_bytes();
        mutate(&mut admin, random);
        fleet.set_admin(Some(admin));
        {
            let mut proxy = fleet.proxy_mut();
            let key = format!("plimsoll/pool/{}", KEYS[random.below(KEYS.len())]);
            let mut value = proxy.shared.get(key.as_bytes()).unwrap_or_default().0;
            mutate(&mut value, random);
            proxy.shared.set(key.as_bytes(), &value, 0).unwrap();
        }
        if random.below(5) == 0 {
            let mut json = configuration.clone().into_bytes();
            mutate(&mut json, random);
            fleet.reconfigure(&String::from_utf8_lossy(&json));
            fleet.reconfigure("{}");
        }
        fleet.run_ms(120 + random.next() % 300);
        fleet.send(Request::say("m", &prompt(seed, 200)));
        assert!(
            fleet.failures().is_empty(),
            "seed {seed}: {:?}",
            fleet.failures()
        );
    }
    fleet.set_admin(None);
    for engine in 0..3 {
        fleet.engine(engine).scrape = Scrape::Metrics;
    }
    fleet.run_ms(15_000);
    let last = serve(&mut fleet, Request::say("m", "well again"));
    assert_eq!(
        fleet.record(last).step.as_deref(),
        Some("step=full"),
        "from seed {from}"
    );
    fleet.run_ms(50);
    fleet.check();
    nothing_in_flight(&fleet);
    fleet
}

#[test]
fn the_control_path_recovers_from_garbage_of_every_kind() {
    const BATCH: u64 = 50;
    let count = setting("PLIMSOLL_MUTATIONS", 2_000) / 20;
    let first = setting("PLIMSOLL_MUTATION_SEED", 1);
    for from in (first..first + count).step_by(BATCH as usize) {
        let size = BATCH.min(first + count - from);
        let native = control_path(Runtime::Native, from, size);
        let wasm = control_path(Runtime::Wasm, from, size);
        same(&native, &wasm);
    }
}
