//! Every status that a hostcall may return, for every hostcall, in every phase: never a trap.

use std::collections::BTreeSet;

use plimsoll_host::proxy::{Fault, Hostcall, Nth, Phase, status};
use plimsoll_host::scenario::{Builder, Fleet, MAIN, Request, Runtime};

use crate::common::{fleet, prompt, same};

fn builder(runtime: Runtime) -> Builder {
    // Small tables: a thousand fleets are started, and most of what that costs is their memory.
    let limits = r#""limits":{"hosts":16,"inflight":64,"prefix_blocks":1024}"#;
    let reuse = r#""reuse":{"coalesce":true,"ttl_ms":60000}"#;
    fleet(runtime, 2).fields(&format!(
        "\"explain\":true,\"access_log\":true,{limits},{reuse}"
    ))
}

/// Whether requests wait for the answers of others: what waits needs a proxy that lets it go on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waits {
    Some,
    None,
}

/// A bit of everything: polls, a streamed and a plain answer, a shared one, an abort, a refusal, a dead collector.
fn life(fleet: &mut Fleet, waits: Waits) {
    fleet.run_ms(600);
    let shared = |input: &str| {
        let body = format!(r#"{{"model":"m","input":"{input}"}}"#);
        Request::post("/v1/embeddings", body).header("x-api-key", "one")
    };
    fleet.send(shared("kept"));
    if waits == Waits::Some {
        fleet.send(shared("kept"));
        let leader = fleet.send(shared("left"));
        fleet.send(shared("left"));
        fleet.run_ms(30);
        fleet.abort(leader);
    }
    fleet.run_ms(200);
    fleet.send(shared("kept"));
    fleet.send(
        Request::say("m", &prompt(1, 3_000))
            .chunks_of(1_000)
            .header("x-plimsoll-explain", "1"),
    );
    fleet.send(Request::say("other", "refused"));
    fleet.send(Request::get("/v1/models"));
    fleet.send(Request::say("m", "with trailers").trailers());
    let aborted = fleet.send(Request::say("m", "aborted"));
    fleet.run_ms(100);
    fleet.abort(aborted);
    fleet.engine(0).script.stream = false;
    fleet.engine(1).script.stream = false;
    fleet.send(Request::say("m", "not streamed"));
    fleet.run_ms(500);
    fleet.kill(MAIN);
    fleet.run_ms(2_500);
    fleet.send(Request::say("m", "at last"));
    fleet.run_ms(500);
}

fn run(runtime: Runtime, fault: Option<Fault>, waits: Waits) -> Result<Fleet, String> {
    let mut fleet = builder(runtime)
        .script(move |proxy| {
            if let Some(fault) = fault {
                proxy.faults.add(fault);
            }
        })
        .start()?;
    life(&mut fleet, waits);
    Ok(fleet)
}

/// Calls that the module makes, by phase.
fn made(waits: Waits) -> BTreeSet<(Hostcall, Phase)> {
    let fleet = run(Runtime::Wasm, None, waits).unwrap();
    fleet.check();
    fleet.proxy().faults.seen().collect()
}

#[test]
fn no_status_of_any_call_in_any_phase_traps() {
    let made = made(Waits::Some);
    let mut traps = BTreeSet::new();
    for (call, phase) in made {
        for status in status::ALL {
            // What a single slip does hardly depends on its number, so three stand for all.
            let single = [status::OK, status::BAD_ARGUMENT, u32::MAX].contains(&status);
            for nth in if single {
                vec![Nth::Every, Nth::Only(2)]
            } else {
                vec![Nth::Every]
            } {
                let fault = Fault {
                    call,
                    phase: Some(phase),
                    nth,
                    status,
                };
                match run(Runtime::Wasm, Some(fault), Waits::Some) {
                    Ok(fleet) if fleet.failures().is_empty() => {
                        assert_eq!(fleet.proxy().breaches, Vec::<String>::new(), "{fault:?}");
                    }
                    // A configuration that cannot be read may be refused, it may not trap.
                    Err(reason) if reason.contains("refused") => {}
                    Ok(fleet) => {
                        let trap = fleet.failures()[0].trap.to_string();
                        traps.insert(format!(
                            "{} in {phase:?} -> {status}: {trap:.200}",
                            call.name()
                        ));
                    }
                    Err(trap) => {
                        traps.insert(format!(
                            "{} in {phase:?} -> {status}: {trap:.200}",
                            call.name()
                        ));
                    }
                }
            }
        }
    }
    let traps: Vec<_> = traps.into_iter().collect();
    assert!(
        traps.is_empty(),
        "{} traps:\n{}",
        traps.len(),
        traps.join("\n")
    );
}

#[test]
fn requests_go_on_whatever_one_call_answers() {
    for (call, phase) in made(Waits::None) {
        // Without its configuration there is no filter to speak of.
        if phase < Phase::Tick {
            continue;
        }
        for status in [
            status::NOT_FOUND,
            status::BAD_ARGUMENT,
            status::INTERNAL_FAILURE,
            status::UNIMPLEMENTED,
        ] {
            let fault = Fault {
                call,
                phase: Some(phase),
                nth: Nth::Every,
                status,
            };
            let runs = [Runtime::Native, Runtime::Wasm]
                .map(|runtime| run(runtime, Some(fault), Waits::None).unwrap());
            for fleet in &runs {
                for (n, record) in fleet.records().iter().enumerate() {
                    let lost = !record.left && record.status != Some(200);
                    // One is refused for its model, when the model is known.
                    assert!(!lost || n == 3, "{fault:?}: request {n}: {record:?}");
                }
            }
            same(&runs[0], &runs[1]);
        }
    }
}
