//! The emulated proxy itself, with modules small enough to read.

use plimsoll_host::proxy::{Fault, Hostcall, Nth, Phase, Profile};
use plimsoll_host::scenario::{Fleet, Request, Runtime};
use plimsoll_host::vm::wasm::Module;

/// A module with the given imports and bodies. Memory: a bump allocator from 4096 on.
fn module(imports: &str, code: &str) -> Runtime {
    let text = format!(
        r#"(module
          {imports}
          (memory (export "memory") 2)
          (global $free (mut i32) (i32.const 4096))
          (func (export "proxy_abi_version_0_2_1"))
          (func (export "proxy_on_memory_allocate") (param $size i32) (result i32)
            (local $at i32)
            (local.set $at (global.get $free))
            (global.set $free (i32.add (global.get $free) (local.get $size)))
            (local.get $at))
          {code})"#
    );
    Runtime::Module(Module::compile(&wat::parse_str(&text).unwrap()).unwrap())
}

const REPLACE: &str = r#"(import "env" "proxy_replace_header_map_value"
    (func $replace (param i32 i32 i32 i32 i32) (result i32)))"#;
const LOG: &str = r#"(import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))"#;
const EVERY: &str = r#"(import "env" "proxy_set_tick_period_milliseconds"
    (func $every (param i32) (result i32)))"#;

/// Names the second engine when the whole body came.
fn picker() -> Runtime {
    module(
        REPLACE,
        r#"(data (i32.const 0) "x-gateway-destination-endpoint")
           (data (i32.const 64) "10.0.0.2:8000,10.0.0.1:8000")
           (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
             (i32.const 1))
           (func (export "proxy_on_request_body") (param i32 i32 i32) (result i32)
             (if (i32.eqz (local.get 2)) (then (return (i32.const 1))))
             (drop (call $replace (i32.const 0) (i32.const 0) (i32.const 30) (i32.const 64) (i32.const 27)))
             (i32.const 0))"#,
    )
}

fn fleet(runtime: Runtime, profile: Profile) -> Fleet {
    let builder = Fleet::builder(runtime).engines(2).profile(profile);
    builder.without_collector().start().unwrap()
}

#[test]
fn the_pick_made_in_the_body_decides_where_the_request_goes() {
    let mut fleet = fleet(picker(), Profile::ENVOY);
    let request = Request::chat(vec![b'x'; 1000]).chunks_of(300);
    let stream = fleet.send(request.clone());
    fleet.run_ms(1_000);
    let record = fleet.record(stream);
    assert_eq!(record.served.as_deref(), Some("10.0.0.2:8000"));
    assert_eq!(record.status, Some(200));
    assert_eq!(record.held_peak, 1000, "a paused body is cumulative");
    let seen = fleet.stream(stream);
    assert_eq!(seen.request.sent_body, request.body());
    assert!(seen.response.sent_end && fleet.is_over(stream));
    fleet.check();
}

#[test]
fn a_retry_goes_to_the_second_entry_of_the_list() {
    let mut fleet = fleet(picker(), Profile::ENVOY);
    fleet.engine(1).up = false;
    let stream = fleet.send(Request::chat("{}"));
    fleet.run_ms(1_000);
    assert_eq!(
        fleet.record(stream).served.as_deref(),
        Some("10.0.0.1:8000")
    );
    assert_eq!(fleet.stream(stream).attempts, 2);
}

#[test]
fn without_the_flag_a_pause_in_headers_keeps_the_body_back_for_ever() {
    let profile = Profile {
        body_while_headers_paused: false,
        ..Profile::ENVOY
    };
    let mut fleet = fleet(picker(), profile);
    let stream = fleet.send(Request::chat("{}"));
    fleet.run_ms(10_000);
    assert!(!fleet.is_over(stream) && !fleet.record(stream).left);
}

#[test]
fn a_body_above_the_limit_is_answered_413() {
    let profile = Profile {
        body_buffer_limit: 1_000,
        ..Profile::ENVOY
    };
    let mut fleet = fleet(picker(), profile);
    let stream = fleet.send(Request::chat(vec![b'x'; 1_200]).chunks_of(300));
    assert_eq!(fleet.record(stream).status, Some(413));
    assert!(!fleet.record(stream).left && fleet.is_over(stream));
}

