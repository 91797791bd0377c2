//! Which host holds which part of a prompt.
//!
//! A prompt is a chain of blocks ([`crate::request::Block`]); equal chain hashes mean equal prompts up to there. The [`Index`] remembers
//! on which hosts a block's prompt has been, and forgets at the pace at which those hosts' KV caches turn over. [`Homes`] says
//! where a prefix belongs when nobody here has seen it, so that routers that never talk send it to the same host.

mod homes;
mod index;
#[cfg(test)]
mod tests;

pub use homes::{Homes, draw};
pub use index::{Index, Learned};

use crate::rng;

/// The key of a block as the index knows it: the chain hash, isolated by model and by the tenant's cache salt, so that tenants with
/// different salts never share an entry (engines do not share their KV either).
pub const fn block_key(hash: u64, model: u64, salt: u64) -> u64 {
    let key = rng::mix(hash ^ model.rotate_left(17) ^ salt.rotate_left(41));
    // Zero marks an empty slot of the index.
    if key == 0 { 1 } else { key }
}
