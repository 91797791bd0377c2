//! Worker states of one VM, by pool.
//!
//! A new configuration is a new root in the same VM, while streams of the old one still run. The state of a pool (requests in
//! flight, learned rates, prefixes) must outlive the root that made it, so it lives here and roots look it up.

use alloc::{borrow::ToOwned, rc::Rc, string::String, vec::Vec};
use core::cell::RefCell;

use crate::worker::Worker;

/// A worker shared by the roots and streams of one pool.
pub type SharedWorker = Rc<RefCell<Worker>>;

/// All pools of one VM. A clone is the same registry.
#[derive(Clone, Default)]
pub struct Registry(Rc<RefCell<Vec<(String, SharedWorker)>>>);

impl Registry {
    /// The worker of `pool`, if it was configured before.
    #[must_use]
    pub fn find(&self, pool: &str) -> Option<SharedWorker> {
        let pools = self.0.try_borrow().ok()?;
        pools
            .iter()
            .find(|(name, _)| name == pool)
            .map(|(_, worker)| Rc::clone(worker))
    }

    /// Adds a pool.
    #[must_use]
    pub fn insert(&self, pool: &str, worker: Worker) -> SharedWorker {
        let worker = Rc::new(RefCell::new(worker));
        if let Ok(mut pools) = self.0.try_borrow_mut() {
            pools.push((pool.to_owned(), Rc::clone(&worker)));
        }
        worker
    }
}
