//! Requests that wait: a slab of fixed size. A [`Waiting`] names a place and its generation, so one used twice does nothing.

use alloc::vec::Vec;

use super::account::Hold;
use super::shed::ShedReason;
use crate::time::Instant;

/// Names a request that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    place: u32,
    generation: u32,
}

/// What is to become of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It waits.
    InLine,
    /// It was let through; its request has not been sent yet.
    LetThrough,
    /// It gave way; the adapter has not been told yet.
    CastOut(ShedReason),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) hold: Hold,
    pub(super) tier: u8,
    pub(super) standing: Standing,
    pub(super) bytes: u64,
    pub(super) model: u64,
    pub(super) entered: Instant,
    /// When its first token is wanted; the order among requests of one tenant.
    pub(super) due: Instant,
    /// Order of arrival.
    pub(super) number: u64,
    /// The adapter's name of it.
    pub(super) tag: u32,
}

#[derive(Clone, Debug)]
pub(super) struct Queue {
    places: Vec<(u32, Option<Entry>)>,
    free: Vec<u32>,
    /// Entries in line, and their bytes.
    pub(super) in_line: usize,
    pub(super) bytes: u64,
    next: u64,
}

impl Queue {
    /// A queue of `capacity` in line. As many again may have given way without the adapter knowing yet.
    pub(super) fn new(capacity: usize) -> Self {
        let places = capacity.saturating_mul(2);
        Self {
            places: (0..places).map(|_| (0, None)).collect(),
            free: (0..places as u32).rev().collect(),
            in_line: 0,
            bytes: 0,
            next: 0,
        }
    }

    /// Whether nothing is in it, those let through or cast out included.
    pub(super) fn is_empty(&self) -> bool {
        self.free.len() == self.places.len()
    }

    pub(super) fn push(&mut self, mut entry: Entry) -> Option<Waiting> {
        let place = self.free.pop()?;
        let (generation, slot) = self.places.get_mut(place as usize)?;
        self.next += 1;
        entry.number = self.next;
        self.in_line += 1;
        self.bytes = self.bytes.saturating_add(entry.bytes);
        *slot = Some(entry);
        Some(Waiting {
            place,
            generation: *generation,
        })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Waiting, &Entry)> {
        (0u32..)
            .zip(&self.places)
            .filter_map(|(place, (generation, entry))| {
                let waiting = Waiting {
                    place,
                    generation: *generation,
                };
                entry.as_ref().map(|entry| (waiting, entry))
            })
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.places
            .iter_mut()
            .filter_map(|(_, entry)| entry.as_mut())
    }

    /// Takes `waiting` out of the line: it keeps its place until it is removed.
    pub(super) fn step_out(&mut self, waiting: Waiting, standing: Standing) -> Option<Entry> {
        let (generation, slot) = self.places.get_mut(waiting.place as usize)?;
        let entry = slot.as_mut().filter(|entry| {
            *generation == waiting.generation && entry.standing == Standing::InLine
        })?;
        entry.standing = standing;
        self.in_line = self.in_line.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(entry.bytes);
        Some(*entry)
    }

    pub(super) fn get(&self, waiting: Waiting) -> Option<&Entry> {
        let (generation, entry) = self.places.get(waiting.place as usize)?;
        entry.as_ref().filter(|_| *generation == waiting.generation)
    }

    /// Removes `waiting`; `None` when it has been removed before.
    pub(super) fn remove(&mut self, waiting: Waiting) -> Option<Entry> {
        let (generation, slot) = self.places.get_mut(waiting.place as usize)?;
        if *generation != waiting.generation {
            return None;
        }
        let entry = slot.take()?;
        *generation = generation.wrapping_add(1);
        self.free.push(waiting.place);
        if entry.standing == Standing::InLine {
            self.in_line = self.in_line.saturating_sub(1);
            self.bytes = self.bytes.saturating_sub(entry.bytes);
        }
        Some(entry)
    }
}
