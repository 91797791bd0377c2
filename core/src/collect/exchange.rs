//! The exchange with other proxies: what they are asked when, what their answers mean, and what this proxy's workers are told of it.
//!
//! Every proxy writes one share of all that its workers do, for others to fetch; it fetches theirs, and makes one share of them that
//! its workers read as they read each other's. An answer counts from when it arrives, by the clock of the one who asked: no two
//! machines' clocks are ever compared. An answer that says what the last one said is no news, so a proxy whose share nobody writes any
//! more is forgotten although something still answers in its place.

use alloc::vec::Vec;

use crate::config;
use crate::host::Address;
use crate::rng;
use crate::share::{self, BLOCK, HEADER, MERGED_RING, Merger, RECORD, Share};
use crate::time::{Instant, Micros};

/// A proxy that has said nothing new for this many intervals is gone, but not before [`LEAST_LIFE`].
const LIFE: u64 = 5;
const LEAST_LIFE: Micros = Micros::from_millis(1000);
/// What workers are told is written anew this often, since they forget one whose share is a second old.
const RENEW: Micros = Micros::from_millis(250);
/// The shares of workers are merged if they are at most this old.
const WORKER_LIFE: Micros = Micros::from_millis(1000);

/// What came of asking another proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It has told something.
    Share,
    /// It is this proxy, one that is listed twice, or it has nothing new to say.
    Nothing,
    /// What it answered is no share that this version reads.
    Refused,
    /// It did not answer, or has nothing to tell.
    Silence,
}

/// Another proxy.
#[derive(Clone, Debug, Default)]
struct Peer {
    /// It was asked then, and has not answered yet.
    asked: Option<Instant>,
    /// What it said last; nothing at first.
    share: Vec<u8>,
    /// When that arrived.
    at: Instant,
}

impl Peer {
    /// Whether it has said something in the last `life`.
    fn is_heard(&self, now: Instant, life: Micros) -> bool {
        !self.share.is_empty() && !is_over(now, self.at, life)
    }
}

/// Whether `span` has passed since `then`. It has if the clock was set back since.
fn is_over(now: Instant, then: Instant, span: Micros) -> bool {
    now < then || now.since(then) >= span
}

/// This proxy's part in the exchange.
#[derive(Clone, Debug)]
pub struct Exchange {
    every: Micros,
    life: Micros,
    most_bytes: usize,
    /// In the order of the configuration.
    peers: Vec<Peer>,
    /// What the own workers do, for other proxies.
    own: Merger,
    /// What other proxies do, for the own workers.
    others: Merger,
    /// The own share goes on in the name of the one before.
    named: bool,
    /// The last round of questions, and the pause after it.
    round: (Instant, Micros),
    own_written: Instant,
    others_written: Instant,
    /// Something was heard since `others_written`.
    news: bool,
}

impl Exchange {
    /// An exchange of proxies that know `hosts` hosts at most; `seed` names this one to others.
    pub(super) fn new(hosts: usize, seed: u64) -> Self {
        // Names of their own: `seed` may be that of a worker, which would take what it reads for its own words.
        let merger = |seed| Merger::new(rng::mix(seed).max(1), hosts);
        Self {
            every: Micros::ZERO,
            life: Micros::ZERO,
            most_bytes: HEADER + hosts * RECORD + MERGED_RING * BLOCK,
            peers: Vec::new(),
            own: merger(seed),
            others: merger(!seed),
            named: false,
            round: (Instant::ZERO, Micros::ZERO),
            own_written: Instant::ZERO,
            others_written: Instant::ZERO,
            news: false,
        }
    }

    /// Another list takes over what is known by place: what is said of the wrong proxy is replaced by its next answer.
    pub(super) fn configure(&mut self, settings: &config::Exchange) {
        self.every = settings.every;
        self.life = self.every.times(LIFE).max(LEAST_LIFE);
        self.peers.truncate(settings.peers.len());
        while self.peers.len() < settings.peers.len() {
            self.peers.push(Peer::default());
        }
    }

    /// Whether there are other proxies to talk to.
    pub fn is_on(&self) -> bool {
        !self.peers.is_empty()
    }

    /// Shares are written this often: what is asked for once in an interval should not be one old when it is told.
    fn step(&self) -> Micros {
        Micros::new(self.every.get() / 4)
    }

    /// Longest answer that is read, in bytes.
    pub const fn most_bytes(&self) -> usize {
        self.most_bytes
    }

