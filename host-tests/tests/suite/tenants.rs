//! Bad and good credentials, and that nothing secret is logged.

use plimsoll_host::scenario::{Fleet, Request, StreamId};

use crate::common::{both, serve, sum, warm};

/// SHA-256 of `acme-key`.
const TENANTS: &str = r#""tiers":[{"name":"gold"},{"name":"free"}],
    "tenants":[{"name":"acme","tier":"gold","keys":["sha256:afacab3575137afa4e00d9cbcafcb14c9ae25f779d964eb0ea5b2c4eb5dfd163"]},
        {"name":"zeta","tier":"free"}],
    "identity":{"jwt_claim":"sub","header":"x-tenant","trusted_hops":["127.0.0.0/8"]}"#;

fn refused(fleet: &Fleet, stream: StreamId) -> (Option<u16>, String) {
    let response = fleet.stream(stream).response;
    let reason = response
        .sent_headers
        .and_then(|headers| headers.text("x-plimsoll-reason"));
    let error: serde_json::Value = serde_json::from_slice(&response.sent_body).unwrap_or_default();
    let reason = reason.unwrap_or_default();
    if !reason.is_empty() {
        assert_eq!(error["error"]["code"], reason.as_str());
        assert!(!fleet.record(stream).left, "it never reached a host");
    }
    (fleet.record(stream).status, reason)
}

#[test]
fn credentials_open_the_door_or_do_not() {
    let secret = "sk-live-0123456789";
    let long = "k".repeat(5_000);
    let fleet = both(|runtime| {
        let mut fleet = warm(Fleet::builder(runtime).engines(1).fields(TENANTS));
        let say = || Request::say("m", "hello");
        let cases = [
            (say(), 401, "no_credential"),
            (
                say().header("authorization", format!("Bearer {secret}")),
                401,
                "unknown_key",
            ),
            (say().header("x-api-key", secret), 401, "unknown_key"),
            (say().header("x-api-key", &long), 401, "unknown_key"),
            (say().header("authorization", "Bearer "), 401, "unknown_key"),
            (say().header("x-tenant", "nobody"), 403, "unknown_tenant"),
            (say().header("authorization", "Bearer acme-key"), 200, ""),
            (say().header("x-api-key", "acme-key"), 200, ""),
            (say().header("x-tenant", "zeta"), 200, ""),
        ];
        for (request, status, reason) in cases {
            let stream = serve(&mut fleet, request);
            assert_eq!(refused(&fleet, stream), (Some(status), reason.to_owned()));
        }
        // A hop that is not trusted.
        fleet
            .proxy_mut()
            .scripted_properties
            .insert("source.address".to_owned(), b"203.0.113.9:1234".to_vec());
        let forged = serve(&mut fleet, say().header("x-tenant", "acme"));
        assert_eq!(
            refused(&fleet, forged),
            (Some(403), "forged_tenant_header".to_owned())
        );
        // What the proxy's JWT filter has checked.
        let path = "metadata.filter_metadata.envoy.filters.http.jwt_authn.jwt_payload.sub";
        for (claim, status) in [("acme", 200), ("nobody", 403)] {
            fleet
                .proxy_mut()
                .scripted_properties
                .insert(path.to_owned(), claim.into());
            let stream = serve(&mut fleet, say().header("authorization", "Bearer a.b.c"));
            assert_eq!(fleet.record(stream).status, Some(status));
        }
        fleet
    });
    assert_eq!(sum(&fleet, "plimsoll_rejected."), 8);
    for line in &fleet.proxy().log {
        let line = &line.text;
        assert!(
            !line.contains(secret) && !line.contains("acme-key") && !line.contains("afacab35"),
            "{line}"
        );
    }
}

#[test]
fn a_configuration_with_a_bare_key_is_refused_without_showing_it() {
    let json = r#"{"tiers":[{"name":"t"}],"tenants":[{"name":"a","tier":"t","keys":["sk-live-0123456789"]},
        {"name":"b","tier":"t","keys":"sk-live-0123456789"}]}"#;
    let mut fleet = warm(Fleet::builder(plimsoll_host::scenario::Runtime::Wasm).engines(1));
    assert!(!fleet.reconfigure(json));
    let proxy = fleet.proxy();
    let says = |part: &str| proxy.log.iter().any(|line| line.text.contains(part));
    assert!(says("tenants[0].keys") && says("tenants[1].keys") && !says("sk-live"));
}
