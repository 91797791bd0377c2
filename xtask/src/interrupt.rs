//! Ctrl-C and SIGTERM: a flag that every wait looks at, so that guards get to stop their processes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use signal_hook::consts::{SIGINT, SIGTERM};

use crate::failure::Failure;

static FLAG: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Catches the two signals from here on.
pub(crate) fn install() -> Result<(), Failure> {
    let flag = FLAG.get_or_init(Arc::default);
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(flag))?;
    }
    Ok(())
}

/// Whether the person at the terminal wants to stop.
pub(crate) fn requested() -> bool {
    FLAG.get().is_some_and(|flag| flag.load(Ordering::Relaxed))
}

/// [`Failure::Interrupted`] once [`requested`].
pub(crate) fn check() -> Result<(), Failure> {
    if requested() {
        Err(Failure::Interrupted)
    } else {
        Ok(())
    }
}
