//! Property values differ between hosts: integers are 8 bytes little endian in Envoy and decimal text in nginx.

use alloc::{string::String, vec::Vec};
use plimsoll_core::host::Address;

use crate::{
    headers::decimal,
    host::{Host, Status},
};

/// Integer property at `path`; `None` when absent or unreadable.
pub fn integer<H: Host>(host: &H, path: &[&str]) -> Option<u64> {
    decode_integer(&host.property(path).ok()?)
}

/// Reads an integer of either form.
///
/// Eight decimal digits are as long as a binary integer; as one they would be a number beyond 2^59, which no property
/// read here can be, so text wins.
#[must_use]
pub fn decode_integer(bytes: &[u8]) -> Option<u64> {
    if let Some(number) = decimal(bytes) {
        return Some(number);
    }
    Some(u64::from_le_bytes(*bytes.first_chunk::<8>()?)).filter(|_| bytes.len() == 8)
}

/// Host that answers: `upstream.address`, with the port from `upstream.port` where the host keeps them apart (nginx).
pub fn upstream_address<H: Host>(host: &H) -> Option<Address> {
    let bytes = host.property(&["upstream", "address"]).ok()?;
    let text = core::str::from_utf8(&bytes).ok()?;
    if let Some(address) = Address::parse(text) {
        return Some(address);
    }
    let port = integer(host, &["upstream", "port"])?;
    let mut whole = String::with_capacity(text.len() + 8);
    let bare_v6 = text.contains(':') && !text.starts_with('[');
    if bare_v6 {
        whole.push('[');
    }
    whole.push_str(text);
    if bare_v6 {
        whole.push(']');
    }
    whole.push(':');
    crate::names::push_decimal(&mut whole, port);
    Address::parse(&whole)
}

/// Whether this VM runs a plugin as `root_id`; hosts without the property have one root, a filter.
pub fn root_id<H: Host>(host: &H) -> Result<Vec<u8>, Status> {
    host.property(&["plugin_root_id"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_of_both_forms() {
        assert_eq!(decode_integer(&200_u64.to_le_bytes()), Some(200));
        assert_eq!(decode_integer(&0x4000_u64.to_le_bytes()), Some(0x4000));
        assert_eq!(decode_integer(b"200"), Some(200));
        assert_eq!(decode_integer(b"12345678"), Some(12_345_678));
        assert_eq!(decode_integer(b""), None);
        assert_eq!(decode_integer(b"\x01\x02"), None);
        assert_eq!(decode_integer(b"none"), None);
    }
}
