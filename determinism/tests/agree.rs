//! A hundred thousand recorded decisions, natively, as wasm for proxies and as wasm for browsers: the same bits.

use std::path::{Path, PathBuf};
use std::process::Command;

use plimsoll_core::config::Policy;
use plimsoll_determinism::{Outcome, trace};
use serde_json::Value;
use wasmtime::{Config, Engine, Linker, Module, Store};

/// Of the score; the classic policies get fewer.
const REQUESTS: u64 = 100_000;
const CLASSIC_REQUESTS: u64 = 5_000;

/// Builds the crate for `target`, or for this machine, and returns what it built.
fn build(target: Option<&str>, file: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut command = Command::new(env!("CARGO"));
    command
        .current_dir(root)
        .args(["build", "--quiet", "--profile", "tools"])
        .args(["--package", "plimsoll-determinism"]);
    if let Some(target) = target {
        command.args(["--lib", "--target", target]);
    }
    assert!(command.status().unwrap().success(), "{command:?}");
    // This test lies in <target>/<profile>/deps.
    let test = std::env::current_exe().unwrap();
    let built = test.ancestors().nth(3).unwrap();
    let built = match target {
        Some(target) => built.join(target),
        None => built.to_path_buf(),
    };
    built.join("tools").join(file)
}

/// The bundled trace in the form that modules are handed.
fn bundled() -> Vec<u8> {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../sim/data/mooncake-conversation.jsonl");
    let mut bytes = Vec::new();
    for line in std::fs::read_to_string(path).unwrap().lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let number = |name: &str| row[name].as_u64().unwrap() as u32;
        let blocks: Vec<u32> = row["hash_ids"]
            .as_array()
            .unwrap()
            .iter()
            .map(|id| id.as_u64().unwrap() as u32)
            .collect();
        let (at, input) = (number("timestamp"), number("input_length"));
        trace::push(&mut bytes, at, input, number("output_length"), &blocks);
    }
    bytes
}

fn natively(binary: &Path, trace: &Path, policy: &str, requests: u64) -> Outcome {
    let output = Command::new(binary)
        .arg(trace)
        .args([policy, &requests.to_string()])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let numbers: Vec<u64> = text
        .split_whitespace()
        .map(|number| number.parse().unwrap())
        .collect();
    let [digest, decisions, identical, cached] = numbers[..] else {
        panic!("{text}{}", String::from_utf8_lossy(&output.stderr));
    };
    Outcome {
        digest,
        decisions,
        identical,
        cached,
    }
}

/// A module in a bare VM.
struct Vm {
    store: Store<()>,
    instance: wasmtime::Instance,
}

impl Vm {
    fn new(engine: &Engine, path: &Path, trace: &[u8]) -> Self {
        let module = Module::from_file(engine, path).unwrap();
        let mut linker = Linker::new(engine);
        // Nothing of the system is needed: what the standard library might ask for on a panic is not there.
        linker.define_unknown_imports_as_traps(&module).unwrap();
        let mut store = Store::new(engine, ());
        let instance = linker.instantiate(&mut store, &module).unwrap();
        let mut vm = Self { store, instance };
        if let Ok(start) = vm
            .instance
            .get_typed_func::<(), ()>(&mut vm.store, "_initialize")
        {
            start.call(&mut vm.store, ()).unwrap();
        }
        let reserve = vm.function::<u32, u32>("reserve");
        let at = reserve.call(&mut vm.store, trace.len() as u32).unwrap();
        let memory = vm.instance.get_memory(&mut vm.store, "memory").unwrap();
        memory.write(&mut vm.store, at as usize, trace).unwrap();
        vm
    }

    fn function<P: wasmtime::WasmParams, R: wasmtime::WasmResults>(
        &mut self,
        name: &str,
    ) -> wasmtime::TypedFunc<P, R> {
        self.instance
            .get_typed_func(&mut self.store, name)
            .unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn run(&mut self, policy: Policy, requests: u64) -> Outcome {
        let digest = self
            .function::<(u32, u64), u64>("digest")
            .call(&mut self.store, (policy as u32, requests))
            .unwrap();
        let mut count = |name| {
            self.function::<(), u64>(name)
                .call(&mut self.store, ())
                .unwrap()
        };
        Outcome {
            digest,
            decisions: count("decisions"),
            identical: count("identical"),
            cached: count("cached"),
        }
    }
}

#[test]
fn every_target_decides_alike() {
    let binary = build(None, "plimsoll-determinism");
    let proxy = build(Some("wasm32-wasip1"), "plimsoll_determinism.wasm");
    let browser = build(Some("wasm32-unknown-unknown"), "plimsoll_determinism.wasm");
    let bytes = bundled();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &bytes).unwrap();
    let engine = Engine::new(&Config::new()).unwrap();
    let mut proxy = Vm::new(&engine, &proxy, &bytes);
    let mut browser = Vm::new(&engine, &browser, &bytes);
    for (name, policy) in Policy::NAMES {
        let requests = match policy {
            Policy::Plimsoll => REQUESTS,
            _ => CLASSIC_REQUESTS,
        };
        let native = natively(&binary, file.path(), name, requests);
        assert_eq!(native.decisions, requests, "{name}");
        assert_eq!(native.identical, requests, "{name}: replayed natively");
        assert_eq!(proxy.run(policy, requests), native, "{name}: in a proxy");
        assert_eq!(
            browser.run(policy, requests),
            native,
            "{name}: in a browser"
        );
        if policy == Policy::Plimsoll {
            assert!(native.cached > requests / 4, "{native:?}");
        }
    }
}
