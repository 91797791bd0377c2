//! Header maps.

use wasmtime::{Linker, Result};

use super::State;
use super::guest::{Guest, give, proxy, read, read_text, status, write_word};

pub(super) fn link(linker: &mut Linker<State>) -> Result<()> {
    linker.func_wrap(
        "env",
        "proxy_get_header_map_pairs",
        |mut g: Guest<'_>, map: u32, at: u32, size_at: u32| -> Result<u32> {
            let answer = proxy(&g).header_map(map);
            match answer {
                Ok(bytes) => give(&mut g, &bytes, at, size_at),
                Err(status) => Ok(status),
            }
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_get_header_map_size",
        |mut g: Guest<'_>, map: u32, at: u32| -> u32 {
            let answer = proxy(&g).header_map_size(map);
            status(answer.and_then(|size| write_word(&mut g, at, size)))
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_set_header_map_pairs",
        |g: Guest<'_>, map: u32, at: u32, len: u32| -> u32 {
            status(read(&g, at, len).and_then(|pairs| proxy(&g).set_header_map(map, &pairs)))
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_get_header_map_value",
        |mut g: Guest<'_>, map: u32, name: u32, len: u32, at: u32, size_at: u32| -> Result<u32> {
            let answer = read_text(&g, name, len).and_then(|name| proxy(&g).header(map, &name));
            match answer {
                Ok(bytes) => give(&mut g, &bytes, at, size_at),
                Err(status) => Ok(status),
            }
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_remove_header_map_value",
        |g: Guest<'_>, map: u32, name: u32, len: u32| -> u32 {
            status(read_text(&g, name, len).and_then(|name| proxy(&g).remove_header(map, &name)))
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_replace_header_map_value",
        |g: Guest<'_>, map: u32, name: u32, len: u32, value: u32, value_len: u32| -> u32 {
            status(read_text(&g, name, len).and_then(|name| {
                let value = read(&g, value, value_len)?;
                proxy(&g).replace_header(map, &name, &value)
            }))
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_add_header_map_value",
        |g: Guest<'_>, map: u32, name: u32, len: u32, value: u32, value_len: u32| -> u32 {
            status(read_text(&g, name, len).and_then(|name| {
                let value = read(&g, value, value_len)?;
                proxy(&g).add_header(map, &name, &value)
            }))
        },
    )?;
    Ok(())
}
