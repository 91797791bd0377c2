//! Hard constraints: which hosts may get a request at all, and why the others may not.

use core::fmt;

use crate::fleet::Fleet;
use crate::host::{Host, State};
use crate::time::Instant;

/// Why a host is ruled out.
///
/// The numbers are those of decision records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[repr(u8)]
pub enum Ruled {
    /// No longer listed.
    Gone = 1,
    /// Failed its checks.
    Down = 2,
    /// Finishes what it has.
    Draining = 3,
    /// Has just failed requests of ours.
    Fenced = 4,
    /// Serves other models, and some host serves this one.
    WrongModel = 5,
}

/// How many hosts were ruled out, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuledOut {
    /// No longer listed.
    pub gone: u16,
    /// Failed their checks.
    pub down: u16,
    /// Draining.
    pub draining: u16,
    /// Fenced.
    pub fenced: u16,
    /// Serve other models.
    pub wrong_model: u16,
}

impl RuledOut {
    fn count(&mut self, why: Ruled) {
        let counter = match why {
            Ruled::Gone => &mut self.gone,
            Ruled::Down => &mut self.down,
            Ruled::Draining => &mut self.draining,
            Ruled::Fenced => &mut self.fenced,
            Ruled::WrongModel => &mut self.wrong_model,
        };
        *counter = counter.saturating_add(1);
    }
}

impl fmt::Display for RuledOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = [
            ("gone", self.gone),
            ("down", self.down),
            ("draining", self.draining),
            ("fenced", self.fenced),
            ("wrong_model", self.wrong_model),
        ];
        let mut first = true;
        for (name, count) in counts {
            if count > 0 {
                write!(f, "{}{name}:{count}", if first { "" } else { "," })?;
                first = false;
            }
        }
        if first { f.write_str("none") } else { Ok(()) }
    }
}

/// What is asked of the hosts of one decision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Constraints {
    /// The model that they must serve.
    model: Option<u64>,
    /// Whether health verdicts were set aside.
    ignore_health: bool,
}

impl Constraints {
    /// Why `host` may not have the request, if it may not.
    pub fn rule_out(&self, host: &Host, now: Instant) -> Option<Ruled> {
        match host.state {
            State::Gone => return Some(Ruled::Gone),
            State::Draining => return Some(Ruled::Draining),
            State::Down if !self.ignore_health => return Some(Ruled::Down),
            State::Down | State::Ready => {}
        }
        if self.model.is_some_and(|model| !host.serves(model)) {
            return Some(Ruled::WrongModel);
        }
        (!self.ignore_health && host.fence.is_up(now)).then_some(Ruled::Fenced)
    }
}

/// Marks the eligible hosts in the bit set `out` and returns how many there are, why others are not, and by what they were judged.
///
/// The model constrains only where some listed host is known to serve it: an unknown name is for the engines to refuse, who alone
/// know their aliases. When every host that could serve is down or fenced the health verdicts are set aside, since a wrong verdict on
/// all of them at once is likelier than that all are dead, and a dead host costs one more attempt at most.
pub fn mark(
    fleet: &Fleet,
    model: u64,
    now: Instant,
    out: &mut [u64],
) -> (usize, RuledOut, Constraints) {
    let known = model != 0
        && fleet
            .hosts()
            .iter()
            .any(|host| host.serves(model) && host.state != State::Gone);
    let mut constraints = Constraints {
        model: known.then_some(model),
        ignore_health: false,
    };
    let (mut count, mut ruled_out) = (0, RuledOut::default());
    for ignore_health in [false, true] {
        constraints.ignore_health = ignore_health;
        out.fill(0);
        (count, ruled_out) = (0, RuledOut::default());
        // By word of the set, so that the innermost loop writes a register.
        for (word, hosts) in out.iter_mut().zip(fleet.hosts().chunks(64)) {
            let mut bits = 0;
            for (bit, host) in hosts.iter().enumerate() {
                match constraints.rule_out(host, now) {
                    Some(why) => ruled_out.count(why),
                    None => bits |= 1 << bit,
                }
            }
            *word = bits;
            count += bits.count_ones() as usize;
        }
        if count > 0 {
            break;
        }
    }
    (count, ruled_out, constraints)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::Listed;
    use crate::host::Address;
    use alloc::format;
    use alloc::string::ToString;

    fn fleet(states: &[(State, u64)]) -> Fleet {
        let mut fleet = Fleet::new(64);
        let list = states.iter().enumerate().map(|(i, (state, model))| Listed {
            address: Address::parse(&format!("10.0.0.{}:80", i + 1)).unwrap(),
            weight: 1,
            models: [*model, 0, 0, 0],
            state: *state,
            polled: None,
        });
        fleet.sync(list, |_| {});
        fleet
    }

    fn eligible(fleet: &Fleet, model: u64) -> (u64, alloc::string::String) {
        let mut bits = [0];
        let (_, out, _) = mark(fleet, model, Instant::ZERO, &mut bits);
        (bits[0], out.to_string())
    }

    #[test]
    fn each_reason() {
        let mut fleet = fleet(&[
            (State::Ready, 7),
            (State::Draining, 7),
            (State::Down, 7),
            (State::Ready, 8),
            (State::Ready, 7),
        ]);
        fleet.get_mut(4).unwrap().fence.on_failure(Instant::ZERO);
        assert_eq!(
            eligible(&fleet, 7),
            (0b00001, "down:1,draining:1,fenced:1,wrong_model:1".into())
        );
        assert_eq!(
            eligible(&fleet, 8),
            (0b01000, "down:1,draining:1,wrong_model:2".into())
        );
        assert_eq!(
            eligible(&fleet, 99).0,
            0b01001,
            "a name nobody reports constrains nothing"
        );
        assert_eq!(eligible(&fleet, 0).0, 0b01001);
    }

    #[test]
    fn verdicts_are_set_aside_when_nobody_would_be_left_but_constraints_never() {
        let fleet = fleet(&[(State::Down, 7), (State::Draining, 7), (State::Ready, 8)]);
        assert_eq!(eligible(&fleet, 7).0, 0b001);
        assert_eq!(eligible(&fleet, 8).0, 0b100);
    }
}
