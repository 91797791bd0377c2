//! What the end-to-end tests share: the real Envoy with the real module, servers behind it, clients
//! in front of it.
//!
//! - [`Stand`] is one running Envoy with its hosts.
//! - [`Engines`] are the simulated inference engines, in one process; a [`Fleet`] has one for each, so that they can be
//!   killed; [`LlamaCpp`] is a real one.
//! - [`Echo`] is a server that tells what reached it, for what an engine does not reveal.
//! - [`door`] has the cases in which a request is turned away; [`books`] tells what thousands of requests left over.
//! - [`Client`] speaks HTTP/1.1 or HTTP/2; [`raw`] sends bytes that no client library would; [`Load`] sends many requests
//!   and accounts for each. A [`Figure`] stands beside its limit.
//!
//! Everything waits for conditions ([`until`]), and every process ends with its guard.

mod artefacts;
pub mod books;
mod client;
pub mod door;
mod echo;
mod engines;
mod figure;
mod fleet;
mod llama;
mod load;
mod metrics;
mod stand;
mod wait;

pub use artefacts::{module, module_with_hooks, root, sim};
pub use client::{Body, Client, Protocol, Reply, body_in_pieces, chat, raw, whole};
pub use echo::{Echo, Seen};
pub use engines::Engines;
pub use figure::Figure;
pub use fleet::Fleet;
pub use llama::LlamaCpp;
pub use load::{Fate, Load, Record, Running, Tally};
pub use metrics::Metrics;
pub use stand::{Setting, Stand};
pub use wait::{DEADLINE, until};
