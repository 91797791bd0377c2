//! A client chooses nothing: not its host, not a private cluster, not the admin interface.

use plimsoll_e2e::{Echo, Protocol, Setting, Stand, chat, raw, whole};
use serde_json::json;

use crate::pick::{prompt, ranked};

const ROUTING_HEADERS: [&str; 6] = [
    "x-gateway-destination-endpoint",
    "x-gateway-destination-endpoint-subset",
    "x-gateway-destination-endpoint-served",
    "x-plimsoll-poll-target",
    "x-envoy-original-dst-host",
    "X-Gateway-Destination-Endpoint",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_routing_header_of_a_client_has_any_effect() {
    let (ours, foreign) = (Echo::start().await, Echo::start().await);
    let stand = Stand::start(Setting::hosts([ours.address])).await;
    let wish = foreign.address.to_string();
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let mut client = stand.client(protocol).await;
        for name in ROUTING_HEADERS {
            for body in [
                r#"{"model":"m","messages":[{"role":"user","content":"x"}]}"#,
                "",
            ] {
                let mut request = chat(whole(body));
                let name: hyper::header::HeaderName = name.parse().unwrap();
                // Twice: a filter that removes only the first would miss one.
                request.headers_mut().append(&name, wish.parse().unwrap());
                request
                    .headers_mut()
                    .append(&name, format!("{wish},{wish}").parse().unwrap());
                let reply = client.send(request).await;
                assert_eq!(reply.status, 200);
                assert_eq!(reply.served_by(), ours.address.to_string(), "{name}");
            }
        }
    }
    assert!(foreign.seen().is_empty());
    for seen in ours.seen() {
        for name in ROUTING_HEADERS {
            let name = name.to_ascii_lowercase();
            assert!(
                !seen.headers.contains_key(&name),
                "{name} reached the engine: {seen:?}"
            );
        }
    }
    stand.assert_sound();
}

/// Envoy obeys these from internal addresses; no client is one, not even on this machine.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_does_not_steer_retries_and_timeouts() {
    let echo = Echo::start().await;
    let stand = Stand::start(Setting::hosts([echo.address])).await;
    let names = [
        "x-envoy-upstream-rq-timeout-ms",
        "x-envoy-upstream-rq-per-try-timeout-ms",
        "x-envoy-retry-on",
        "x-envoy-max-retries",
        "x-envoy-retriable-status-codes",
        "x-envoy-internal",
    ];
    let mut request = chat(whole("{}"));
    for name in names {
        request.headers_mut().insert(name, "1".parse().unwrap());
    }
    assert_eq!(
        stand
            .client(Protocol::Http1)
            .await
            .send(request)
            .await
            .status,
        200
    );
    for name in names {
        assert!(!echo.seen()[0].headers.contains_key(name), "{name}");
    }
}

/// Between several hosts, a wish does not tip the choice either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_cannot_pick_among_our_own_hosts() {
    let hosts = [Echo::start().await, Echo::start().await];
    let setting = Setting::hosts(hosts.iter().map(|host| host.address));
    let stand = Stand::start(setting.configuration(json!({"explain": true}))).await;
    let mut client = stand.client(Protocol::Http1).await;
    for index in 0..20 {
        let mut request = chat(whole(prompt(&format!("wish {index}"), 2_000)));
        let wish = hosts[0].address.to_string().parse().unwrap();
        request
            .headers_mut()
            .insert("x-gateway-destination-endpoint", wish);
        request
            .headers_mut()
            .insert("x-plimsoll-explain", "1".parse().unwrap());
        let reply = client.send(request).await;
        assert_eq!(
            reply.served_by(),
            ranked(reply.header("x-plimsoll-decision"))[0]
        );
    }
    assert!(
        !hosts[1].seen().is_empty(),
        "all 20 prompts went where the client wished"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn admin_and_private_clusters_cannot_be_reached() {
    let echo = Echo::start().await;
    let stand = Stand::start(Setting::hosts([echo.address])).await;
    let admin_words = ["envoy_admin", "rq_active", "wasmcustom"];
    for (target, host) in [
        ("/clusters?format=json", "envoy_admin"),
        ("/stats/prometheus", "plimsoll_poll"),
        ("/quitquitquit", "127.0.0.1"),
        ("http://envoy_admin/clusters", "envoy_admin"),
        ("http://plimsoll_poll/metrics", "plimsoll_poll"),
        ("//envoy_admin/clusters", "x"),
        ("/..;/admin/clusters", "x"),
    ] {
        let request = format!(
            "GET {target} HTTP/1.1\r\nhost: {host}\r\nx-plimsoll-poll-target: {}\r\nconnection: close\r\n\r\n",
            echo.address
        );
        let answer = raw(stand.address(), request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 "), "{target}: {answer:?}");
        for word in admin_words {
            assert!(!answer.contains(word), "{target}: {answer}");
        }
    }
    // `CONNECT` is no way around either.
    let answer = raw(
        stand.address(),
        b"CONNECT 127.0.0.1:1 HTTP/1.1\r\nhost: 127.0.0.1:1\r\n\r\n",
    )
    .await;
    assert!(!answer.starts_with("HTTP/1.1 2"), "{answer}");
    assert_eq!(stand.admin("/ready").status, 200);
    stand.assert_sound();
}
