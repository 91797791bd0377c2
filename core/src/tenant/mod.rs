//! Whose request it is.
//!
//! # What it does
//! [`Directory::identify`] turns what the headers and the proxy say of a request into a [`Member`]: a tenant and a tier. Sources count in
//! the order of trust: what the proxy vouches for (a claim of a JWT it has checked, the subject of a client certificate), then a
//! header set by a trusted hop, then an API key. A client may ask for a lower tier than its tenant's, never for a higher one.
//!
//! # Limits
//! Keys are kept as SHA-256, unsalted: fit for keys made by a machine, not for passwords. A presented key is compared with every known one in
//! full, so the time of a comparison tells nothing of how much was right.

mod digest;
mod network;
#[cfg(test)]
mod tests;

use alloc::string::String;
use alloc::vec::Vec;

use crate::config::{ANYBODY, Config};
use crate::hash;
use crate::host::Address;
pub use network::Network;

/// Longest credential that is looked at, bytes.
pub const LONGEST_CREDENTIAL: usize = 4096;

/// What a request and its proxy say of who asks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Claims<'a> {
    /// Name that the proxy vouches for.
    pub proxy: Option<&'a [u8]>,
    /// Value of the tenant header.
    pub header: Option<&'a [u8]>,
    /// Where the connection comes from.
    pub hop: Option<Address>,
    /// Value of `authorization` or `x-api-key`.
    pub credential: Option<&'a [u8]>,
    /// Value of `x-plimsoll-tier`.
    pub tier: Option<&'a [u8]>,
}

/// A tenant, and the tier of one request of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Hash of the tenant's name.
    pub tenant: u64,
    /// Rank of the tier, 0 the highest.
    pub tier: u8,
}

/// Why a request has no tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// It brought nothing to know it by.
    NoCredential,
    /// Its API key is nobody's, or longer than any.
    UnknownKey,
    /// The tenant header came from a hop that is not trusted.
    ForgedHeader,
    /// The proxy or a trusted hop names a tenant that is not configured.
    UnknownTenant,
}

impl Denied {
    /// The name used in metrics and in the response.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoCredential => "no_credential",
            Self::UnknownKey => "unknown_key",
            Self::ForgedHeader => "forged_tenant_header",
            Self::UnknownTenant => "unknown_tenant",
        }
    }

    /// HTTP status.
    pub const fn status(self) -> u16 {
        match self {
            Self::NoCredential | Self::UnknownKey => 401,
            Self::ForgedHeader | Self::UnknownTenant => 403,
        }
    }
}

/// A digest of a key as configured: `sha256:` and 64 hexadecimal digits.
pub fn key_digest(text: &str) -> Option<[u8; 32]> {
    let digits = text.strip_prefix("sha256:")?.as_bytes();
    let mut digest = [0; 32];
    if digits.len() != 64 {
        return None;
    }
    for (byte, pair) in digest.iter_mut().zip(digits.chunks_exact(2)) {
        for digit in pair {
            let value = char::from(*digit).to_digit(16)?;
            *byte = *byte << 4 | value as u8;
        }
    }
    Some(digest)
}

/// Every tenant, and how to know it.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    tenants: Vec<Member>,
    keys: Vec<([u8; 32], Member)>,
    tiers: Vec<String>,
    hops: Vec<Network>,
    anybody: Option<Member>,
}

impl Directory {
    /// The directory of `config`.
    #[cold]
    pub fn new(config: &Config) -> Self {
        let mut directory = Self {
            tiers: config.tiers.iter().map(|tier| tier.name.clone()).collect(),
            hops: config
                .identity
                .trusted_hops
                .iter()
                .filter_map(|hop| Network::parse(hop))
                .collect(),
            ..Self::default()
        };
        for tenant in config.tenants.iter() {
            let member = Member {
                tenant: hash::key(tenant.name.as_bytes()),
                tier: directory.rank(tenant.tier.as_bytes()).unwrap_or(u8::MAX),
            };
            directory.tenants.push(member);
            if tenant.name == ANYBODY {
                directory.anybody = Some(member);
            }
            let digests = tenant.keys.iter().filter_map(|key| key_digest(key));
            directory
                .keys
                .extend(digests.map(|digest| (digest, member)));
        }
        directory
    }

    fn rank(&self, name: &[u8]) -> Option<u8> {
        let place = self.tiers.iter().position(|tier| tier.as_bytes() == name)?;
        u8::try_from(place).ok()
    }

    /// Whose request it is.
    ///
    /// # Errors
    /// Why it is nobody's.
    pub fn identify(&self, claims: &Claims<'_>) -> Result<Member, Denied> {
        let mut member = self.tenant_of(claims)?;
        if let Some(rank) = claims.tier.and_then(|name| self.rank(name)) {
            member.tier = member.tier.max(rank);
        }
        Ok(member)
    }

    fn tenant_of(&self, claims: &Claims<'_>) -> Result<Member, Denied> {
        // A forged header is refused even where another source would do: whoever sends one is up to something.
        let trusted = |hop: &Address| self.hops.iter().any(|network| network.contains(hop));
        if claims.header.is_some() && !claims.hop.as_ref().is_some_and(trusted) {
            return Err(Denied::ForgedHeader);
        }
        if let Some(name) = claims.proxy.or(claims.header) {
            return self.named(name).ok_or(Denied::UnknownTenant);
        }
        match claims.credential {
            // Where no tenant has a key, credentials are between the client and the engine.
            Some(credential) if !self.keys.is_empty() => self.holder(credential),
            _ => self.anybody.ok_or(Denied::NoCredential),
        }
    }

    fn named(&self, name: &[u8]) -> Option<Member> {
        let tenant = hash::key(name);
        let known = self.tenants.iter().find(|known| known.tenant == tenant);
        known.copied()
    }

    #[inline(never)]
    fn holder(&self, credential: &[u8]) -> Result<Member, Denied> {
        let key = match credential.split_first_chunk::<7>() {
            Some((scheme, key)) if scheme.eq_ignore_ascii_case(b"bearer ") => key.trim_ascii(),
            _ => credential,
        };
        if key.len() > LONGEST_CREDENTIAL {
            return Err(Denied::UnknownKey);
        }
        let digest = digest::sha256(key);
        let mut found = Err(Denied::UnknownKey);
        for (known, member) in &self.keys {
            let differences = known
                .iter()
                .zip(&digest)
                .fold(0, |all, (known, presented)| all | (known ^ presented));
            if differences == 0 {
                found = Ok(*member);
            }
        }
        found
    }
}
