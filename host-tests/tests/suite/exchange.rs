//! Two proxies, each with a shared store and a clock of its own; the test carries what they say to each other.

use plimsoll_core::share::Share;
use plimsoll_host::scenario::{Fleet, Peer, Request, Runtime};

use crate::common::{WARM_MS, fleet, metric, prompt, same, serve};

const A: &str = "10.9.0.1:9000";
const B: &str = "10.9.0.2:9000";

/// A proxy that knows both, itself among them. Its clock is off by so many minutes.
fn proxy(runtime: Runtime, machine: u64, minutes: i64) -> Fleet {
    let mut fleet = fleet(runtime, 8)
        .workers(2)
        .fields(&format!(r#""exchange":{{"peers":["{A}","{B}"]}}"#))
        .exchange()
        .script(move |proxy| {
            proxy.machine = machine;
            proxy.wall_offset_ms = minutes * 60_000;
        })
        .start()
        .unwrap();
    for engine in 0..8 {
        // Engines that do not report usage: prompts are as long as they look.
        fleet.engine(engine).script.prompt_tokens = None;
    }
    fleet
}

/// Both proxies, and time that passes for both.
struct Two {
    a: Fleet,
    b: Fleet,
    /// Whether what `a` says reaches `b`.
    a_is_heard: bool,
}

impl Two {
    fn start(runtime: Runtime, minutes: i64) -> Self {
        let mut two = Self {
            a: proxy(runtime.clone(), 1, 0),
            b: proxy(runtime, 2, minutes),
            a_is_heard: true,
        };
        two.run_ms(WARM_MS);
        // A request that polls see, and that is known: nobody else uses these engines, so no prompt is credited to a home.
        for fleet in [&mut two.a, &mut two.b] {
            for engine in 0..8 {
                fleet.engine(engine).script.ttft_ms = 1_000;
            }
            serve(fleet, Request::say("m", "warm"));
            for engine in 0..8 {
                fleet.engine(engine).script.ttft_ms = 50;
            }
        }
        two.run_ms(WARM_MS);
        two
    }

    fn run_ms(&mut self, ms: u64) {
        for _ in 0..ms / 10 {
            let (a, b) = (self.a.ask(1), self.b.ask(2));
            self.a.set_peer(A, Some(a.clone()));
            self.a.set_peer(B, Some(b.clone()));
            self.b.set_peer(B, Some(b));
            if self.a_is_heard {
                self.b.set_peer(A, Some(a));
            }
            self.a.run_ms(10);
            self.b.run_ms(10);
        }
    }
}

/// Runs a scenario native and on the module: both proxies decide and count alike.
fn both(scenario: impl Fn(Runtime) -> Two) -> Two {
    let run = |runtime| {
        let two = scenario(runtime);
        two.a.check();
        two.b.check();
        two
    };
    let (native, wasm) = (run(Runtime::Native), run(Runtime::Wasm));
    same(&native.a, &wasm.a);
    same(&native.b, &wasm.b);
    wasm
}

/// Requests that the share under `key` tells of; 0 when it is so old that nobody believes it.
fn requests(fleet: &Fleet, key: &str) -> u32 {
    let proxy = fleet.proxy();
    let bytes = proxy.shared.get(key.as_bytes()).unwrap().0;
    let share = Share::new_checked(&bytes).unwrap();
    if proxy.wall() / 1000 > share.stamp().as_micros() + 1_000_000 {
        return 0;
    }
    share.parts().map(|part| part.load.requests).sum()
}

#[test]
fn a_prefix_that_one_proxy_placed_is_found_by_the_other_whatever_their_clocks() {
    for minutes in [0, 17, -17] {
        let two = both(|runtime| {
            let mut two = Two::start(runtime, minutes);
            two.run_ms(1_000);
            assert_eq!(metric(&two.a, "plimsoll_peers"), 1);
            for document in 0..4 {
                let text = prompt(document, 20_000);
                let first = serve(&mut two.a, Request::say("m", &text).worker(1));
                two.run_ms(500);
                let again = serve(&mut two.b, Request::say("m", &text).worker(2));
                let (first, again) = (two.a.record(first), two.b.record(again));
                assert_eq!(first.first(), again.first(), "document {document}");
                // What ended since a poll looks like somebody else's for a moment, and then homes count.
                two.run_ms(2_000);
            }
            two
        });
        assert_eq!(metric(&two.b, "plimsoll_exchanges.result=refused"), 0);
        assert!(metric(&two.b, "plimsoll_exchanges.result=ok") > 5);
        assert!(metric(&two.b, "plimsoll_peers_age_ms") < 500);
    }
}

/// Blocks that the share under `key` tells of.
fn blocks(fleet: &Fleet, key: &str) -> usize {
    let bytes = fleet.proxy().shared.get(key.as_bytes()).unwrap().0;
    Share::new_checked(&bytes).unwrap().blocks().len()
}

#[test]
fn what_one_proxy_placed_is_told_to_the_other_within_two_intervals() {
    let mut two = Two::start(Runtime::Native, 0);
    let mut waits = Vec::new();
    for document in 0..20 {
        // Blocks are told for a second; a prime number of steps of 10 ms meets the intervals at all their phases.
        two.run_ms(1_810);
        assert_eq!(blocks(&two.b, "plimsoll/pool/others"), 0);
        let text = prompt(document, 20_000);
        two.a.send(Request::say("m", &text).worker(1));
        let mut waited = 0;
        while blocks(&two.b, "plimsoll/pool/others") == 0 {
            two.run_ms(10);
            waited += 10;
            assert!(waited <= 1_000, "document {document} is not told at all");
        }
        waits.push(waited);
    }
    let most = waits.iter().max().copied().unwrap();
    let mean = waits.iter().sum::<u64>() / waits.len() as u64;
    println!("told after {mean} ms in the mean, {most} ms at most");
    assert!(most <= 2 * 100 + 2 * 25, "{waits:?}");
}

#[test]
fn load_is_told_once_and_forgotten_with_the_proxy_that_had_it() {
    both(|runtime| {
        let mut two = Two::start(runtime, 3);
        for engine in 0..8 {
            two.a.engine(engine).script.ttft_ms = 60_000;
        }
        for n in 0..6 {
            let request = Request::say("m", &prompt(n, 3_000));
            two.a.send(request.worker(1 + n as usize % 2));
        }
        two.run_ms(600);
        assert_eq!(requests(&two.a, "plimsoll/pool/proxy"), 6);
        // Each hears the other and not itself.
        assert_eq!(requests(&two.b, "plimsoll/pool/others"), 6);
        assert_eq!(requests(&two.a, "plimsoll/pool/others"), 0);
        assert_eq!(metric(&two.b, "plimsoll_peers"), 1);
        // The other one dies; something in its place goes on repeating its last words.
        two.a_is_heard = false;
        two.run_ms(700);
        assert_eq!(requests(&two.b, "plimsoll/pool/others"), 6);
        two.run_ms(1_800);
        assert_eq!(requests(&two.b, "plimsoll/pool/others"), 0);
        assert_eq!(metric(&two.b, "plimsoll_peers"), 0);
        two
    });
}

#[test]
fn nonsense_silence_and_absence_at_a_peers_address_disturb_nothing() {
    both(|runtime| {
        let mut two = Two::start(runtime, 0);
        two.a_is_heard = false;
        let Peer::Answers(200, good) = two.a.ask(1) else {
            panic!("nothing told");
        };
        let mut flipped = good.clone();
        flipped[20] ^= 1;
        let mut long = good.clone();
        long.resize(1 << 20, 0);
        let mut later_version = good.clone();
        later_version[4] += 1;
        let refused = [
            Vec::new(),
            b"<html>".to_vec(),
            flipped,
            long,
            later_version,
            good[..40].to_vec(),
        ];
        let count = |two: &Two, result: &str| {
            metric(&two.b, &format!("plimsoll_exchanges.result={result}"))
        };
        for bytes in refused {
            let before = count(&two, "refused");
            two.b.set_peer(A, Some(Peer::Answers(200, bytes)));
            two.run_ms(500);
            assert!(count(&two, "refused") > before);
        }
        let absent = [Some(Peer::Silent), None, Some(Peer::Answers(503, good))];
        for peer in absent {
            let before = count(&two, "error");
            two.b.set_peer(A, peer);
            two.run_ms(2_500);
            assert!(count(&two, "error") > before);
            let served = serve(&mut two.b, Request::say("m", "hello"));
            assert_eq!(two.b.record(served).step.as_deref(), Some("step=full"));
        }
        assert_eq!(metric(&two.b, "plimsoll_peers"), 0);
        // It comes back.
        two.a_is_heard = true;
        two.run_ms(600);
        assert_eq!(metric(&two.b, "plimsoll_peers"), 1);
        two
    });
}

#[test]
fn the_worker_that_stands_in_for_the_collector_exchanges_under_the_same_name() {
    both(|runtime| {
        let mut two = Two::start(runtime, 1);
        let owner = |fleet: &mut Fleet| match fleet.ask(1) {
            Peer::Answers(200, bytes) => Share::new_checked(&bytes).unwrap().owner(),
            other => panic!("{other:?}"),
        };
        let before = owner(&mut two.a);
        two.a.kill(plimsoll_host::scenario::MAIN);
        two.run_ms(3_000);
        assert_eq!(owner(&mut two.a), before);
        assert_eq!(metric(&two.b, "plimsoll_peers"), 1);
        let text = prompt(1, 20_000);
        let first = serve(&mut two.a, Request::say("m", &text).worker(1));
        two.run_ms(600);
        let again = serve(&mut two.b, Request::say("m", &text).worker(1));
        assert_eq!(two.a.record(first).first(), two.b.record(again).first());
        two
    });
}

#[test]
fn only_the_listener_of_the_role_answers() {
    both(|runtime| {
        let mut two = Two::start(runtime, 0);
        let path = Request::get("/plimsoll/exchange");
        let id = serve(&mut two.a, path);
        let record = two.a.record(id);
        assert!(record.left, "an engine answers what clients ask");
        assert!(two.a.stream(id).local.is_none());
        // Before there is something to tell the answer is an error that says so.
        let mut young = proxy(Runtime::Native, 3, 0);
        let Peer::Answers(503, body) = young.ask(1) else {
            panic!("{:?}", young.ask(1));
        };
        assert!(String::from_utf8(body).unwrap().contains("no_share"));
        two
    });
}
