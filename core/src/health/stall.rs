//! Silence: how long a host may give nothing of what it owes us.

use crate::config::Config;
use crate::host::Host;
use crate::inflight::Flight;
use crate::time::Micros;

/// Gaps between tokens may be this many times the host's mean.
const GAPS: u64 = 16;
/// A first token or a whole answer may take this many times what was predicted.
const TIMES_PREDICTED: u64 = 8;

/// A first token may take the mean time of this many requests.
const TURNS: u64 = 2;

/// How long `flight` may wait for the next sign of life, beyond `floor`.
pub fn limit(flight: &Flight, host: &Host, config: &Config, floor: Micros) -> Micros {
    let expected = if !flight.stream {
        let mean = Micros::new(host.speed.e2e);
        let mean = if mean == Micros::ZERO {
            config.priors.e2e
        } else {
            mean
        };
        mean.times(TIMES_PREDICTED)
    } else if flight.tokens == 0 {
        // An engine that takes requests in one by one gives nothing to others while it works for one.
        let turns = Micros::new(host.speed.e2e).times(TURNS);
        host.predict(flight.ahead())
            .times(TIMES_PREDICTED)
            .max(turns)
    } else {
        host.health.pace.times(GAPS)
    };
    expected.max(floor)
}

/// Whether a client that left after `waited` had reason to: that counts against the host, or one that never answers would stay idle and
/// the favourite for as long as clients give up sooner than [`config::Health::stall`](crate::config::Health).
pub fn gave_up(flight: &Flight, host: &Host, config: &Config, waited: Micros) -> bool {
    let floor = Micros::new(config.health.stall.get() / 4);
    waited > limit(flight, host, config, floor)
}
