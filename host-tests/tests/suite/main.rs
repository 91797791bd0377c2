//! Drives the shipped module through the off-proxy host. One binary, so that the module is compiled once.

mod body;
mod budgets;
mod collector;
mod common;
mod conformance;
mod emulator;
mod ends;
mod exchange;
mod garbage;
mod health;
mod hostile;
mod ladder;
mod mutation;
mod profiles;
mod recording;
mod routing;
mod sharing;
mod statuses;
mod tenants;
mod tiers;
mod workers;
