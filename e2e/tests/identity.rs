//! Who asks, as Envoy vouches for it: tokens and certificates. The `openssl` command signs.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use plimsoll_e2e::{Client, Engines, Protocol, Setting, Stand, chat, whole};
use plimsoll_envoy::{Jwt, Tls};
use serde_json::{Value, json};

use crate::tls::{ask, certify};

const SECRET: &str = "a secret of thirty-two characters";

fn base64url(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let group = |chunk: &[u8]| {
        let word = chunk
            .iter()
            .fold(0_u32, |word, byte| word << 8 | u32::from(*byte));
        let word = word << (8 * (3 - chunk.len()));
        let digit =
            move |place: usize| char::from(DIGITS[(word >> (18 - 6 * place) & 63) as usize]);
        (0..=chunk.len()).map(digit).collect::<String>()
    };
    bytes.chunks(3).map(group).collect()
}

/// A token signed with HS256.
fn token(claims: &Value, secret: &str) -> String {
    let head = base64url(br#"{"alg":"HS256","kid":"clients","typ":"JWT"}"#);
    let signed = format!("{head}.{}", base64url(claims.to_string().as_bytes()));
    let mut openssl = Command::new("openssl")
        .args(["dgst", "-sha256", "-binary", "-hmac", secret])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("openssl is installed");
    let mut pipe = openssl.stdin.take().expect("piped");
    pipe.write_all(signed.as_bytes()).expect("openssl reads");
    drop(pipe);
    let output = openssl.wait_with_output().expect("openssl ends");
    format!("{signed}.{}", base64url(&output.stdout))
}

fn keys(directory: &Path) -> Jwt {
    let keys = directory.join("keys.json");
    let set = json!({"keys": [{"kty": "oct", "alg": "HS256", "kid": "clients", "k": base64url(SECRET.as_bytes())}]});
    std::fs::write(&keys, set.to_string()).unwrap();
    Jwt {
        issuer: "https://issuer.test".to_owned(),
        keys,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_name_the_tenant_and_bad_ones_are_nobodys() {
    let directory = tempfile::tempdir().unwrap();
    let engines = Engines::start(1, 50).await;
    let stand = Stand::start(Setting {
        jwt: Some(keys(directory.path())),
        ..Setting::hosts(engines.addresses.clone()).configuration(json!({
            "explain": true,
            "tiers": [{"name": "gold"}],
            "tenants": [{"name": "acme", "tier": "gold"}],
            "identity": {"jwt_claim": "tenant"},
        }))
    })
    .await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let claims = |tenant: &str, ends: Duration| json!({"iss": "https://issuer.test", "tenant": tenant, "exp": ends.as_secs()});
    let later = now + Duration::from_secs(600);
    let forged = {
        let good = token(&claims("nobody", later), SECRET);
        let (_, signature) = good.rsplit_once('.').unwrap();
        let other = token(&claims("acme", later), SECRET);
        format!("{}.{signature}", other.rsplit_once('.').unwrap().0)
    };
    let cases = [
        ("good", token(&claims("acme", later), SECRET), 200, ""),
        (
            "of a tenant that is not configured",
            token(&claims("nobody", later), SECRET),
            403,
            "unknown_tenant",
        ),
        (
            "expired",
            token(&claims("acme", now - Duration::from_secs(3600)), SECRET),
            401,
            "",
        ),
        (
            "signed with another key",
            token(&claims("acme", later), "another secret, just as long......"),
            401,
            "",
        ),
        ("with another's signature", forged, 401, ""),
        ("not a token", "gibberish".to_owned(), 401, ""),
    ];
    for (what, token, status, reason) in &cases {
        let mut request = chat(whole(
            r#"{"model":"m","max_tokens":4,"messages":[{"role":"user","content":"hi"}]}"#,
        ));
        let bearer = format!("Bearer {token}").parse().unwrap();
        request.headers_mut().insert("authorization", bearer);
        request
            .headers_mut()
            .insert("x-plimsoll-explain", "1".parse().unwrap());
        let reply = Client::connect(stand.address(), Protocol::Http1)
            .await
            .send(request)
            .await;
        assert_eq!(reply.status.as_u16(), *status, "{what}: {:?}", reply.body);
        assert_eq!(reply.header("x-plimsoll-reason"), *reason, "{what}");
        assert!(!reply.body.is_empty(), "{what}: a clear body");
        if *status == 200 {
            assert!(reply.header("x-plimsoll-decision").ends_with("tenant=acme"));
        }
        assert!(
            !stand.log().contains(token.as_str()),
            "{what}: a secret is logged"
        );
    }
    stand.assert_sound();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_name_the_tenant() {
    let directory = tempfile::tempdir().unwrap();
    let engines = Engines::start(1, 50).await;
    let (certificate, key) = certify(directory.path(), "localhost");
    let known = certify(directory.path(), "acme");
    let stranger = certify(directory.path(), "stranger");
    let both = directory.path().join("both.pem");
    let authorities = [&known.0, &stranger.0].map(|file| std::fs::read_to_string(file).unwrap());
    std::fs::write(&both, authorities.concat()).unwrap();
    let stand = Stand::start(Setting {
        tls: Some(Tls {
            certificate: certificate.clone(),
            key,
            client_authorities: Some(both),
        }),
        ..Setting::hosts(engines.addresses.clone()).configuration(json!({
            "tiers": [{"name": "gold"}],
            "tenants": [{"name": "CN=acme", "tier": "gold"}],
            "identity": {"mtls": true},
        }))
    })
    .await;
    let answer = ask(stand.address(), certificate.clone(), Some(known)).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let answer = ask(stand.address(), certificate, Some(stranger)).await;
    assert!(
        answer.starts_with("HTTP/1.1 403") && answer.contains("unknown_tenant"),
        "{answer}"
    );
    stand.assert_sound();
}
