//! The emulated Envoy answers as the real one does.
//!
//! `tests/probe/probe.wat` asks in every phase what hostcalls answer. Its log in Envoy 1.40 is kept in
//! `tests/probe/envoy-1.40.txt`; the emulated proxy must produce the same lines. To record it anew:
//!
//! ```text
//! cargo run -p plimsoll-host --example probe -- target/probe.wasm
//! # an upstream on 127.0.0.1:21878 that answers 200, content-length 7, "hello!\n"
//! envoy -c host-tests/tests/probe/envoy.yaml --concurrency 1 2>&1 | grep -oE 'probe [a-z-]+ [a-z0-9-]+ [0-9]+ [0-9]+ [0-9]+'
//! curl -X POST --data-binary abcdefghij http://127.0.0.1:21877/p
//! curl -X POST --data-binary abcdefghij http://127.0.0.1:21877/c
//! curl http://127.0.0.1:21877/p
//! ```

use plimsoll_host::scenario::{Fleet, Request, Runtime};
use plimsoll_host::vm::wasm::Module;

#[test]
fn every_hostcall_answers_in_every_phase_as_envoy_does() {
    let probe = wat::parse_str(include_str!("../probe/probe.wat")).unwrap();
    let probe = Runtime::Module(Module::compile(&probe).unwrap());
    let builder = Fleet::builder(probe).engines(1).configuration(r#"{"a":1}"#);
    let mut fleet = builder.without_collector().start().unwrap();
    let script = &mut fleet.engine(0).script;
    (script.stream, script.body) = (false, Some(b"hello!\n".to_vec()));
    // curl speaks HTTP/1.1: the end of a body comes after its bytes.
    let post = |path| Request::post(path, "abcdefghij").late_end();
    for request in [post("/p"), post("/c"), Request::get("/p")] {
        fleet.send(request);
        fleet.run_ms(1_000);
    }
    fleet.check();
    let proxy = fleet.proxy();
    let ours: Vec<&str> = proxy.log.iter().map(|line| line.text.as_str()).collect();
    let envoy = include_str!("../probe/envoy-1.40.txt");
    let envoy: Vec<&str> = envoy
        .lines()
        .filter(|line| !line.starts_with('#'))
        .collect();
    for (number, (ours, envoy)) in ours.iter().zip(&envoy).enumerate() {
        assert_eq!(ours, envoy, "line {number}: emulated left, Envoy right");
    }
    assert_eq!(ours.len(), envoy.len());
}
