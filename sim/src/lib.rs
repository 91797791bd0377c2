//! Simulated LLM engines and fleets for Plimsoll.
//!
//! One engine model ([`engine`]) is driven two ways: over HTTP in real time ([`server`], with [`load`] as its client),
//! and by a discrete-event loop ([`fleet`]) that compares routing policies in a fraction of the time. Workloads come
//! from real traces or generators ([`trace`]). Recorded decisions are made again by [`replay`].

pub mod attribution;
pub mod engine;
pub mod fleet;
pub mod load;
pub mod policy;
pub mod random;
pub mod replay;
pub mod report;
pub mod server;
pub mod tiers;
pub mod trace;
