//! The snapshot: one value in the proxy's shared data that tells every worker what the collector knows of every host.
//!
//! Little endian, fixed-size records, read in place. [`View::new_checked`] verifies magic, layout version, length and checksum; after
//! that no accessor can panic. One writer at a time; the epoch grows with every write, the stamp says when it was written.
//!
//! | offset | size | header |
//! |---|---|---|
//! | 0 | 4 | magic `PLSN` |
//! | 4 | 2 | layout version |
//! | 6 | 2 | bytes a record |
//! | 8 | 8 | epoch |
//! | 16 | 8 | stamp, microseconds |
//! | 24 | 8 | checksum of all that follows |
//! | 32 | 8 | writer: who wrote it |
//! | 40 | 4 | number of records |
//! | 44 | 20 | zero |
//!
//! | offset | size | record |
//! |---|---|---|
//! | 0 | 18 | address |
//! | 18 | 1 | state |
//! | 19 | 1 | 1 if the engine has been polled |
//! | 20 | 4 | weight |
//! | 24 | 8 | time of the poll, microseconds |
//! | 32 | 4 | running |
//! | 36 | 4 | waiting |
//! | 40 | 4 | KV-cache utilisation, Q16 |
//! | 44 | 4 | zero |
//! | 48 | 8 | KV capacity, tokens |
//! | 56 | 32 | keys of up to four models |
//! | 88 | 8 | when it joined or came back, microseconds; 0 from the start |
//! | 96 | 8 | tokens the engine has put into its KV cache since it started; 0 unknown; not in layout 1 |

#[cfg(test)]
mod tests;
mod view;
mod write;

pub use view::{Record, SnapshotError, View, epoch_of};
pub use write::write;

const MAGIC: &[u8; 4] = b"PLSN";
const VERSION: u16 = 2;
const HEADER: usize = 64;
/// Bytes a record.
pub const RECORD: usize = 104;
/// Bytes a record of layout 1, which had what layout 2 begins with.
const RECORD_1: usize = 96;
