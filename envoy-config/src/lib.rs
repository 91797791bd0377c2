//! The Envoy side of Plimsoll: renders a complete Envoy 1.40 bootstrap and runs the binary.
//!
//! - [`render()`] turns [`Options`] into the bootstrap (JSON, which Envoy reads from a `.json` file).
//!   The same configuration, commented field by field, is `envoy-config/envoy.yaml`.
//! - [`render_discovery`] writes the watched file that carries the filter for hot swaps.
//! - [`render_endpoints`] writes the watched file that carries the hosts, for fleets that change.
//! - [`Envoy`] starts the binary with such a configuration, answers admin requests, and stops it.
//! - [`process`] holds the guard that every child process of this repository lives in.

mod admin;
mod cluster;
mod envoy;
mod listener;
mod options;
pub mod process;
mod render;
mod stats;
mod wasm;

pub use admin::{AdminClient, AdminError, Response};
pub use envoy::{Envoy, EnvoyBinary, Launch, LaunchError};
pub use options::{AccessLog, Admin, HealthCheck, Host, Jwt, Options, Policy, Tls};
pub use render::{render, render_discovery, render_endpoints};
