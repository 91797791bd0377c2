//! One answer for identical requests.
//!
//! # What it does
//! A request whose answer nothing but itself decides ([`crate::request::Facts::repeatable`]) and that was seen whole has a [`Key`]: whose it is, what
//! for, and every byte of its body. [`Reuse::arrive`] finds the answer to an identical one that was kept, or one under way that it can
//! follow, or makes it the one that others follow. The adapter brings the pieces of that one's answer ([`Reuse::push`]) and its end ([`Reuse::end`]);
//! with every tick it asks who need not wait any longer ([`Reuse::next`]).
//!
//! # Limits
//! Answers, kept or under way, take `bytes` at most: the kept one that was used longest ago gives way, and where none does the new one is not shared.
//! One that is longer than `answer_bytes`, fails, is cut, or tells of an error is not shared either; who followed it goes on alone, as does
//! whoever has followed for `max_wait`. Each worker has answers of its own.

mod key;
mod sip;
#[cfg(test)]
mod tests;

use alloc::vec::Vec;

pub use key::{Asked, Key};

use crate::config;
use crate::find;
use crate::observe::Body;
use crate::time::{Instant, Micros};

/// Answers at once, kept or under way: they are kept in order, and to insert one moves those behind it.
const MOST: usize = 1024;

/// Memory of an answer beside its content.
pub const OVERHEAD: usize = 128;

/// The request whose answer others share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flight {
    key: Key,
    number: u64,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Its answer is kept: [`Reuse::answer`] has it.
    Kept,
    /// It waits for the answer to another; [`Reuse::next`] names it.
    Follows,
    /// It is sent, and its answer is brought here.
    Leads(Flight),
    /// It is sent like any other.
    Alone,
}

/// A request that need not wait any longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freed {
    /// The adapter's name of it.
    pub tag: u32,
    /// Of its answer, which is there until the next call; `None` where it goes on alone.
    pub answer: Option<Key>,
}

/// An answer that is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer<'a> {
    /// What it is written in.
    pub body: Body,
    /// All of it.
    pub content: &'a [u8],
    /// Since it was whole.
    pub age: Micros,
}

#[derive(Clone, Debug)]
struct Entry {
    flight: Flight,
    body: Body,
    content: Vec<u8>,
    /// Its end was among the content.
    done: bool,
    /// When it was whole; `None` while it is under way.
    whole: Option<Instant>,
    used: Instant,
    /// Those that have not been answered yet.
    followers: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Waits,
    /// Its answer is whole.
    Served,
    /// There is none for it.
    Alone,
}

#[derive(Clone, Copy, Debug)]
struct Follower {
    tag: u32,
    flight: Flight,
    since: Instant,
    standing: Standing,
}

/// Answers of one worker, and who waits for them.
#[derive(Clone, Debug, Default)]
pub struct Reuse {
    config: config::Reuse,
    /// In the order of keys.
    entries: Vec<Entry>,
    /// In the order of arrival.
    followers: Vec<Follower>,
    bytes: usize,
    flights: u64,
}

impl Reuse {
    /// Takes over a new configuration: what was answered under another one is forgotten, and nobody waits for it.
    pub fn configure(&mut self, config: &config::Reuse) {
        self.config = config.clone();
        self.entries.clear();
        self.bytes = 0;
        for follower in &mut self.followers {
            follower.standing = Standing::Alone;
        }
    }

    /// Whether anything is shared.
    pub fn is_on(&self) -> bool {
        self.config.is_on()
    }

    /// Memory of all answers, bytes.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Requests that follow another.
    pub const fn following(&self) -> usize {
        self.followers.len()
    }

    fn place_of(&self, key: &Key) -> Result<usize, usize> {
        self.entries
            .binary_search_by(|entry| entry.flight.key.cmp(key))
    }

    /// Place of `flight` while it is under way.
    fn flying(&self, flight: Flight) -> Option<usize> {
        let place = self.place_of(&flight.key).ok()?;
        let entry = self.entries.get(place)?;
        (entry.flight == flight && entry.whole.is_none()).then_some(place)
    }

