//! Whose request it is, read from its headers and from what the proxy says of its connection.

use alloc::vec::Vec;
use plimsoll_core::{
    admit::{Shed, ShedReason},
    config::Identity,
    host::Address,
    router::Caller,
    tenant::Claims,
    time::Micros,
};

use crate::{
    headers::{Pairs, decimal},
    host::Host,
    worker::Worker,
};

/// A client asks for a lower tier than its tenant's.
const TIER: &[u8] = b"x-plimsoll-tier";
/// The client wants the first token within this many milliseconds.
const SLO: &[u8] = b"x-slo-ttft-ms";

/// The name that the proxy vouches for: a claim of a JWT that it has checked, or the subject of a certificate. No client can set either.
fn vouched<H: Host>(host: &H, identity: &Identity) -> Option<Vec<u8>> {
    if !identity.jwt_claim.is_empty() {
        let path = [
            "metadata",
            "filter_metadata",
            "envoy.filters.http.jwt_authn",
            &identity.jwt_payload,
            &identity.jwt_claim,
        ];
        if let Ok(name) = host.property(&path)
            && !name.is_empty()
        {
            return Some(name);
        }
    }
    if !identity.mtls {
        return None;
    }
    let subject = host.property(&["connection", "subject_peer_certificate"]);
    subject.ok().filter(|subject| !subject.is_empty())
}

/// Who asks, with the headers of `map`; `tag` names the stream.
pub(crate) fn caller<H: Host>(
    host: &H,
    worker: &Worker,
    map: &[u8],
    tag: u32,
) -> Result<Caller, Shed> {
    let identity = worker.identity();
    let proxy = vouched(host, identity);
    let mut claims = Claims {
        proxy: proxy.as_deref(),
        ..Claims::default()
    };
    let mut slo = None;
    for (name, value) in Pairs::new(map) {
        match name {
            b"authorization" | b"x-api-key" => claims.credential = Some(value),
            SLO => slo = decimal(value).map(Micros::from_millis),
            TIER => claims.tier = Some(value),
            _ if name.eq_ignore_ascii_case(identity.header.as_bytes()) => {
                claims.header = Some(value);
            }
            _ => {}
        }
    }
    if claims.header.is_some() {
        let hop = host.property(&["source", "address"]).unwrap_or_default();
        claims.hop = core::str::from_utf8(&hop).ok().and_then(Address::parse);
    }
    match worker.identify(&claims) {
        Ok(member) => Ok(Caller { member, slo, tag }),
        Err(denied) => Err(Shed::flat(ShedReason::Denied(denied))),
    }
}
