//! Properties.

use wasmtime::{Linker, Result};

use super::State;
use super::guest::{Guest, give, proxy, read, status};

pub(super) fn link(linker: &mut Linker<State>) -> Result<()> {
    linker.func_wrap(
        "env",
        "proxy_get_property",
        |mut g: Guest<'_>, path: u32, len: u32, at: u32, size_at: u32| -> Result<u32> {
            let answer = read(&g, path, len).and_then(|path| proxy(&g).property(&path));
            match answer {
                Ok(bytes) => give(&mut g, &bytes, at, size_at),
                Err(status) => Ok(status),
            }
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_set_property",
        |g: Guest<'_>, path: u32, len: u32, value: u32, value_len: u32| -> u32 {
            status(read(&g, path, len).and_then(|path| {
                let value = read(&g, value, value_len)?;
                proxy(&g).set_property(&path, &value)
            }))
        },
    )?;
    Ok(())
}
