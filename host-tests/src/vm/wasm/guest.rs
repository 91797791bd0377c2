//! Reading and writing the module's memory, and turning answers into statuses.

use std::cell::RefMut;

use wasmtime::{Caller, Error, Memory, Result, bail};

use super::State;
use crate::proxy::Proxy;
use crate::proxy::status::{Answer, INVALID_MEMORY_ACCESS, OK};

/// The caller of a hostcall.
pub(super) type Guest<'a> = Caller<'a, State>;

/// The proxy behind the caller. Must be let go before the module runs again.
pub(super) fn proxy<'a>(guest: &'a Guest<'_>) -> RefMut<'a, Proxy> {
    guest.data().proxy.borrow_mut()
}

fn memory(guest: &Guest<'_>) -> Result<Memory> {
    match guest.data().memory {
        Some(memory) => Ok(memory),
        None => bail!("hostcall before the memory is known"),
    }
}

/// Copies bytes out of the module.
pub(super) fn read(guest: &Guest<'_>, at: u32, len: u32) -> Answer<Vec<u8>> {
    let memory = memory(guest).map_err(|_| INVALID_MEMORY_ACCESS)?;
    let from = at as usize;
    let bytes = memory.data(guest).get(from..from + len as usize);
    bytes.map(<[u8]>::to_vec).ok_or(INVALID_MEMORY_ACCESS)
}

/// Copies text out of the module; what is not UTF-8 is replaced.
pub(super) fn read_text(guest: &Guest<'_>, at: u32, len: u32) -> Answer<String> {
    Ok(String::from_utf8_lossy(&read(guest, at, len)?).into_owned())
}

/// Writes bytes to an address that the module gave.
pub(super) fn write(guest: &mut Guest<'_>, at: u32, bytes: &[u8]) -> Answer<()> {
    let memory = memory(guest).map_err(|_| INVALID_MEMORY_ACCESS)?;
    memory
        .write(guest, at as usize, bytes)
        .map_err(|_| INVALID_MEMORY_ACCESS)
}

/// Writes a number to an address that the module gave.
pub(super) fn write_word(guest: &mut Guest<'_>, at: u32, word: u32) -> Answer<()> {
    write(guest, at, &word.to_le_bytes())
}

/// Hands bytes to the module: the module allocates, the host copies and writes pointer and size where it was asked to.
///
/// This runs the module, so a trap in its allocator comes out as an error.
pub(super) fn give(guest: &mut Guest<'_>, bytes: &[u8], at: u32, size_at: u32) -> Result<u32> {
    let size = u32::try_from(bytes.len())?;
    let pointer = if size == 0 {
        0
    } else {
        let Some(allocate) = guest.data().allocate.clone() else {
            bail!("the module exports no allocator");
        };
        allocate.call(&mut *guest, size)?
    };
    let done = write(guest, pointer, bytes)
        .and_then(|()| write_word(guest, at, pointer))
        .and_then(|()| write_word(guest, size_at, size));
    Ok(status(done))
}

/// Number for an answer without a value.
pub(super) fn status(answer: Answer<()>) -> u32 {
    match answer {
        Ok(()) => OK,
        Err(status) => status,
    }
}

/// Ends a hostcall: a trap that the host demands goes before its status.
pub(super) fn finish(guest: &Guest<'_>, answer: Answer<()>) -> Result<u32> {
    match proxy(guest).demanded_trap.take() {
        Some(reason) => Err(Error::msg(reason)),
        None => Ok(status(answer)),
    }
}
