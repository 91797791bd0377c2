//! What a client must not be able to do.

use plimsoll_host::proxy::{Fault, Hostcall, Nth};
use plimsoll_host::scenario::Request;

use crate::common::{both, fleet, serve, warm};

const PICK: &str = "x-gateway-destination-endpoint";
const HOSTILE: [&str; 5] = [
    PICK,
    "x-gateway-destination-endpoint-subset",
    "x-gateway-destination-endpoint-served",
    "x-plimsoll-poll-target",
    "x-envoy-original-dst-host",
];

fn hostile(request: Request) -> Request {
    let request = HOSTILE.iter().fold(request, |request, name| {
        request
            .header(name, "127.0.0.1:9901")
            .header(&name.to_uppercase(), "10.9.9.9:1")
    });
    // More than once, and a list.
    request.header(PICK, "10.0.0.3:8000,127.0.0.1:9901")
}

#[test]
fn a_clients_routing_headers_never_leave() {
    let requests = [
        Request::say("m", "hello"),
        Request::get("/v1/models"),
        Request::post("/v1/embeddings", "{}"),
        Request::post("/anything", "x").without_length().trailers(),
    ];
    let fleet = both(|runtime| {
        let mut fleet = warm(fleet(runtime, 2));
        for request in &requests {
            serve(&mut fleet, hostile(request.clone()));
        }
        fleet
    });
    for stream in fleet.opened() {
        let sent = fleet.stream(*stream).request.sent_headers.unwrap();
        for (name, value) in sent.iter() {
            let value = String::from_utf8_lossy(value);
            assert!(
                !value.contains("9901") && !value.contains("10.9.9.9"),
                "{name}: {value}"
            );
        }
        let picks = sent.iter().filter(|(name, _)| *name == PICK).count();
        assert_eq!(picks, 1);
        for name in &HOSTILE[1..] {
            assert_eq!(sent.get(name), None);
        }
    }
}

#[test]
fn nor_when_the_proxy_decides() {
    let fleet = both(|runtime| {
        let builder = fleet(runtime, 2).configuration("{}");
        let mut fleet = builder
            .script(|proxy| proxy.clusters.clear())
            .start()
            .unwrap();
        serve(&mut fleet, hostile(Request::say("m", "hello")));
        fleet
    });
    let sent = fleet
        .stream(fleet.opened()[0])
        .request
        .sent_headers
        .unwrap();
    for name in HOSTILE {
        assert_eq!(sent.get(name), None, "{name}");
    }
}

#[test]
fn nor_when_the_headers_cannot_be_read() {
    for status in [1, 2, 10, 12] {
        let fleet = both(|runtime| {
            let mut fleet = warm(fleet(runtime, 2));
            fleet.proxy_mut().faults.add(Fault {
                call: Hostcall::GetHeaders,
                phase: None,
                nth: Nth::Every,
                status,
            });
            serve(&mut fleet, hostile(Request::say("m", "hello")));
            fleet
        });
        let sent = fleet
            .stream(fleet.opened()[0])
            .request
            .sent_headers
            .unwrap();
        for (name, value) in sent.iter() {
            let value = String::from_utf8_lossy(value);
            assert!(!value.contains("9901"), "status {status}: {name}: {value}");
        }
    }
}