    fn remove(&mut self, place: usize) {
        if place < self.entries.len() {
            let entry = self.entries.remove(place);
            self.bytes = self.bytes.saturating_sub(size_of(&entry));
        }
    }

    /// Makes room for `more` bytes, if it can be had.
    fn make_room(&mut self, more: usize) -> bool {
        while self.bytes.saturating_add(more) > self.config.bytes || self.entries.len() >= MOST {
            let kept = (0..).zip(&self.entries);
            let idle = kept.filter(|(_, entry)| entry.whole.is_some() && entry.followers == 0);
            let Some((place, _)) = idle.min_by_key(|(_, entry)| entry.used) else {
                return false;
            };
            self.remove(place);
        }
        true
    }

    /// A request of `key` arrives; `tag` is the adapter's name of it.
    pub fn arrive(&mut self, now: Instant, key: Key, tag: u32) -> Found {
        if let Ok(place) = self.place_of(&key)
            && let Some(entry) = self.entries.get(place)
        {
            let (flight, followers) = (entry.flight, entry.followers);
            match entry.whole {
                Some(whole) if is_fresh(whole, now, self.config.ttl) => {
                    if let Some(entry) = self.entries.get_mut(place) {
                        entry.used = now;
                    }
                    return Found::Kept;
                }
                Some(_) if followers == 0 => self.remove(place),
                None if self.config.coalesce && self.followers.len() < self.config.followers => {
                    self.pin(flight, 1);
                    self.followers.push(Follower {
                        tag,
                        flight,
                        since: now,
                        standing: Standing::Waits,
                    });
                    return Found::Follows;
                }
                _ => return Found::Alone,
            }
        }
        self.lead(now, key)
    }

    fn lead(&mut self, now: Instant, key: Key) -> Found {
        if !self.make_room(OVERHEAD) {
            return Found::Alone;
        }
        let Err(place) = self.place_of(&key) else {
            return Found::Alone;
        };
        self.flights = self.flights.wrapping_add(1);
        let flight = Flight {
            key,
            number: self.flights,
        };
        let entry = Entry {
            flight,
            body: Body::Opaque,
            content: Vec::new(),
            done: false,
            whole: None,
            used: now,
            followers: 0,
        };
        self.bytes = self.bytes.saturating_add(size_of(&entry));
        self.entries.insert(place, entry);
        Found::Leads(flight)
    }

    /// The next piece of the answer of `flight`, which is written in `body`; with `done` it is whole after it. False when it is not shared any
    /// more: there is nothing left to bring.
    pub fn push(&mut self, flight: Flight, body: Body, piece: &[u8], done: bool) -> bool {
        let pushed = self.try_push(flight, body, piece, done).is_some();
        if !pushed {
            self.end_badly(flight);
        }
        pushed
    }

    fn try_push(&mut self, flight: Flight, body: Body, piece: &[u8], done: bool) -> Option<()> {
        let most = self.config.answer_bytes;
        let content = &self.entries.get(self.flying(flight)?)?.content;
        let len = content.len().saturating_add(piece.len());
        if len > most {
            return None;
        }
        // It grows as any vector does, but by steps that are accounted for.
        let capacity = len.next_power_of_two().min(most);
        let more = capacity.saturating_sub(content.capacity());
        if !self.make_room(more) {
            return None;
        }
        // Others may have gone to make the room.
        let place = self.flying(flight)?;
        let entry = self.entries.get_mut(place)?;
        let before = size_of(entry);
        if more > 0 {
            entry
                .content
                .reserve_exact(capacity.saturating_sub(entry.content.len()));
        }
        entry.body = body;
        entry.done |= done;
        entry.content.extend_from_slice(piece);
        self.bytes = self.bytes.saturating_sub(before) + size_of(entry);
        Some(())
    }

