//! The module's code, native.

use std::cell::RefCell;
use std::rc::Rc;

use super::{Callback, Outcome, Reply, Usage, Vm};
use crate::proxy::Proxy;

/// A VM that runs the rlib.
pub struct NativeVm {
    #[allow(dead_code)]
    proxy: Rc<RefCell<Proxy>>,
}

impl NativeVm {
    /// Empty.
    pub fn new(proxy: Rc<RefCell<Proxy>>) -> Self {
        Self { proxy }
    }
}
impl Vm for NativeVm {
    fn run(&mut self, _context: u32, _callback: &Callback) -> Outcome {
        Ok(Reply::None)
    }
    fn usage(&mut self) -> Usage {
        Usage::default()
    }
}
