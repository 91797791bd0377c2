//! Properties of the core, driven through its public facade by seeded random sequences.
//!
//! `differential` compares every decision with a naive scheduler (`reference`) that is written to be read; `model` checks the router's
//! books under any order of calls, `cases` what they meet too seldom; `metamorphic` checks how decisions change with their inputs; `readers` throws damaged bytes at
//! everything that reads bytes. `recorded` makes decisions again from their records, `golden` the committed ones; `sharing` checks answers that serve several requests. The functions of `readers` are also the fuzz targets of `fuzz/`.

mod cases;
mod differential;
mod generate;
mod golden;
mod metamorphic;
mod model;
#[allow(unreachable_pub, reason = "the fuzz targets import it as a library")]
mod readers;
mod readers_hold;
mod recorded;
mod reference;
mod sharing;