    /// Calls `ask` for every proxy whose last answer is not awaited any more, if it is time for a round; the next one is a pause later. An
    /// answer that takes longer than twice `timeout` is lost.
    pub(super) fn due(
        &mut self,
        now: Instant,
        addresses: &[Address],
        timeout: Micros,
        pause: impl FnOnce(Micros) -> Micros,
        mut ask: impl FnMut(Address) -> bool,
    ) {
        if !is_over(now, self.round.0, self.round.1) {
            return;
        }
        self.round = (now, pause(self.every));
        for (peer, address) in self.peers.iter_mut().zip(addresses) {
            let awaited = |asked| !is_over(now, asked, timeout.times(2));
            if !peer.asked.is_some_and(awaited) && ask(*address) {
                peer.asked = Some(now);
            }
        }
    }

    /// The proxy at `place` of the list has answered with `body`, or has not.
    pub(super) fn on_answer(
        &mut self,
        now: Instant,
        place: Option<usize>,
        body: Option<&[u8]>,
    ) -> Heard {
        if let Some(peer) = place.and_then(|place| self.peers.get_mut(place)) {
            peer.asked = None;
        }
        let Some(body) = body else {
            return Heard::Silence;
        };
        if body.len() > self.most_bytes || Share::new_checked(body).is_none() {
            return Heard::Refused;
        }
        // The same proxy at another address would count twice.
        let owner = share::owner_of(body);
        let mut known = owner == self.own.owner();
        let mut asked = None;
        for (at, peer) in self.peers.iter_mut().enumerate() {
            if Some(at) == place {
                asked = Some(peer);
            } else {
                let same = share::owner_of(&peer.share) == owner;
                known |= same && peer.is_heard(now, self.life);
            }
        }
        match asked {
            // The header holds the checksum of all the rest.
            Some(peer) if !known && peer.share.get(..HEADER) != body.get(..HEADER) => {
                peer.share.clear();
                peer.share.extend_from_slice(body);
                peer.at = now;
                self.news = true;
                Heard::Share
            }
            _ => Heard::Nothing,
        }
    }

    /// How many proxies are heard at `now`, and the age of the oldest of what they said.
    pub fn heard(&self, now: Instant) -> (u64, Micros) {
        let (mut heard, mut oldest) = (0, Micros::ZERO);
        for peer in &self.peers {
            if peer.is_heard(now, self.life) {
                heard += 1;
                oldest = oldest.max(now.since(peer.at));
            }
        }
        (heard, oldest)
    }

    /// Whether it is time to merge what the own workers do ([`Self::merge`], [`Self::write_own`]), and begins with it.
    pub fn begin(&mut self, now: Instant) -> bool {
        self.own.begin();
        self.is_on() && is_over(now, self.own_written, self.step())
    }

    /// Adds what a worker does: the bytes of its slot. Those that are no share, or an old one, add nothing.
    pub fn merge(&mut self, now: Instant, bytes: &[u8]) {
        if let Some(share) = Share::new_checked(bytes)
            && now.since(share.stamp()) <= WORKER_LIFE
        {
            self.own.add(now, &share);
        }
    }

    /// Writes what this proxy tells others. `before` is what it told last, whoever collected then, or nothing: this one goes on in its name,
    /// so that others, and this proxy itself, know it again.
    pub fn write_own(&mut self, now: Instant, before: &[u8], out: &mut Vec<u8>) {
        if !core::mem::replace(&mut self.named, true)
            && let Some(before) = Share::new_checked(before)
        {
            self.own.resume(before.owner(), before.next());
        }
        self.own_written = now;
        self.own.write(now, self.life, out);
    }

    /// Writes what the own workers are told of other proxies. False when it is not time to, or none of them is heard: workers forget on
    /// their own.
    pub fn write_others(&mut self, now: Instant, out: &mut Vec<u8>) -> bool {
        let pause = if self.news { self.step() } else { RENEW };
        if !self.is_on() || !is_over(now, self.others_written, pause) {
            return false;
        }
        self.news = false;
        self.others_written = now;
        self.others.begin();
        let mut heard = false;
        for peer in &self.peers {
            if let Some(share) = Share::again(&peer.share)
                && peer.is_heard(now, self.life)
            {
                self.others.add(now, &share);
                heard = true;
            }
        }
        self.others.write(now, self.life, out);
        heard
    }
}
