use core::fmt;

use super::{HEADER, MAGIC, RECORD, RECORD_1, VERSION};
use crate::bytes::{fixed, u8_at, u16_at, u32_at, u64_at};
use crate::hash;
use crate::host::{Address, MODELS, Polled, State};
use crate::time::Instant;

/// Why bytes are not a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SnapshotError {
    /// Too short for a header, or not as long as its records need.
    Length {
        /// Bytes needed.
        expected: usize,
        /// Bytes there.
        found: usize,
    },
    /// Does not begin with the magic.
    Magic,
    /// A layout this module does not know.
    Version(u16),
    /// Damaged.
    Checksum,
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { expected, found } => {
                write!(f, "snapshot: {found} bytes where {expected} are needed")
            }
            Self::Magic => f.write_str("snapshot: does not begin with PLSN"),
            Self::Version(version) => write!(
                f,
                "snapshot: layout version {version} where 1 to {VERSION} are read"
            ),
            Self::Checksum => f.write_str("snapshot: checksum does not match"),
        }
    }
}

impl core::error::Error for SnapshotError {}

/// A snapshot read in place.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    bytes: &'a [u8],
    records: &'a [u8],
    /// Bytes a record.
    size: usize,
}

/// The epoch that `bytes` claim, without checking anything else: enough to see that there is nothing new.
pub fn epoch_of(bytes: &[u8]) -> u64 {
    u64_at(bytes, 8)
}

impl<'a> View<'a> {
    /// Checks `bytes`; no accessor panics afterwards.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn new_checked(bytes: &'a [u8]) -> Result<Self, SnapshotError> {
        let found = bytes.len();
        if found < HEADER {
            return Err(SnapshotError::Length {
                expected: HEADER,
                found,
            });
        }
        if !bytes.starts_with(MAGIC) {
            return Err(SnapshotError::Magic);
        }
        let version = u16_at(bytes, 4);
        let size = usize::from(u16_at(bytes, 6));
        if (version, size) != (VERSION, RECORD) && (version, size) != (1, RECORD_1) {
            return Err(SnapshotError::Version(version));
        }
        let expected = (u32_at(bytes, 40) as usize)
            .saturating_mul(size)
            .saturating_add(HEADER);
        if found != expected {
            return Err(SnapshotError::Length { expected, found });
        }
        let (Some(covered), Some(records)) = (bytes.get(32..), bytes.get(HEADER..)) else {
            return Err(SnapshotError::Length { expected, found });
        };
        if u64_at(bytes, 24) != hash::key(covered) {
            return Err(SnapshotError::Checksum);
        }
        Ok(Self {
            bytes,
            records,
            size,
        })
    }

    /// Grows with every write.
    pub fn epoch(&self) -> u64 {
        epoch_of(self.bytes)
    }

    /// When it was written.
    pub fn stamp(&self) -> Instant {
        Instant::from_micros(u64_at(self.bytes, 16))
    }

    /// Who wrote it.
    pub fn writer(&self) -> u64 {
        u64_at(self.bytes, 32)
    }

    /// The hosts.
    pub fn records(&self) -> impl Iterator<Item = Record> + Clone + 'a {
        self.records.chunks_exact(self.size).map(Record::read)
    }
}

/// One host of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where it listens.
    pub address: Address,
    /// Whether it may be given work.
    pub state: State,
    /// When it joined or came back; zero for a host that was there from the start.
    pub since: Instant,
    /// Static weight.
    pub weight: u32,
    /// Models it serves; zeros where unknown.
    pub models: [u64; MODELS],
    /// What the engine said.
    pub polled: Option<Polled>,
}

impl Record {
    fn read(bytes: &[u8]) -> Self {
        let polled = Polled {
            at: Instant::from_micros(u64_at(bytes, 24)),
            running: u32_at(bytes, 32),
            waiting: u32_at(bytes, 36),
            kv_used_q16: u32_at(bytes, 40),
            kv_capacity_tokens: u64_at(bytes, 48),
            computed_tokens: u64_at(bytes, 96),
        };
        Self {
            address: Address::from_bytes(&fixed(bytes, 0)),
            state: match u8_at(bytes, 18) {
                0 => State::Ready,
                1 => State::Draining,
                4 => State::Warming,
                // A state this module does not know is not one to send work to.
                _ => State::Down,
            },
            since: Instant::from_micros(u64_at(bytes, 88)),
            weight: u32_at(bytes, 20),
            models: [56, 64, 72, 80].map(|at| u64_at(bytes, at)),
            polled: (u8_at(bytes, 19) == 1).then_some(polled),
        }
    }
}
