//! Running a scenario both ways, and what scenarios ask of a fleet.

use std::collections::BTreeMap;

use plimsoll_host::scenario::{Builder, Fleet, Record, Request, Runtime, StreamId};

/// Time after which the collector has polled every host and every worker has read the snapshot, milliseconds.
pub(crate) const WARM_MS: u64 = 1_000;

/// Runs a scenario native and on the real module; both must decide the same, count the same and stay well.
///
/// Gives the fleet that ran the module.
pub(crate) fn both(scenario: impl Fn(Runtime) -> Fleet) -> Fleet {
    let run = |runtime| {
        let mut fleet = scenario(runtime);
        // Gauges are published by the tick.
        fleet.run_ms(50);
        fleet.check();
        fleet
    };
    let native = run(Runtime::Native);
    let wasm = run(Runtime::Wasm);
    same(&native, &wasm);
    wasm
}

/// Fails unless two runs decided and counted the same.
pub(crate) fn same(native: &Fleet, wasm: &Fleet) {
    let (ours, theirs) = (native.records(), wasm.records());
    for (request, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
        assert_eq!(ours, theirs, "request {request}: native left, wasm right");
    }
    assert_eq!(ours.len(), theirs.len());
    assert_eq!(
        metrics(native),
        metrics(wasm),
        "metrics: native left, wasm right"
    );
}

fn metrics(fleet: &Fleet) -> BTreeMap<String, (u64, Vec<u64>)> {
    let proxy = fleet.proxy();
    proxy
        .metrics
        .starting("")
        .map(|(name, metric)| (name.to_owned(), (metric.value, metric.records.clone())))
        .collect()
}

/// A builder of one worker and a few engines.
pub(crate) fn fleet(runtime: Runtime, engines: usize) -> Builder {
    Fleet::builder(runtime).engines(engines)
}

/// Starts a fleet and lets it come to know its engines.
///
/// # Panics
/// When it does not start.
pub(crate) fn warm(builder: Builder) -> Fleet {
    let mut fleet = builder.start().unwrap();
    fleet.run_ms(WARM_MS);
    fleet
}

/// Sends a request and runs until it is over.
pub(crate) fn serve(fleet: &mut Fleet, request: Request) -> StreamId {
    let stream = fleet.send(request);
    finish(fleet, stream);
    stream
}

/// Runs until a stream is over.
///
/// # Panics
/// When it hangs for ten minutes of virtual time.
pub(crate) fn finish(fleet: &mut Fleet, stream: StreamId) {
    for _ in 0..6_000 {
        if fleet.is_over(stream) {
            return;
        }
        fleet.run_ms(100);
    }
    panic!("{stream:?} hangs");
}

/// Value of a metric.
pub(crate) fn metric(fleet: &Fleet, name: &str) -> u64 {
    fleet.proxy().metrics.value(name)
}

/// Sum of the metrics whose name starts so.
pub(crate) fn sum(fleet: &Fleet, prefix: &str) -> u64 {
    fleet.proxy().metrics.sum(prefix)
}

/// Requests that each host was named first for.
pub(crate) fn picks(records: &[Record]) -> BTreeMap<String, usize> {
    let mut picks = BTreeMap::new();
    for host in records.iter().filter_map(Record::first) {
        *picks.entry(host.to_owned()).or_default() += 1;
    }
    picks
}

/// Fails unless nothing is left in flight, in the metric that operators see.
pub(crate) fn nothing_in_flight(fleet: &Fleet) {
    let proxy = fleet.proxy();
    for (name, metric) in proxy.metrics.starting("plimsoll_inflight.") {
        assert_eq!(metric.value, 0, "{name}");
    }
}

/// A prompt of this many bytes that differs by seed.
pub(crate) fn prompt(seed: u64, bytes: usize) -> String {
    let mut text = String::with_capacity(bytes + 24);
    let mut n = seed;
    while text.len() < bytes {
        n = n
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        text.push_str(&format!("{:012x} ", n >> 16));
    }
    text.truncate(bytes);
    text
}
