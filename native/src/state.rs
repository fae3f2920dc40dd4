//! What of one scrape the next one needs, in few bytes.

use crate::key::Key;
use crate::wire::{push_varint, read_varint};

/// As many columns as may be subtracted.
const MAX_COUNTERS: usize = 4;
const KEY_BYTES: usize = size_of::<Key>();

/// One scrape.
pub struct State {
    /// Stands for type and unit of all columns.
    pub types: Key,
    /// When it was.
    pub time_nanos: i64,
    /// What had been counted.
    pub entries: Entries,
}

impl State {
    /// How many bytes it takes.
    #[must_use]
    pub fn size(&self) -> usize {
        size_of::<Self>() + self.entries.bytes.capacity()
    }
}

/// The keys in ascending order with their counters, those with zeros only left out.
///
/// A key is 16 bytes; counters are varints (in zigzag, as they may be negative), so that most
/// entries take 22 to 25 bytes.
pub struct Entries {
    bytes: Vec<u8>,
    counters: usize,
}

/// One entry; counters that are not subtracted are 0.
#[derive(Clone, Copy)]
pub struct Entry {
    /// The sample's.
    pub key: Key,
    /// In the order of the columns.
    pub counters: [i64; MAX_COUNTERS],
}

impl Entries {
    /// Room for entries of so many counters, at most four.
    #[must_use]
    pub fn new(counters: usize) -> Self {
        Self { bytes: Vec::new(), counters }
    }

    /// Adds an entry, unless all its counters are 0. Keys come in ascending order.
    pub fn push(&mut self, key: Key, counters: impl Iterator<Item = i64> + Clone) {
        if counters.clone().all(|counter| counter == 0) {
            return;
        }
        self.bytes.extend_from_slice(&key.to_le_bytes());
        for counter in counters {
            push_varint(&mut self.bytes, (counter << 1 ^ counter >> 63).cast_unsigned());
        }
    }

    /// Gives back what is not needed.
    pub fn shrink(&mut self) {
        self.bytes.shrink_to_fit();
    }

    /// All entries in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = Entry> {
        let (mut rest, count) = (self.bytes.as_slice(), self.counters);
        std::iter::from_fn(move || {
            let (key, behind) = rest.split_at_checked(KEY_BYTES)?;
            rest = behind;
            let mut counters = [0; MAX_COUNTERS];
            for counter in counters.iter_mut().take(count) {
                *counter = pop(&mut rest)?;
            }
            Some(Entry { key: Key::from_le_bytes(key.try_into().ok()?), counters })
        })
    }
}

fn pop(from: &mut &[u8]) -> Option<i64> {
    let zigzag = read_varint(from).ok()?;
    Some((zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_back() {
        let kept = [(0, [1, -1]), (7, [0, i64::MAX]), (Key::MAX, [i64::MIN, 0])];
        let mut entries = Entries::new(2);
        for (key, counters) in kept {
            entries.push(key, counters.into_iter());
        }
        entries.push(Key::MAX, [0, 0].into_iter());
        let found: Vec<_> =
            entries.iter().map(|entry| (entry.key, [entry.counters[0], entry.counters[1]])).collect();
        assert_eq!(found, kept);
    }
}
