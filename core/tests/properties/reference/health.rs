//! Whom the reference trusts. Outcomes are kept as a list, probes are counted among the requests in flight.

use plimsoll_core::config::Health as Settings;
use plimsoll_core::host::{Address, State};
use plimsoll_core::rng::mix;
use plimsoll_core::time::{Instant, Micros};

use super::arithmetic::{ONE, over, ratio, times, towards};
use super::{Flight, Host, Reference};

#[derive(Clone, Debug, Default)]
pub(super) struct Health {
    open: bool,
    until: Instant,
    openings: u32,
    closed_at: Instant,
    /// When requests ended, and whether well.
    outcomes: Vec<(Instant, bool)>,
    row: u32,
    /// Beginning of the slow start and answers since then.
    rising: bool,
    since: Instant,
    answers: u64,
    alive: Instant,
    pace: u64,
}

impl Health {
    /// Good and bad outcomes in this half of the window and the one before.
    fn window(&self, now: Instant, settings: &Settings) -> (u64, u64) {
        let half = |at: Instant| at.as_micros() / (settings.window.get() / 2);
        let recent = self
            .outcomes
            .iter()
            .filter(|(at, _)| half(*at) + 1 >= half(now));
        let (good, bad): (Vec<&_>, Vec<&_>) = recent.partition(|(_, good)| *good);
        (good.len() as u64, bad.len() as u64)
    }

    pub(super) fn alive(&self) -> Instant {
        self.alive
    }

    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    /// Open, and not half-open; a wait beyond the longest is a clock's fault, or of an earlier configuration.
    fn waits(&self, now: Instant, settings: &Settings) -> bool {
        let longest = settings.max_open.get() * 5 / 4;
        self.open && now < self.until && self.until.since(now).get() <= longest
    }

    /// Attempts that fail before one succeeds.
    pub(super) fn faults(&self, now: Instant, settings: &Settings) -> u64 {
        let (good, bad) = self.window(now, settings);
        ratio(bad, good + 1)
    }

    pub(super) fn share(&self, now: Instant, settings: &Settings) -> u64 {
        let whole = settings.slow_start.get();
        if !self.rising || whole == 0 {
            return ONE;
        }
        let warmth = over(self.answers.min(16), ONE, 16);
        let age = times(now.since(self.since).get(), ONE + warmth);
        let progress = ratio(age, 2 * whole).min(ONE);
        let share =
            (1..settings.slow_start_curve).fold(progress, |share, _| times(share, progress));
        share.max(ONE / 10)
    }

    pub(super) fn joins(&mut self, since: Instant) {
        if since > self.since {
            (self.rising, self.since, self.answers) = (true, since, 0);
            if self.open {
                self.until = self.until.min(since);
            }
        }
    }

    pub(super) fn on_token(&mut self, now: Instant, gap: Option<Micros>) {
        self.alive = now;
        if let Some(gap) = gap.map(Micros::get) {
            self.pace = match self.pace {
                0 => gap,
                pace => towards(pace, gap, 4),
            };
        }
    }

    pub(super) fn recovers(&mut self, now: Instant) {
        if self.open {
            (self.open, self.closed_at, self.row) = (false, now, 0);
            (self.rising, self.since, self.answers) = (true, now, 0);
            self.outcomes.clear();
        }
    }

    pub(super) fn on_success(&mut self, now: Instant, probe: bool) {
        self.alive = now;
        self.answers += 1;
        if !self.open {
            self.row = 0;
            self.outcomes.push((now, true));
        } else if probe {
            self.recovers(now);
        }
    }

    /// A new open phase; all before it count for the back-off unless the last is long past.
    fn opens(&mut self, now: Instant, settings: &Settings) {
        if !self.open && now.since(self.closed_at) >= settings.max_open {
            self.openings = 0;
        }
        self.open = true;
    }
}

impl Reference {
    /// Whether the breaker and the slow start let the request through: `Err(true)` when ejected, `Err(false)` when it is not its turn.
    pub(super) fn trusts(
        &self,
        now: Instant,
        address: Address,
        seed: u64,
        all: bool,
    ) -> Result<(), bool> {
        let (host, settings) = (&self.hosts[&address], &self.config.health);
        if host.health.open {
            let probes = self
                .flights
                .values()
                .filter(|f| f.host == Some(address) && f.probe);
            let free =
                !host.health.waits(now, settings) && (probes.count() as u32) < settings.probes;
            return if free { Ok(()) } else { Err(true) };
        }
        let draw = mix(seed ^ host.key ^ 0x736c_6f77_5f73_7461) >> 48;
        let takes_part = draw < host.health.share(now, settings);
        if takes_part || !all {
            Ok(())
        } else {
            Err(false)
        }
    }

    fn listed(&self) -> impl Iterator<Item = &Host> {
        self.hosts.values().filter(|host| host.state != State::Gone)
    }

    pub(super) fn ejected(&self) -> usize {
        self.listed().filter(|host| host.health.open).count()
    }

    fn allowed(&self) -> usize {
        times(self.listed().count() as u64, self.config.health.max_ejected) as usize
    }

