//! Runs commands: shown or silent, always stoppable.

use std::io::Read;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use plimsoll_envoy::process::{Guard, wait_for};

use crate::failure::Failure;
use crate::interrupt;

/// How often a running command is looked at: an interrupt is noticed within this time.
const LOOK: Duration = Duration::from_millis(200);

/// Waits for `guard`, or stops it on an interrupt.
pub(crate) fn wait(guard: &mut Guard) -> Result<ExitStatus, Failure> {
    loop {
        interrupt::check()?;
        if let Some(status) = wait_for(LOOK, || guard.ended().transpose()) {
            return Ok(status?);
        }
    }
}

/// Runs `command` with its output on the terminal.
pub(crate) fn shown(command: &mut Command) -> Result<(), Failure> {
    let what = describe(command);
    let mut guard = Guard::spawn(command.stdin(Stdio::null()))
        .map_err(|error| Failure::new(format!("{what}: {error}")))?;
    let status = wait(&mut guard)?;
    if status.success() {
        Ok(())
    } else {
        Err(Failure::new(format!("{what}: {status}")))
    }
}

/// Runs `command` and returns what it wrote to its standard output; its errors, and on failure
/// everything it wrote, are in the message.
pub(crate) fn output(command: &mut Command) -> Result<String, Failure> {
    let what = describe(command);
    let mut guard = Guard::spawn(
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped()),
    )
    .map_err(|error| Failure::new(format!("{what}: {error}")))?;
    let out = drain(guard.child().stdout.take());
    let err = drain(guard.child().stderr.take());
    let status = wait(&mut guard)?;
    let (out, err) = (join(out), join(err));
    if status.success() {
        Ok(out)
    } else {
        Err(Failure::new(format!("{what}: {status}\n{out}{err}")))
    }
}

/// Runs a step of a list and prints its line: `fmt                  ok      1.2 s`. A step with a note was skipped.
pub(crate) fn line(
    name: &str,
    work: impl FnOnce() -> Result<Option<String>, Failure>,
) -> Result<Option<String>, Failure> {
    let start = Instant::now();
    let outcome = work();
    let seconds = start.elapsed().as_secs_f64();
    match &outcome {
        Ok(None) => println!("{name:<28} ok   {seconds:>7.1} s"),
        Ok(Some(note)) => println!("{name:<28} skip {seconds:>7.1} s  {note}"),
        Err(Failure::Interrupted) => {}
        Err(_) => println!("{name:<28} FAIL {seconds:>7.1} s"),
    }
    outcome
}

fn drain<R: Read + Send + 'static>(pipe: Option<R>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // A broken pipe ends the text where it broke.
            let _ = pipe.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn join(reader: thread::JoinHandle<String>) -> String {
    reader.join().unwrap_or_default()
}

fn describe(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    let program = program
        .file_name()
        .unwrap_or(program.as_os_str())
        .to_string_lossy();
    let arguments: Vec<_> = command.get_args().map(|a| a.to_string_lossy()).collect();
    format!("{program} {}", arguments.join(" "))
}
