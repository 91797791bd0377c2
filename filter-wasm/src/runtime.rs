//! What the standard library would bring: memory, and the end of a module that panics.

use alloc::string::String;
use core::panic::PanicInfo;

use talc::wasm::{WasmDynamicTalc, new_wasm_dynamic_allocator};

use crate::{
    host::{Host, Level},
    hostcalls::Proxy,
    names::push_decimal,
};

#[global_allocator]
static MEMORY: WasmDynamicTalc = new_wasm_dynamic_allocator();

/// Says where it happened and traps: the proxy ends this VM, and starts another one.
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    if let Some(place) = info.location() {
        let mut text = String::from("plimsoll: panic at ");
        text.push_str(place.file());
        text.push(':');
        push_decimal(&mut text, u64::from(place.line()));
        Proxy.log(Level::Error, &text);
    }
    core::arch::wasm32::unreachable()
}
