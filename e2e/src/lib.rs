//! What the end-to-end tests share: the real Envoy with the real module, servers behind it, clients
//! in front of it.
//!
//! - [`Stand`] is one running Envoy with its hosts.
//! - [`Engines`] are the simulated inference engines, as processes; [`LlamaCpp`] is a real one.
//! - [`Echo`] is a server that tells what reached it, for what an engine does not reveal.
//! - [`Client`] speaks HTTP/1.1 or HTTP/2; [`raw`] sends bytes that no client library would.
//!
//! Everything waits for conditions ([`until`]), and every process ends with its guard.

mod artefacts;
mod client;
mod echo;
mod engines;
mod llama;
mod metrics;
mod stand;
mod wait;

pub use artefacts::{module, root};
pub use client::{Body, Client, Protocol, Reply, body_in_pieces, chat, raw, whole};
pub use echo::{Echo, Seen};
pub use engines::Engines;
pub use llama::LlamaCpp;
pub use metrics::Metrics;
pub use stand::{Setting, Stand};
pub use wait::{DEADLINE, until};