    /// The request of `flight` has ended, or its answer is none to share. What was brought of it counts only if it is whole.
    pub fn end(&mut self, now: Instant, flight: Flight) {
        let place = self.flying(flight);
        let entry = place.and_then(|at| self.entries.get_mut(at));
        let good = |entry: &&mut Entry| entry.done && !tells_of_an_error(&entry.content);
        let Some(entry) = entry.filter(good) else {
            return self.end_badly(flight);
        };
        let before = size_of(entry);
        entry.content.shrink_to_fit();
        entry.whole = Some(now);
        entry.used = now;
        self.bytes = self.bytes.saturating_sub(before) + size_of(entry);
        self.stand(flight, Standing::Served);
    }

    #[cold]
    fn end_badly(&mut self, flight: Flight) {
        if let Some(place) = self.flying(flight) {
            self.remove(place);
            self.stand(flight, Standing::Alone);
        }
    }

    /// All followers of `flight` stand so from now on.
    fn stand(&mut self, flight: Flight, standing: Standing) {
        for follower in &mut self.followers {
            if follower.flight == flight {
                follower.standing = standing;
            }
        }
    }

    fn pin(&mut self, flight: Flight, followers: isize) {
        if let Ok(place) = self.place_of(&flight.key)
            && let Some(entry) = self.entries.get_mut(place)
            && entry.flight == flight
        {
            entry.followers = entry.followers.saturating_add_signed(followers);
        }
    }

    /// The answer of `key`, if it is whole.
    pub fn answer(&self, now: Instant, key: &Key) -> Option<Answer<'_>> {
        let entry = self.entries.get(self.place_of(key).ok()?)?;
        Some(Answer {
            body: entry.body,
            content: &entry.content,
            age: now.since(entry.whole?),
        })
    }

    /// The request called `tag` does not wait any more: its client has left.
    pub fn leave(&mut self, tag: u32) {
        if let Some(place) = self.followers.iter().position(|of| of.tag == tag) {
            let follower = self.followers.remove(place);
            self.pin(follower.flight, -1);
        }
    }

    /// The next request that need not wait any longer, the first to come first.
    pub fn next(&mut self, now: Instant) -> Option<Freed> {
        let patience = self.config.max_wait;
        let place = self.followers.iter().position(|follower| {
            follower.standing != Standing::Waits || now.since(follower.since) >= patience
        })?;
        let follower = self.followers.remove(place);
        self.pin(follower.flight, -1);
        let served = follower.standing == Standing::Served;
        Some(Freed {
            tag: follower.tag,
            answer: served.then_some(follower.flight.key),
        })
    }

    /// Time passes: what is too old is forgotten.
    pub fn on_tick(&mut self, now: Instant) {
        for follower in &mut self.followers {
            // A clock that was set back must not make anybody wait until it has caught up.
            follower.since = follower.since.min(now);
        }
        let ttl = self.config.ttl;
        for place in (0..self.entries.len()).rev() {
            let old = self.entries.get(place).is_some_and(|entry| {
                let fresh = entry.whole.is_none_or(|whole| is_fresh(whole, now, ttl));
                entry.followers == 0 && !fresh
            });
            if old {
                self.remove(place);
            }
        }
    }
}

/// Whether an answer that was whole at `whole` may be given to others.
fn is_fresh(whole: Instant, now: Instant, ttl: Micros) -> bool {
    // A clock that was set back must not keep it for longer.
    whole <= now && now.since(whole) < ttl
}

const fn size_of(entry: &Entry) -> usize {
    entry.content.capacity().saturating_add(OVERHEAD)
}

/// Whether an answer tells of an error within: engines do so when its head is already out. Quotes in generated text are escaped, so text alone never reads so.
fn tells_of_an_error(content: &[u8]) -> bool {
    const NAME: &[u8] = b"\"error\"";
    let mut rest = content;
    while let Some(at) = find::byte(b':', rest) {
        let (before, after) = rest.split_at_checked(at).unwrap_or_default();
        rest = after.get(1..).unwrap_or_default();
        if before.trim_ascii_end().ends_with(NAME) && !rest.trim_ascii_start().starts_with(b"null")
        {
            return true;
        }
    }
    false
}
