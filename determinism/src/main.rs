//! `plimsoll-determinism TRACE POLICY REQUESTS`: a run on this machine; prints digest, decisions, identical ones, and cached ones.

use std::process::ExitCode;

use plimsoll_core::config::Policy;
use plimsoll_determinism::{run, trace::Trace};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, policy, requests] = &arguments[..] else {
        eprintln!("plimsoll-determinism TRACE POLICY REQUESTS");
        return ExitCode::FAILURE;
    };
    let (Some(policy), Ok(requests)) = (Policy::from_name(policy), requests.parse()) else {
        eprintln!("{policy} or {requests} is not known");
        return ExitCode::FAILURE;
    };
    match std::fs::read(path) {
        Ok(bytes) => {
            let outcome = run(&Trace::new(&bytes), policy, requests);
            let (digest, decisions) = (outcome.digest, outcome.decisions);
            let (identical, cached) = (outcome.identical, outcome.cached);
            println!("{digest} {decisions} {identical} {cached}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{path}: {error}");
            ExitCode::FAILURE
        }
    }
}
