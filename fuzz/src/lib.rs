//! The properties that the targets check are those that `cargo test -p plimsoll-core` checks over the same corpora.
//!
//! `cargo +nightly fuzz run <target>` fuzzes one; `cargo +nightly fuzz list` names them. An input that fails belongs into
//! `corpus/<target>`, where the tests of the core find it for ever.

#[path = "../../core/tests/properties/readers.rs"]
pub mod readers;
