//! The scenarios, one file each.

mod collector;
mod error500;
mod flap;
mod hang;
mod kill;
mod reload;
mod slow;
pub(crate) mod soak;
mod stall;
mod swap;
mod two_proxies;
mod vanish;

use std::pin::Pin;

use crate::report::Report;

type Play = fn() -> Pin<Box<dyn Future<Output = Report>>>;

/// Every scenario by name.
pub(crate) const ALL: &[(&str, Play)] = &[
    ("kill", || Box::pin(kill::play())),
    ("error500", || Box::pin(error500::play())),
    ("slow", || Box::pin(slow::play())),
    ("swap", || Box::pin(swap::play())),
    ("collector", || Box::pin(collector::play())),
    ("reload", || Box::pin(reload::play())),
    ("hang", || Box::pin(hang::play())),
    ("stall", || Box::pin(stall::play())),
    ("flap", || Box::pin(flap::play())),
    ("vanish", || Box::pin(vanish::play())),
    ("two_proxies", || Box::pin(two_proxies::play())),
];

/// Scenarios of which the suite has a faster variant, by name.
pub(crate) const SLOW: &[(&str, Play)] = &[("kill", || Box::pin(kill::play_in_real_time()))];
