//! Who may ask: the cases in which a request is turned away before it is anybody's, and what each is answered.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::client::{Client, Protocol, chat, whole};
use crate::engines::Engines;
use crate::stand::{Setting, Stand};

/// SHA-256 of `acme-key`.
pub const KEY_DIGEST: &str =
    "sha256:afacab3575137afa4e00d9cbcafcb14c9ae25f779d964eb0ea5b2c4eb5dfd163";
/// A key that nobody has.
const WRONG_KEY: &str = "sk-wrong-0123456789";

/// Header fields.
type Headers<'a> = &'a [(&'a str, &'a str)];

/// A request at the door.
#[derive(Debug)]
pub struct Case {
    /// What it brings.
    pub what: &'static str,
    /// Status and reason that it must get; the reason is empty where the proxy itself answers.
    pub expected: (u16, &'static str),
    /// What it got.
    pub got: (u16, String),
}

impl Case {
    /// Whether it got what it must.
    pub fn pass(&self) -> bool {
        self.got.0 == self.expected.0 && self.got.1 == self.expected.1
    }
}

/// Asks with every kind of credential that is not one, and with some that are. The last case is what the proxy's log has: no secret.
pub async fn cases() -> Vec<Case> {
    let engines = Engines::start(1, 20).await;
    let mut configuration = json!({
        "tiers": [{"name": "gold"}, {"name": "free"}],
        "tenants": [{"name": "acme", "tier": "gold", "keys": [KEY_DIGEST]}, {"name": "zeta", "tier": "free"}],
        "identity": {"header": "x-tenant", "trusted_hops": ["127.0.0.0/8"]},
    });
    let long = format!("Bearer {}", "k".repeat(5000));
    let huge = format!("Bearer {}", "k".repeat(100_000));
    let wrong = format!("Bearer {WRONG_KEY}");
    let trusted: [(&str, Headers<'_>, (u16, &str)); 10] = [
        ("no credential", &[], (401, "no_credential")),
        (
            "an unknown key",
            &[("authorization", &wrong)],
            (401, "unknown_key"),
        ),
        (
            "an unknown key as x-api-key",
            &[("x-api-key", WRONG_KEY)],
            (401, "unknown_key"),
        ),
        (
            "an empty bearer token",
            &[("authorization", "Bearer ")],
            (401, "unknown_key"),
        ),
        (
            "another scheme",
            &[("authorization", "Basic YWNtZTprZXk=")],
            (401, "unknown_key"),
        ),
        (
            "a key of 5,000 bytes",
            &[("authorization", &long)],
            (401, "unknown_key"),
        ),
        (
            "a key of 100,000 bytes",
            &[("authorization", &huge)],
            (431, ""),
        ),
        (
            "a tenant that is not configured",
            &[("x-tenant", "nobody")],
            (403, "unknown_tenant"),
        ),
        (
            "a known tenant by a trusted hop",
            &[("x-tenant", "zeta")],
            (200, ""),
        ),
        (
            "a known key, asking for a tier above its own",
            &[
                ("authorization", "Bearer acme-key"),
                ("x-plimsoll-tier", "platinum"),
            ],
            (200, ""),
        ),
    ];
    let mut cases = Vec::new();
    let stand = start(&engines, &configuration).await;
    for (what, headers, expected) in trusted {
        let got = ask(stand.address(), headers).await;
        cases.push(Case {
            what,
            expected,
            got,
        });
    }
    let mut log = stand.log();
    stand.assert_sound();
    configuration["identity"]["trusted_hops"] = json!(["203.0.113.0/24"]);
    let stand = start(&engines, &configuration).await;
    let forged: [(&str, Headers<'_>); 2] = [
        ("a forged tenant header", &[("x-tenant", "zeta")]),
        (
            "a forged tenant header beside a known key",
            &[("x-tenant", "zeta"), ("authorization", "Bearer acme-key")],
        ),
    ];
    for (what, headers) in forged {
        let got = ask(stand.address(), headers).await;
        cases.push(Case {
            what,
            expected: (403, "forged_tenant_header"),
            got,
        });
    }
    log.push_str(&stand.log());
    stand.assert_sound();
    let secrets = [WRONG_KEY, "acme-key", "afacab35", "kkkkkkkk"];
    let logged = secrets
        .iter()
        .filter(|secret| log.contains(**secret))
        .count();
    cases.push(Case {
        what: "secrets in the proxy's log",
        expected: (0, ""),
        got: (logged as u16, String::new()),
    });
    cases
}

async fn start(engines: &Engines, configuration: &Value) -> Stand {
    let setting = Setting::hosts(engines.addresses.clone());
    Stand::start(setting.configuration(configuration.clone())).await
}

/// Asks once with `headers`: status and reason.
async fn ask(address: SocketAddr, headers: Headers<'_>) -> (u16, String) {
    let body =
        json!({"model": "m", "max_tokens": 4, "messages": [{"role": "user", "content": "hi"}]});
    let mut request = chat(whole(body.to_string()));
    for (name, value) in headers {
        let name: hyper::header::HeaderName = name.parse().expect("a name");
        request
            .headers_mut()
            .insert(name, value.parse().expect("a value"));
    }
    let mut client = Client::connect(address, Protocol::Http1).await;
    let reply = client.send(request).await;
    let status = reply.status.as_u16();
    (status, reply.header("x-plimsoll-reason").to_owned())
}
