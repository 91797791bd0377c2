//! The part of WASI preview 1 that Envoy offers and Rust's standard library uses.

use wasmtime::{Error, Linker, Result};

use super::State;
use super::guest::{Guest, proxy, read, write, write_word};
use crate::proxy::status::Answer;

const SUCCESS: u32 = 0;
const BAD_DESCRIPTOR: u32 = 8;
const FAULT: u32 = 21;

const MODULE: &str = "wasi_snapshot_preview1";

fn errno(answer: Answer<()>) -> u32 {
    match answer {
        Ok(()) => SUCCESS,
        Err(_) => FAULT,
    }
}

/// Standard output and error go to the log, as in Envoy.
fn fd_write(g: &mut Guest<'_>, fd: u32, vectors: u32, count: u32, written_at: u32) -> u32 {
    if fd != 1 && fd != 2 {
        return BAD_DESCRIPTOR;
    }
    let mut text = Vec::new();
    for vector in 0..count {
        let Ok(pair) = read(g, vectors.saturating_add(vector * 8), 8) else {
            return FAULT;
        };
        let word =
            |at: usize| u32::from_le_bytes([pair[at], pair[at + 1], pair[at + 2], pair[at + 3]]);
        let Ok(bytes) = read(g, word(0), word(4)) else {
            return FAULT;
        };
        text.extend(bytes);
    }
    // A refused log line is lost, the write itself succeeded.
    let _ = proxy(g).log(
        if fd == 2 { 4 } else { 2 },
        String::from_utf8_lossy(&text).trim_end(),
    );
    let written = u32::try_from(text.len()).unwrap_or(u32::MAX);
    errno(write_word(g, written_at, written))
}

pub(super) fn link(linker: &mut Linker<State>) -> Result<()> {
    linker.func_wrap(
        MODULE,
        "environ_sizes_get",
        |mut g: Guest<'_>, count_at: u32, size_at: u32| {
            errno(write_word(&mut g, count_at, 0).and_then(|()| write_word(&mut g, size_at, 0)))
        },
    )?;
    linker.func_wrap(MODULE, "environ_get", |_: Guest<'_>, _: u32, _: u32| {
        SUCCESS
    })?;
    linker.func_wrap(
        MODULE,
        "fd_write",
        |mut g: Guest<'_>, fd: u32, vectors: u32, count: u32, written_at: u32| {
            fd_write(&mut g, fd, vectors, count, written_at)
        },
    )?;
    linker.func_wrap(
        MODULE,
        "proc_exit",
        |_: Guest<'_>, code: u32| -> Result<()> {
            Err(Error::msg(format!("the module exited with {code}")))
        },
    )?;
    linker.func_wrap(
        MODULE,
        "clock_time_get",
        |mut g: Guest<'_>, _clock: u32, _precision: u64, at: u32| {
            let now = proxy(&g).wall();
            errno(write(&mut g, at, &now.to_le_bytes()))
        },
    )?;
    linker.func_wrap(
        MODULE,
        "random_get",
        |mut g: Guest<'_>, at: u32, len: u32| {
            let seed = proxy(&g).entropy().to_le_bytes();
            let bytes: Vec<u8> = seed.into_iter().cycle().take(len as usize).collect();
            errno(write(&mut g, at, &bytes))
        },
    )?;
    Ok(())
}
