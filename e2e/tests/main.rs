//! End-to-end tests: the shipped module in the real Envoy 1.40, one file a case.
//!
//! `cargo xtask e2e [CASE]` builds what they need and runs them.

mod configuration;
mod exchange;
mod hostile;
mod hot_swap;
mod identity;
mod ladder;
mod metrics;
mod pick;
mod prompts;
mod real_engine;
mod replay;
mod report;
mod retry;
mod sharing;
mod streams;
mod tiers;
mod tls;
mod trust;
