//! A request that is told to go away, or to come back.

use crate::tenant::Denied;
use crate::time::Micros;

/// Why a request is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ShedReason {
    /// It would wait longer than its tier allows.
    Overloaded,
    /// The queue is full of requests that go before it.
    QueueFull,
    /// It waited, and gave way to a higher tier or a tenant with less in the queue.
    Displaced,
    /// It waited as long as its tier allows.
    QueueTimeout,
    /// Its tenant's requests of this minute are used up.
    RequestsPerMinute,
    /// Its tenant's tokens of this minute are used up.
    TokensPerMinute,
    /// Its tenant has as many requests at once as it may.
    Concurrent,
    /// Its tenant's GPU-seconds of this day are used up.
    GpuSecondsPerDay,
    /// Its tenant was removed from the configuration while it waited.
    TenantRemoved,
    /// Nobody may ask for it.
    Denied(Denied),
}

impl ShedReason {
    /// The name used in metrics and in the response.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Overloaded => "overloaded",
            Self::QueueFull => "queue_full",
            Self::Displaced => "displaced",
            Self::QueueTimeout => "queue_timeout",
            Self::RequestsPerMinute => "requests_per_minute",
            Self::TokensPerMinute => "tokens_per_minute",
            Self::Concurrent => "concurrent",
            Self::GpuSecondsPerDay => "gpu_seconds_per_day",
            Self::TenantRemoved => "tenant_removed",
            Self::Denied(denied) => denied.name(),
        }
    }

    /// HTTP status.
    pub const fn status(self) -> u16 {
        match self {
            Self::QueueTimeout => 504,
            Self::TenantRemoved => 403,
            Self::Denied(denied) => denied.status(),
            _ => 429,
        }
    }
}

/// A request is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shed {
    /// Why.
    pub reason: ShedReason,
    /// When to come back, in seconds; 0 when that would change nothing.
    pub retry_after: u32,
}

impl Shed {
    /// Shed without a time to come back.
    pub const fn flat(reason: ShedReason) -> Self {
        Self {
            reason,
            retry_after: 0,
        }
    }

    /// Shed, to come back in `wait` and up to an eighth more, as `seed` says, so that those who were told together do not come together.
    pub fn for_now(reason: ShedReason, wait: Micros, seed: u64) -> Self {
        let wait = wait.get().min(LONGEST_RETRY.get());
        let jitter = crate::fixed::mul_div(wait / 8, seed >> 32, 1 << 32);
        let seconds = (wait + jitter).div_ceil(1_000_000).max(1);
        Self {
            reason,
            retry_after: u32::try_from(seconds).unwrap_or(u32::MAX),
        }
    }
}

/// Nobody is told to come back later than in this time.
const LONGEST_RETRY: Micros = Micros::from_millis(3_600_000);
