//! A VM of the proxy: the real module under wasmtime, or the same code native.

mod callback;
pub mod native;
pub mod wasm;

pub use self::callback::{Action, Callback, Outcome, Reply, Trap, Usage};

/// What the proxy can do with a VM.
///
/// The caller has set [`Current`](crate::proxy::Current) in the proxy; the VM only runs.
pub trait Vm {
    /// Runs one callback.
    fn run(&mut self, context: u32, callback: &Callback) -> Outcome;

    /// Cost of the last callback, and the memory held.
    fn usage(&mut self) -> Usage;

    /// Ends the VM as a trap does: none of its code runs any more.
    fn kill(self: Box<Self>);
}
