//! Shared data and shared queues.

use wasmtime::{Linker, Result};

use super::State;
use super::guest::{Guest, give, proxy, read, status, write_word};
use crate::proxy::Hostcall;

pub(super) fn link(linker: &mut Linker<State>) -> Result<()> {
    linker.func_wrap(
        "env",
        "proxy_get_shared_data",
        |mut g: Guest<'_>, key: u32, len: u32, at: u32, size_at: u32, cas_at: u32| -> Result<u32> {
            let answer = read(&g, key, len).and_then(|key| proxy(&g).shared_get(&key));
            match answer {
                Ok((value, cas)) => match give(&mut g, &value, at, size_at)? {
                    0 => Ok(status(write_word(&mut g, cas_at, cas))),
                    status => Ok(status),
                },
                Err(status) => Ok(status),
            }
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_set_shared_data",
        |g: Guest<'_>, key: u32, len: u32, value: u32, value_len: u32, cas: u32| -> u32 {
            status(read(&g, key, len).and_then(|key| {
                let value = read(&g, value, value_len)?;
                proxy(&g).shared_set(&key, &value, cas)
            }))
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_register_shared_queue",
        |g: Guest<'_>, _: u32, _: u32, _: u32| status(proxy(&g).stateless(Hostcall::RegisterQueue)),
    )?;
    linker.func_wrap(
        "env",
        "proxy_resolve_shared_queue",
        |g: Guest<'_>, _: u32, _: u32, _: u32, _: u32, _: u32| {
            status(proxy(&g).stateless(Hostcall::ResolveQueue))
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_dequeue_shared_queue",
        |g: Guest<'_>, _: u32, _: u32, _: u32| status(proxy(&g).stateless(Hostcall::Dequeue)),
    )?;
    linker.func_wrap(
        "env",
        "proxy_enqueue_shared_queue",
        |g: Guest<'_>, _: u32, _: u32, _: u32| status(proxy(&g).stateless(Hostcall::Enqueue)),
    )?;
    Ok(())
}
