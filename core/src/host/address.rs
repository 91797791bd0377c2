//! Where a host listens: an IP address and a port, as Envoy's host map writes them.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::hash;

/// `ip:port` of a host. Names never match Envoy's host map, so only literal addresses are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address(SocketAddr);

/// Bytes of an address in a snapshot: 16 of IPv6 (IPv4 mapped) and 2 of port, little endian.
pub const ADDRESS_BYTES: usize = 18;

impl Address {
    /// Reads `1.2.3.4:80` or `[::1]:80`; `None` for anything else, port 0 included.
    pub fn parse(text: &str) -> Option<Self> {
        let address: SocketAddr = text.trim().parse().ok()?;
        (address.port() != 0).then_some(Self::new(address.ip(), address.port()))
    }

    /// The address of `ip` and `port`. An IPv4 address in IPv6's clothes (`::ffff:1.2.3.4`) is the IPv4 address, so that one host has one
    /// address, in snapshots and outside of them.
    pub const fn new(ip: IpAddr, port: u16) -> Self {
        Self(SocketAddr::new(ip.to_canonical(), port))
    }

    /// A key that all workers and proxies compute alike.
    pub fn key(&self) -> u64 {
        hash::key(&self.to_bytes())
    }

    /// The form kept in snapshots.
    pub fn to_bytes(&self) -> [u8; ADDRESS_BYTES] {
        let ip = match self.0.ip() {
            IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
            IpAddr::V6(v6) => v6.octets(),
        };
        let mut out = [0; ADDRESS_BYTES];
        let [to @ .., low, high] = &mut out;
        *to = ip;
        [*low, *high] = self.0.port().to_le_bytes();
        out
    }

    /// Reads the form kept in snapshots.
    pub fn from_bytes(bytes: &[u8; ADDRESS_BYTES]) -> Self {
        let [ip @ .., low, high] = *bytes;
        let v6 = Ipv6Addr::from(ip);
        let ip = v6
            .to_ipv4_mapped()
            .map_or(IpAddr::V6(v6), |v4: Ipv4Addr| IpAddr::V4(v4));
        Self(SocketAddr::new(ip, u16::from_le_bytes([low, high])))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn reads_and_writes_what_envoy_writes() {
        for text in ["127.0.0.1:8000", "[::1]:80", "[2001:db8::7]:65535"] {
            let address = Address::parse(text).unwrap();
            assert_eq!(address.to_string(), text);
            assert_eq!(Address::from_bytes(&address.to_bytes()), address);
        }
        assert_eq!(
            Address::parse("[::ffff:10.0.0.1]:80"),
            Address::parse("10.0.0.1:80")
        );
        for text in [
            "localhost:80",
            "1.2.3.4",
            "1.2.3.4:0",
            "1.2.3.4:70000",
            "",
            "::1:80x",
        ] {
            assert_eq!(Address::parse(text), None, "{text}");
        }
    }
}
