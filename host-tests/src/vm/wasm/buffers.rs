//! Bodies and configuration.

use wasmtime::{Linker, Result};

use super::State;
use super::guest::{Guest, give, proxy, read, status, write_word};
use crate::proxy::status::OK;

pub(super) fn link(linker: &mut Linker<State>) -> Result<()> {
    linker.func_wrap(
        "env",
        "proxy_get_buffer_bytes",
        |mut g: Guest<'_>,
         buffer: u32,
         start: u32,
         len: u32,
         at: u32,
         size_at: u32|
         -> Result<u32> {
            let answer = proxy(&g).buffer(buffer, start, len);
            match answer {
                // The C++ host answers OK and writes neither pointer nor size when there are no bytes.
                Ok(bytes) if bytes.is_empty() => Ok(OK),
                Ok(bytes) => give(&mut g, &bytes, at, size_at),
                Err(status) => Ok(status),
            }
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_get_buffer_status",
        |mut g: Guest<'_>, buffer: u32, len_at: u32, flags_at: u32| -> u32 {
            let answer = proxy(&g).buffer_size(buffer);
            status(answer.and_then(|size| {
                write_word(&mut g, len_at, size)?;
                write_word(&mut g, flags_at, 0)
            }))
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_set_buffer_bytes",
        |g: Guest<'_>, buffer: u32, start: u32, len: u32, at: u32, size: u32| -> u32 {
            status(
                read(&g, at, size)
                    .and_then(|bytes| proxy(&g).set_buffer(buffer, start, len, &bytes)),
            )
        },
    )?;
    Ok(())
}
