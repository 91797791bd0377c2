use super::*;
use alloc::format;

/// SHA-256 of `acme-key`, by `sha256sum`.
const ACME: &str = "sha256:afacab3575137afa4e00d9cbcafcb14c9ae25f779d964eb0ea5b2c4eb5dfd163";

fn directory(tenants: &str) -> Directory {
    let json = format!(
        r#"{{"tiers":[{{"name":"gold"}},{{"name":"silver"}},{{"name":"bronze"}}],"tenants":[{tenants}],
            "identity":{{"header":"x-tenant","trusted_hops":["10.0.0.0/8","fd00::7"]}}}}"#
    );
    Directory::new(&Config::parse(json.as_bytes()).unwrap())
}

fn key(credential: &[u8]) -> Claims<'_> {
    Claims {
        credential: Some(credential),
        ..Claims::default()
    }
}

const TENANTS: &str =
    r#"{"name":"acme","tier":"silver","keys":["KEY"]},{"name":"zeta","tier":"gold"}"#;

fn acme_and_zeta() -> Directory {
    directory(&TENANTS.replace("KEY", ACME))
}

fn named(name: &str, tier: u8) -> Result<Member, Denied> {
    let tenant = hash::key(name.as_bytes());
    Ok(Member { tenant, tier })
}

#[test]
fn a_key_is_known_by_its_digest_alone() {
    let directory = acme_and_zeta();
    for credential in ["acme-key", "Bearer acme-key", "bearer  acme-key "] {
        assert_eq!(
            directory.identify(&key(credential.as_bytes())),
            named("acme", 1),
            "{credential}"
        );
    }
    for wrong in ["acme-kez", "", "Bearer ", ACME, "Basic acme-key"] {
        assert_eq!(
            directory.identify(&key(wrong.as_bytes())),
            Err(Denied::UnknownKey),
            "{wrong}"
        );
    }
    let long = alloc::vec![b'a'; LONGEST_CREDENTIAL + 1];
    assert_eq!(directory.identify(&key(&long)), Err(Denied::UnknownKey));
    assert_eq!(
        directory.identify(&Claims::default()),
        Err(Denied::NoCredential)
    );
}

#[test]
fn the_header_counts_from_a_trusted_hop_only() {
    let directory = acme_and_zeta();
    let from = |hop: Option<&str>, name: &'static str| {
        directory.identify(&Claims {
            header: Some(name.as_bytes()),
            hop: hop.and_then(Address::parse),
            credential: Some(b"acme-key"),
            ..Claims::default()
        })
    };
    assert_eq!(from(Some("10.1.2.3:5"), "zeta"), named("zeta", 0));
    assert_eq!(from(Some("[fd00::7]:5"), "zeta"), named("zeta", 0));
    assert_eq!(from(Some("[::ffff:10.1.2.3]:5"), "zeta"), named("zeta", 0));
    assert_eq!(from(Some("[fd00::8]:5"), "zeta"), Err(Denied::ForgedHeader));
    assert_eq!(from(Some("11.0.0.1:5"), "acme"), Err(Denied::ForgedHeader));
    assert_eq!(from(None, "acme"), Err(Denied::ForgedHeader));
    assert_eq!(
        from(Some("10.1.2.3:5"), "nobody"),
        Err(Denied::UnknownTenant)
    );
}

#[test]
fn what_the_proxy_vouches_for_comes_first() {
    let claims = Claims {
        proxy: Some(b"zeta"),
        ..key(b"acme-key")
    };
    assert_eq!(acme_and_zeta().identify(&claims), named("zeta", 0));
}

#[test]
fn a_tier_can_be_lowered_and_never_raised() {
    let directory = acme_and_zeta();
    for (asked, tier) in [("gold", 1), ("silver", 1), ("bronze", 2), ("platinum", 1)] {
        let claims = Claims {
            tier: Some(asked.as_bytes()),
            ..key(b"acme-key")
        };
        assert_eq!(directory.identify(&claims), named("acme", tier), "{asked}");
    }
}

#[test]
fn anybody_is_served_where_configured_but_a_wrong_key_is_not() {
    let anybody = r#"{"name":"*","tier":"bronze"}"#;
    let keyless = directory(anybody);
    assert_eq!(keyless.identify(&key(b"an engine's own")), named("*", 2));
    let directory = directory(&format!("{},{anybody}", TENANTS.replace("KEY", ACME)));
    assert_eq!(directory.identify(&Claims::default()), named("*", 2));
    assert_eq!(directory.identify(&key(b"wrong")), Err(Denied::UnknownKey));
}

#[test]
fn networks() {
    let holds = |network: &str, address: &str| {
        Network::parse(network).is_some_and(|n| n.contains(&Address::parse(address).unwrap()))
    };
    assert!(holds("10.0.0.0/8", "10.255.0.1:1") && !holds("10.0.0.0/8", "11.0.0.1:1"));
    assert!(holds("0.0.0.0/0", "9.9.9.9:1") && !holds("0.0.0.0/0", "[fd00::1]:1"));
    assert!(
        holds("::/0", "9.9.9.9:1"),
        "mapped addresses are IPv6 addresses"
    );
    for wrong in ["", "10.0.0.0/33", "::/129", "10.0.0/8", "a/b", "1.2.3.4/-1"] {
        assert_eq!(Network::parse(wrong), None, "{wrong}");
    }
}
