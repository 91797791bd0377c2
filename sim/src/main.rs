//! `plimsoll-sim`: simulated engines over HTTP, load against them, and policies compared in a discrete-event fleet.

mod commands;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match commands::run(commands::Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("plimsoll-sim: {message}");
            ExitCode::FAILURE
        }
    }
}
