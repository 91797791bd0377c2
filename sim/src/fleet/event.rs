//! What befalls hosts and polls while a fleet runs.

use core::str::FromStr;

/// Disturbances of a run; none by default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Faults {
    /// What happens to hosts, in any order.
    pub events: Vec<HostEvent>,
    /// Share of the answers to polls that get lost, each host's for itself. The last one stays in force.
    pub poll_loss: f64,
    /// Microseconds from a poll's answer to the moment that the router knows it.
    pub poll_delay_micros: u64,
}

impl Faults {
    /// Whether `host` is there when the run begins: a host that first of all joins is not.
    pub(super) fn present_at_start(&self, host: usize) -> bool {
        let own = self.events.iter().filter(|event| event.host == host);
        own.min_by_key(|event| event.at_micros)
            .is_none_or(|event| event.change != Change::Join)
    }
}

/// Something happens to one host.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HostEvent {
    /// When, microseconds from the start.
    pub at_micros: u64,
    /// Position of the host in the fleet.
    pub host: usize,
    /// What.
    pub change: Change,
}

/// What happens to a host.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Change {
    /// Runs at this multiple of its GPU's speed from then on; the step under way ends as it would have.
    Speed(f64),
    /// Joins with an empty cache.
    Join,
    /// Is taken off the list and finishes what it has.
    Leave,
    /// Dies: what it has fails, connections to it are refused.
    Die,
}

impl FromStr for HostEvent {
    type Err = String;

    /// Reads `t=60s host=3 speed=0.5`, or `join`, `leave`, `die` in the place of `speed=`.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("`{text}`: write t=SECONDSs host=N and one of speed=FACTOR, join, leave, die")
        };
        let (mut at, mut host, mut change) = (None, None, None);
        for word in text.split_whitespace() {
            match word.split_once('=') {
                Some(("t", time)) => at = Some(micros(time).ok_or_else(wrong)?),
                Some(("host", number)) => host = Some(number.parse().map_err(|_| wrong())?),
                Some(("speed", factor)) => {
                    let factor = factor.parse().ok();
                    let factor = factor.filter(|f: &f64| (0.001..=1000.0).contains(f));
                    change = Some(Change::Speed(factor.ok_or_else(wrong)?));
                }
                None if word == "join" => change = Some(Change::Join),
                None if word == "leave" => change = Some(Change::Leave),
                None if word == "die" => change = Some(Change::Die),
                _ => return Err(wrong()),
            }
        }
        Ok(Self {
            at_micros: at.ok_or_else(wrong)?,
            host: host.ok_or_else(wrong)?,
            change: change.ok_or_else(wrong)?,
        })
    }
}

/// `60s`, `1.5s` or `250ms` in microseconds.
fn micros(text: &str) -> Option<u64> {
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, 1e3),
        None => (text.strip_suffix('s')?, 1e6),
    };
    let number: f64 = number.parse().ok()?;
    (0.0..1e9)
        .contains(&number)
        .then_some((number * unit) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read() {
        let event = |text: &str| text.parse::<HostEvent>().unwrap();
        let expected = |at_micros, host, change| HostEvent {
            at_micros,
            host,
            change,
        };
        let slower = expected(60_000_000, 3, Change::Speed(0.5));
        assert_eq!(event("t=60s host=3 speed=0.5"), slower);
        assert_eq!(
            event("die host=0 t=250ms"),
            expected(250_000, 0, Change::Die)
        );
        for wrong in [
            "",
            "t=1s host=1",
            "t=1 host=1 die",
            "t=1s host=1 speed=0",
            "t=1s host=x join",
        ] {
            let error = wrong.parse::<HostEvent>().unwrap_err();
            assert!(error.contains("t=SECONDSs"), "{error}");
        }
    }

    #[test]
    fn who_joins_is_not_there_at_the_start() {
        let events = [
            "t=9s host=1 die",
            "t=5s host=1 join",
            "t=1s host=2 leave",
            "t=2s host=2 join",
        ];
        let faults = Faults {
            events: events.iter().map(|text| text.parse().unwrap()).collect(),
            ..Faults::default()
        };
        let present = [0, 1, 2].map(|host| faults.present_at_start(host));
        assert_eq!(present, [true, false, true]);
    }
}
