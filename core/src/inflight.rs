//! Requests that were sent and have not ended.
//!
//! A fixed-size slab: a [`Ticket`] names a place and the generation of its tenant, so a ticket used twice, or after its request has
//! ended, does nothing.

use alloc::vec::Vec;

use crate::admit::Hold;
use crate::cost::CostClass;
use crate::observe::Usage;
use crate::time::{Instant, Micros};

/// Names a request in flight. [`Ticket::NONE`] names none: the table was full, and the request is served unaccounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    place: u32,
    generation: u32,
}

impl Ticket {
    /// No request.
    pub const NONE: Self = Self {
        place: u32::MAX,
        generation: 0,
    };
}

/// One request in flight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flight {
    /// Index of the host that serves it.
    pub host: u16,
    /// Whether the answer is streamed, so that its first token will be seen.
    pub stream: bool,
    /// Whether it still counts as prefilling.
    pub prefilling: bool,
    /// When it was sent.
    pub sent: Instant,
    /// When the last token came; the time it was sent before any.
    pub last_token: Instant,
    /// Whether it was sent while its host's breaker was not closed.
    pub probe: bool,
    /// Whether it has been silent for longer than its host ever is.
    pub stalled: bool,
    /// Content events so far.
    pub tokens: u32,
    /// Bytes of its prompt.
    pub prompt_bytes: u64,
    /// Tokens of its prompt, estimated.
    pub prompt_tokens: u64,
    /// Tokens that its host had cached, by the index.
    pub known_tokens: u64,
    /// Tokens credited beyond that because the host is its home.
    pub credited_tokens: u64,
    /// Tokens to be prefilled.
    pub uncached_tokens: u64,
    /// Tokens that were queued there before it.
    pub queued_tokens: u64,
    /// Time to its first token, until that has been learned from. A request that was tried elsewhere first teaches nothing.
    pub lesson: Option<Micros>,
    /// Whether its time to first token says something of its host.
    pub teaches: bool,
    /// The last usage that its answer reported.
    pub usage: Option<Usage>,
    /// KV tokens it will hold.
    pub kv_tokens: u64,
    /// What to learn its usage under.
    pub class: CostClass,
    /// What it has reserved of its tenant's budgets.
    pub hold: Hold,
}

impl Flight {
    /// Uncached tokens to be computed until its first token, its own included.
    pub const fn ahead(&self) -> u64 {
        self.queued_tokens.saturating_add(self.uncached_tokens)
    }
}

#[derive(Clone, Debug)]
struct Place {
    generation: u32,
    flight: Option<Flight>,
}

/// The slab.
#[derive(Clone, Debug)]
pub struct Inflight {
    places: Vec<Place>,
    free: Vec<u32>,
    /// Places from here on are empty, so that a walk costs what is in flight and not what could be.
    high: usize,
    untracked: u64,
}

impl Inflight {
    /// A slab of `capacity` places, allocated at once.
    pub fn new(capacity: usize) -> Self {
        let capacity = capacity.min(u32::MAX as usize - 1);
        let mut places = Vec::with_capacity(capacity);
        places.resize(
            capacity,
            Place {
                generation: 0,
                flight: None,
            },
        );
        let free = (0..capacity as u32).rev().collect();
        Self {
            places,
            free,
            high: 0,
            untracked: 0,
        }
    }

    /// Requests in flight.
    pub fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Whether nothing is in flight.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Requests that found no place.
    pub fn untracked(&self) -> u64 {
        self.untracked
    }

    /// Adds a request.
    pub fn begin(&mut self, flight: Flight) -> Ticket {
        let Some(place) = self.free.pop() else {
            self.untracked = self.untracked.saturating_add(1);
            return Ticket::NONE;
        };
        match self.places.get_mut(place as usize) {
            Some(slot) => {
                slot.flight = Some(flight);
                self.high = self.high.max(place as usize + 1);
                Ticket {
                    place,
                    generation: slot.generation,
                }
            }
            None => Ticket::NONE,
        }
    }

    /// The request of `ticket`, if it has not ended.
    pub fn get_mut(&mut self, ticket: Ticket) -> Option<&mut Flight> {
        let slot = self.places.get_mut(ticket.place as usize)?;
        if slot.generation == ticket.generation {
            slot.flight.as_mut()
        } else {
            None
        }
    }

    /// Ends the request of `ticket`; `None` when it has ended before.
    pub fn end(&mut self, ticket: Ticket) -> Option<Flight> {
        let slot = self.places.get_mut(ticket.place as usize)?;
        if slot.generation != ticket.generation {
            return None;
        }
        let flight = slot.flight.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(ticket.place);
        while self.high > 0
            && self
                .places
                .get(self.high - 1)
                .is_none_or(|place| place.flight.is_none())
        {
            self.high -= 1;
        }
        Some(flight)
    }

    /// Every request in flight.
    pub fn iter(&self) -> impl Iterator<Item = &Flight> {
        self.places
            .iter()
            .take(self.high)
            .filter_map(|place| place.flight.as_ref())
    }

    /// Every request in flight.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Flight> {
        self.places
            .iter_mut()
            .take(self.high)
            .filter_map(|place| place.flight.as_mut())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_ends_once() {
        let mut slab = Inflight::new(2);
        let a = slab.begin(Flight {
            host: 1,
            ..Flight::default()
        });
        let b = slab.begin(Flight {
            host: 2,
            ..Flight::default()
        });
        let c = slab.begin(Flight::default());
        assert_eq!((c, slab.untracked(), slab.len()), (Ticket::NONE, 1, 2));
        assert_eq!(slab.get_mut(b).map(|f| f.host), Some(2));
        assert_eq!(slab.end(a).map(|f| f.host), Some(1));
        assert_eq!(slab.end(a), None);
        let d = slab.begin(Flight {
            host: 4,
            ..Flight::default()
        });
        assert!(slab.get_mut(a).is_none(), "the place has a new tenant");
        assert_eq!(slab.get_mut(d).map(|f| f.host), Some(4));
        assert!(slab.end(Ticket::NONE).is_none() && slab.get_mut(Ticket::NONE).is_none());
        slab.end(b);
        slab.end(d);
        assert!(slab.is_empty());
    }
}
