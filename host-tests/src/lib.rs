//! A stateful proxy-wasm host, off-proxy, for tests.
//!
//! - [`proxy`]: the emulated proxy; shared data, streams, calls, metrics, a virtual clock and scripted statuses.
//! - [`vm`]: runs the shipped module under wasmtime, or the same code native.
//! - [`scenario`]: a fleet of workers with scripted engines behind it.
//! - [`build`]: builds the module that the tests run.

pub mod build;
pub mod proxy;
pub mod scenario;
pub mod vm;