#[test]
fn headers_are_out_of_reach_after_continue() {
    let runtime = module(
        &format!("{REPLACE}{LOG}"),
        r#"(data (i32.const 0) "x-late")
           (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 0))
           (func (export "proxy_on_request_body") (param i32 i32 i32) (result i32)
             (i32.store8 (i32.const 32) (i32.add (i32.const 48)
               (call $replace (i32.const 0) (i32.const 0) (i32.const 6) (i32.const 0) (i32.const 6))))
             (drop (call $log (i32.const 2) (i32.const 32) (i32.const 1)))
             (i32.const 0))"#,
    );
    let mut envoy = fleet(runtime.clone(), Profile::ENVOY);
    envoy.send(Request::chat("{}"));
    assert_eq!(envoy.proxy().log[0].text, "2");
    let nginx = Profile {
        headers_after_continue: true,
        ..Profile::ENVOY
    };
    let mut nginx = fleet(runtime, nginx);
    nginx.send(Request::chat("{}"));
    assert_eq!(nginx.proxy().log[0].text, "0");
}

/// Traps when the request's body is not empty.
fn mine() -> Runtime {
    module(
        "",
        r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 0))
           (func (export "proxy_on_request_body") (param i32 i32 i32) (result i32) unreachable)"#,
    )
}

#[test]
fn a_trap_fails_its_stream_and_the_worker_comes_back_after_a_second() {
    let mut fleet = Fleet::builder(mine())
        .engines(1)
        .workers(2)
        .start()
        .unwrap();
    let hit = fleet.send(Request::chat("{}").worker(1));
    assert_eq!(fleet.failures().len(), 1);
    assert_eq!(fleet.failures()[0].phase, Phase::RequestBody);
    assert_eq!(fleet.record(hit).status, Some(503));
    let during = fleet.send(Request::get("/v1/models").worker(1));
    let other = fleet.send(Request::get("/v1/models").worker(2));
    fleet.run_ms(1_000);
    let after = fleet.send(Request::get("/v1/models").worker(1));
    fleet.run_ms(1_000);
    assert_eq!(fleet.record(during).status, Some(503), "within the backoff");
    assert_eq!(fleet.record(other).status, Some(200), "another worker");
    assert_eq!(fleet.record(after).status, Some(200), "reloaded");
}

#[test]
fn a_scripted_status_hits_the_call_it_names() {
    let runtime = module(
        &format!("{LOG}{EVERY}"),
        r#"(data (i32.const 0) "tick")
           (func (export "proxy_on_configure") (param i32 i32) (result i32)
             (drop (call $every (i32.const 100))) (i32.const 1))
           (func (export "proxy_on_tick") (param i32)
             (drop (call $log (i32.const 2) (i32.const 0) (i32.const 4))))"#,
    );
    let mut fleet = fleet(runtime, Profile::ENVOY);
    fleet.proxy_mut().faults.add(Fault {
        call: Hostcall::Log,
        phase: Some(Phase::Tick),
        nth: Nth::Only(2),
        status: 10,
    });
    fleet.run_ms(200);
    let proxy = fleet.proxy();
    // Two threads tick twice; one of the four lines is refused.
    assert_eq!(proxy.faults.made(Hostcall::Log, Phase::Tick), 4);
    assert_eq!((proxy.log.len(), proxy.faults.hits()), (3, 1));
}

#[test]
fn a_second_tick_period_traps_where_the_host_allows_one() {
    let runtime = module(
        EVERY,
        r#"(func (export "proxy_on_configure") (param i32 i32) (result i32)
             (drop (call $every (i32.const 100)))
             (drop (call $every (i32.const 50))) (i32.const 1))"#,
    );
    assert!(Fleet::builder(runtime.clone()).start().is_ok());
    let refused = Fleet::builder(runtime).profile(Profile::NGINX).start();
    assert!(refused.is_err());
}

#[test]
fn an_endless_loop_ends_as_a_trap() {
    let runtime = module(
        "",
        r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
             (loop $again (br $again)) (i32.const 0))"#,
    );
    let mut fleet = fleet(runtime, Profile::ENVOY);
    fleet.send(Request::get("/"));
    assert!(fleet.failures()[0].trap.0.contains("fuel"));
}
