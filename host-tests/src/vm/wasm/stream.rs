//! Stream control, local responses, contexts.

use wasmtime::{Linker, Result};

use super::State;
use super::guest::{Guest, finish, proxy, read, status};
use crate::proxy::{HeaderMap, Hostcall};

pub(super) fn link(linker: &mut Linker<State>) -> Result<()> {
    linker.func_wrap(
        "env",
        "proxy_continue_stream",
        |g: Guest<'_>, kind: u32| -> Result<u32> {
            let answer = proxy(&g).continue_stream(kind);
            finish(&g, answer)
        },
    )?;
    linker.func_wrap("env", "proxy_close_stream", |g: Guest<'_>, _: u32| {
        status(proxy(&g).stateless(Hostcall::CloseStream))
    })?;
    linker.func_wrap(
        "env",
        "proxy_send_local_response",
        |g: Guest<'_>,
         code: u32,
         _details: u32,
         _details_len: u32,
         body: u32,
         body_len: u32,
         headers: u32,
         headers_len: u32,
         _grpc_status: u32|
         -> u32 {
            status(read(&g, headers, headers_len).and_then(|headers| {
                let headers = HeaderMap::parse(&headers)?;
                let body = read(&g, body, body_len)?;
                proxy(&g).local_response(code, headers, &body)
            }))
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_set_effective_context",
        |g: Guest<'_>, context: u32| status(proxy(&g).set_effective_context(context)),
    )?;
    linker.func_wrap("env", "proxy_done", |g: Guest<'_>| {
        status(proxy(&g).stateless(Hostcall::Done))
    })?;
    Ok(())
}
