//! Numbers that hostcalls answer with (proxy-wasm ABI 0.2.1, `WasmResult` of the C++ host).
//!
//! They are plain numbers and not an enum because a host may answer with one that no version of the ABI defines, and the
//! tests do.

/// Done.
pub const OK: u32 = 0;
/// The key, header, property, metric or function does not exist.
pub const NOT_FOUND: u32 = 1;
/// An argument was refused.
pub const BAD_ARGUMENT: u32 = 2;
/// The host could not parse what it was given.
pub const PARSE_FAILURE: u32 = 4;
/// A pointer was outside the module's memory.
pub const INVALID_MEMORY_ACCESS: u32 = 6;
/// A queue has no entry.
pub const EMPTY: u32 = 7;
/// Another writer changed the shared value first.
pub const CAS_MISMATCH: u32 = 8;
/// The host failed.
pub const INTERNAL_FAILURE: u32 = 10;
/// The host does not have this call.
pub const UNIMPLEMENTED: u32 = 12;

/// Every number of the ABI, and three that it does not define.
pub const ALL: [u32; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 255, u32::MAX];

/// What a hostcall gives: a value, or the number of a refusal.
pub type Answer<T> = Result<T, u32>;
