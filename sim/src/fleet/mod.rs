//! A discrete-event fleet: engines, routers in front of them, and nothing that depends on a clock on the wall.
//!
//! Each of R routers gets its own share of the requests, sees its own responses, and polls the engines at its own
//! moments. Network delay is not modelled.

mod bound;
mod event;
mod exchange;
mod flood;
mod polls;
mod prepare;
mod result;
mod run;
#[cfg(test)]
mod tests;

pub use bound::bound;
pub use event::{Change, Faults, HostEvent};
pub use flood::flood_rate;
pub use prepare::{Prepared, prepare};
pub use result::{E2e, Record, Result as RunResult, Row as ResultRow, Tpot, Ttft};
pub use run::{Setting, record, run};