    fn has_room(&self, address: Address) -> bool {
        let host = &self.hosts[&address];
        host.health.open || host.state == State::Gone || self.ejected() < self.allowed()
    }

    /// Opens the breaker unless it is open and waiting, or the cap is reached.
    pub(super) fn eject(&mut self, now: Instant, address: Address) {
        let (settings, seed) = (self.config.health.clone(), self.seed);
        let room = self.has_room(address);
        let host = self.hosts.get_mut(&address).unwrap();
        let health = &mut host.health;
        if health.waits(now, &settings) || !room {
            return;
        }
        health.opens(now, &settings);
        let length = (settings.open.get() << health.openings.min(20)).min(settings.max_open.get());
        let draw = mix(mix(seed ^ host.key) ^ u64::from(health.openings)) >> 48;
        health.until = now + Micros::new(length + times(length / 4, draw));
        health.openings += 1;
    }

    /// Another worker has ejected it until `until`.
    pub(super) fn hears_of_ejection(&mut self, now: Instant, address: Address, until: Instant) {
        let settings = self.config.health.clone();
        let longest = settings.max_open.get() * 5 / 4;
        let room = self.has_room(address);
        let health = &mut self.hosts.get_mut(&address).unwrap().health;
        let news = until > health.until && until > now && until.since(now).get() <= longest;
        if !news || !room {
            return;
        }
        if !health.waits(now, &settings) {
            health.opens(now, &settings);
            health.openings += 1;
        }
        health.until = until;
    }

    pub(super) fn on_failure(&mut self, now: Instant, address: Address, probe: bool) {
        let health = &mut self.hosts.get_mut(&address).unwrap().health;
        if health.open {
            if probe {
                self.eject(now, address);
            }
            return;
        }
        health.row += 1;
        health.outcomes.push((now, false));
        let in_a_row = health.row >= self.config.health.consecutive_failures;
        if in_a_row || self.is_outlier(now, address) {
            self.eject(now, address);
        }
    }

    fn is_outlier(&self, now: Instant, address: Address) -> bool {
        let settings = &self.config.health;
        let own = self.hosts[&address].health.window(now, settings);
        let others = self
            .hosts
            .iter()
            .filter(|(other, host)| **other != address && host.state != State::Gone);
        let rest = others.fold((0, 0), |sum, (_, host)| {
            let (good, bad) = host.health.window(now, settings);
            (sum.0 + good, sum.1 + bad)
        });
        let rate = |(good, bad): (u64, u64)| ratio(bad, good + bad);
        own.0 + own.1 >= u64::from(settings.min_requests)
            && rate(own) >= settings.error_rate
            && rate(own) >= 3 * rate(rest)
    }

    /// The fleet or the cap has become smaller: the ejections that would end first end now.
    pub(super) fn keep_cap(&mut self) {
        while self.ejected() > self.allowed() {
            let open = self.hosts.values_mut().filter(|host| host.health.open);
            let listed = open.filter(|host| host.state != State::Gone);
            let first = listed.min_by_key(|host| (host.health.until, host.key));
            first.unwrap().health.open = false;
        }
    }

    pub(super) fn limit(&self, flight: &Flight, host: &Host, floor: Micros) -> Micros {
        let expected = match (flight.stream, flight.tokens) {
            (true, 0) => {
                let predicted = times(flight.queued + flight.uncached, host.settled);
                (8 * predicted).max(2 * host.e2e)
            }
            (true, _) => 16 * host.health.pace,
            (false, _) if host.e2e == 0 => 8 * self.config.priors.e2e.get(),
            (false, _) => 8 * host.e2e,
        };
        Micros::new(expected).max(floor)
    }

    pub(super) fn watch(&mut self, now: Instant) {
        let settings = self.config.health.clone();
        let lost = now.since(self.ticked).get() > settings.stall.get() / 2;
        let jumped = lost && self.ticked != Instant::ZERO;
        self.ticked = now;
        for host in self.hosts.values_mut() {
            if host.health.share(now, &settings) == ONE {
                host.health.rising = false;
            }
            if lost {
                host.health.alive = now;
            }
        }
        let mut silent_hosts = Vec::new();
        let ids: Vec<u64> = self.flights.keys().copied().collect();
        for id in ids {
            self.flights.get_mut(&id).unwrap().teaches &= !jumped;
            let flight = &self.flights[&id];
            let Some(address) = flight.host else { continue };
            let host = &self.hosts[&address];
            let limit = self.limit(flight, host, settings.stall);
            if lost || now.since(flight.last_token) <= limit {
                continue;
            }
            let silent = now.since(host.health.alive) > limit;
            if silent && (flight.probe || !host.health.open) {
                silent_hosts.push((host.health.alive, host.key, address));
            }
            let flight = self.flights.get_mut(&id).unwrap();
            (flight.stalled, flight.probe) = (true, false);
        }
        silent_hosts.sort();
        silent_hosts.dedup();
        for (.., address) in silent_hosts {
            self.hosts.get_mut(&address).unwrap().health.alive = now;
            self.eject(now, address);
        }
    }
}
