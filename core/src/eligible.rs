//! Hard constraints: which hosts may get a request at all, and why the others may not.

use core::fmt;

use crate::config::Config;
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
    /// Its breaker is not closed, and no probe is due.
    Ejected = 4,
    /// Serves other models, and some host serves this one.
    WrongModel = 5,
    /// Sits this request out: it has joined or recovered lately.
    Warming = 6,
    /// Has as many requests of ours as it may have.
    Full = 7,
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
    /// Ejected for their failures.
    pub ejected: u16,
    /// Starting slowly, and not this request's turn.
    pub warming: u16,
    /// At their limit of requests in flight.
    pub full: u16,
    /// Serve other models.
    pub wrong_model: u16,
}

impl RuledOut {
    fn count(&mut self, why: Ruled) {
        let counter = match why {
            Ruled::Gone => &mut self.gone,
            Ruled::Down => &mut self.down,
            Ruled::Draining => &mut self.draining,
            Ruled::Ejected => &mut self.ejected,
            Ruled::Warming => &mut self.warming,
            Ruled::Full => &mut self.full,
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
            ("ejected", self.ejected),
            ("warming", self.warming),
            ("full", self.full),
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

/// What is asked of a host, the same for every host of a decision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Question {
    /// The moment of decision.
    pub now: Instant,
    /// Key of the model; 0 when unknown.
    pub model: u64,
    /// What draws are made with.
    pub seed: u64,
    /// Whether the pool has as many requests of ours as it may have.
    pub full: bool,
}

/// How much of the verdicts on health is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trust {
    /// All of it.
    All,
    /// All but that a host should start slowly.
    NotWarming,
    /// None: any host that may be reached will do.
    None,
}

/// By what the hosts of one decision are judged.
#[derive(Clone, Copy, Debug)]
pub struct Constraints {
    question: Question,
    /// The model that they must serve.
    model: Option<u64>,
    trust: Trust,
}

impl Constraints {
    /// Why `host` may not have the request, if it may not.
    #[inline]
    pub fn rule_out(&self, host: &Host, config: &Config) -> Option<Ruled> {
        let trust = self.trust;
        match host.state {
            State::Gone => return Some(Ruled::Gone),
            State::Draining => return Some(Ruled::Draining),
            State::Down if trust != Trust::None => return Some(Ruled::Down),
            State::Warming if trust == Trust::All => return Some(Ruled::Warming),
            State::Down | State::Ready | State::Warming => {}
        }
        if host.drained {
            return Some(Ruled::Draining);
        }
        if self.model.is_some_and(|model| !host.serves(model)) {
            return Some(Ruled::WrongModel);
        }
        let most = config.limits.host_inflight;
        if self.question.full || (most != 0 && host.ours() >= most) {
            return Some(Ruled::Full);
        }
        if host.health.is_calm() || trust == Trust::None {
            return None;
        }
        let Question { now, seed, .. } = self.question;
        let settings = &config.health;
        if !host.health.breaker.admits(now, settings) {
            return Some(Ruled::Ejected);
        }
        let takes_part = trust != Trust::All
            || host.health.breaker.is_open()
            || host.health.ramp.takes_part(now, seed, host.key, settings);
        (!takes_part).then_some(Ruled::Warming)
    }
}

/// Marks the eligible hosts in the bit set `out` and returns how many there are, why others are not, and by what they were judged.
///
/// The model constrains only where some listed host is known to serve it: an unknown name is for the engines to refuse, who alone
/// know their aliases. When nobody is left, first those that start slowly must take part. When every host that could serve is down or
/// ejected the health verdicts are set aside, since a wrong verdict on all of them at once is likelier than that all are dead, and a dead
/// host costs one more attempt at most. Draining, the model and the limits are never set aside.
pub fn mark(
    fleet: &Fleet,
    config: &Config,
    question: Question,
    out: &mut [u64],
) -> (usize, RuledOut, Constraints) {
    let model = question.model;
    let known = model != 0
        && fleet
            .hosts()
            .iter()
            .any(|host| host.serves(model) && host.state != State::Gone);
    let mut constraints = Constraints {
        question,
        model: known.then_some(model),
        trust: Trust::All,
    };
    let (mut count, mut ruled_out) = (0, RuledOut::default());
    for trust in [Trust::All, Trust::NotWarming, Trust::None] {
        constraints.trust = trust;
        out.fill(0);
        (count, ruled_out) = (0, RuledOut::default());
        // By word of the set, so that the innermost loop writes a register.
        for (word, hosts) in out.iter_mut().zip(fleet.hosts().chunks(64)) {
            let mut bits = 0;
            for (bit, host) in hosts.iter().enumerate() {
                match constraints.rule_out(host, config) {
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
            since: Instant::ZERO,
            polled: None,
        });
        fleet.sync(list, |_| {});
        fleet
    }

    fn eligible(fleet: &Fleet, model: u64) -> (u64, alloc::string::String) {
        let mut bits = [0];
        let question = Question {
            now: Instant::ZERO,
            model,
            seed: 1,
            full: false,
        };
        let (_, out, _) = mark(fleet, &Config::default(), question, &mut bits);
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
        let settings = Config::default().health;
        let breaker = &mut fleet.get_mut(4).unwrap().health.breaker;
        breaker.open(Instant::ZERO, 1, &settings);
        assert_eq!(
            eligible(&fleet, 7),
            (0b00001, "down:1,draining:1,ejected:1,wrong_model:1".into())
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
