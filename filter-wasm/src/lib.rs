//! Plimsoll as a proxy-wasm module: one binary, its role chosen by `root_id`.
//!
//! The module is thin. A proxy's phases come in, calls to `plimsoll-core` and actions go out; everything that decides
//! lives in the core.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

pub mod host;
