//! A range of addresses, `ip/bits`.

use core::net::IpAddr;

use crate::host::Address;

/// Addresses that agree in their first bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    first: u128,
    bits: u32,
}

/// Bits of an address, IPv4 as IPv6 writes it (`::ffff:a.b.c.d`), so that both are compared alike.
fn bits_of(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

impl Network {
    /// Reads `10.0.0.0/8`, `fd00::/8`, or one address.
    pub fn parse(text: &str) -> Option<Self> {
        let (ip, bits) = match text.split_once('/') {
            Some((ip, bits)) => (ip, Some(bits.parse::<u32>().ok()?)),
            None => (text, None),
        };
        let ip: IpAddr = ip.parse().ok()?;
        let width = if ip.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(width);
        (bits <= width).then(|| Self {
            first: bits_of(ip),
            bits: bits + 128 - width,
        })
    }

    /// Whether `address` lies in it.
    pub fn contains(&self, address: &Address) -> bool {
        let [ip @ .., _, _] = address.to_bytes();
        let differing = self.first ^ u128::from_be_bytes(ip);
        differing.leading_zeros() >= self.bits
    }
}
