//! Tenants of different tiers in front of one fleet: who is served, who waits, who is told to come back.
//!
//! The core's router is driven as the filter drives it, admission included; clients that are told to come back do so when they were told.
//! Network delay is not modelled.

mod fairness;
mod run;
mod scenario;

pub use fairness::fairness;
pub use run::{Outcome, run};
pub use scenario::{GUARANTEED, POLICY, Scenario, TENANTS, Tenant};
