//! Drives the shipped module through the off-proxy host. One binary, so that the module is compiled once.

mod emulator;
