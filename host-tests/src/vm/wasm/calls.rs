//! HTTP and gRPC calls, foreign functions.

use wasmtime::{Linker, Result};

use super::State;
use super::guest::{Guest, proxy, read, read_text, status, write_word};
use crate::proxy::{HeaderMap, Hostcall};

pub(super) fn link(linker: &mut Linker<State>) -> Result<()> {
    linker.func_wrap(
        "env",
        "proxy_http_call",
        |mut g: Guest<'_>,
         target: u32,
         target_len: u32,
         headers: u32,
         headers_len: u32,
         body: u32,
         body_len: u32,
         _trailers: u32,
         _trailers_len: u32,
         timeout_ms: u32,
         token_at: u32|
         -> u32 {
            let answer = read_text(&g, target, target_len).and_then(|target| {
                let headers = HeaderMap::parse(&read(&g, headers, headers_len)?)?;
                let body = read(&g, body, body_len)?;
                proxy(&g).http_call(&target, headers, &body, timeout_ms)
            });
            status(answer.and_then(|token| write_word(&mut g, token_at, token)))
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_grpc_call",
        |g: Guest<'_>,
         _: u32,
         _: u32,
         _: u32,
         _: u32,
         _: u32,
         _: u32,
         _: u32,
         _: u32,
         _: u32,
         _: u32,
         _: u32,
         _: u32| status(proxy(&g).stateless(Hostcall::GrpcCall)),
    )?;
    linker.func_wrap(
        "env",
        "proxy_grpc_stream",
        |g: Guest<'_>, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32| {
            status(proxy(&g).stateless(Hostcall::GrpcStream))
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_grpc_send",
        |g: Guest<'_>, _: u32, _: u32, _: u32, _: u32| {
            status(proxy(&g).stateless(Hostcall::GrpcSend))
        },
    )?;
    linker.func_wrap("env", "proxy_grpc_cancel", |g: Guest<'_>, _: u32| {
        status(proxy(&g).stateless(Hostcall::GrpcCancel))
    })?;
    linker.func_wrap("env", "proxy_grpc_close", |g: Guest<'_>, _: u32| {
        status(proxy(&g).stateless(Hostcall::GrpcClose))
    })?;
    linker.func_wrap(
        "env",
        "proxy_get_status",
        |mut g: Guest<'_>, code_at: u32, at: u32, size_at: u32| -> u32 {
            let answer = proxy(&g).call_status();
            status(answer.and_then(|code| {
                write_word(&mut g, code_at, code)?;
                write_word(&mut g, at, 0)?;
                write_word(&mut g, size_at, 0)
            }))
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_call_foreign_function",
        |g: Guest<'_>, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32| {
            status(proxy(&g).stateless(Hostcall::CallForeignFunction))
        },
    )?;
    Ok(())
}
