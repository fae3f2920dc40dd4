//! The difference of two cumulative profiles, as in `pprof/oracle.py`, which tells what and why.

use crate::assembly::assemble;
use crate::gunzip::decompress;
use crate::key::{Key, Keys, Seed};
use crate::profile::Profile;
use crate::refusal::{Reason, Refusal};
use crate::state::{Entries, State};
use crate::wire::Broken;

const SUBTRACTED: [(&[u8], &[u8]); 4] = [
    (b"alloc_objects", b"count"),
    (b"alloc_space", b"bytes"),
    (b"contentions", b"count"),
    (b"delay", b"nanoseconds"),
];
const MAX_COLUMNS: usize = 4;

/// What happened between two scrapes: a profile as raw protobuf and the number of its samples.
pub struct Difference {
    /// Not compressed.
    pub raw: Vec<u8>,
    /// 0 if nothing happened; the profile has only its header then.
    pub samples: usize,
}

/// Takes the differences of one series of cumulative profiles.
pub struct Computer {
    seed: Seed,
    last: Option<State>,
}

impl Computer {
    /// Without a profile before.
    #[must_use]
    pub fn new(seed: Seed) -> Self {
        Self { seed, last: None }
    }

    /// How many bytes the state takes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.last.as_ref().map_or(0, State::size)
    }

    /// Forgets the state: the next profile is the baseline.
    pub fn reset(&mut self) {
        self.last = None;
    }

    /// The difference of `body` (gzip or raw) to the profile before; None if it became the baseline instead.
    ///
    /// `limit` bounds the uncompressed size in bytes. A refusal changes nothing.
    pub fn difference(&mut self, body: &[u8], limit: usize) -> Result<Option<Difference>, Refusal> {
        let raw = decompress(body, limit)?;
        let profile = Profile::parse(&raw)?;
        let mut rows = Rows::of(&profile, &raw, &self.seed)?;
        let columns = subtracted_columns(&profile)?;
        rows.merge()?;
        let current = rows.state(&columns, profile.time_nanos, self.seed.hash(&types(&profile)));
        let changed = self.last.as_ref().and_then(|last| rows.subtract(&columns, &current, last));
        let difference = changed.map(|changed| {
            let duration = duration(self.last.as_ref().map_or(0, |last| last.time_nanos), profile.time_nanos);
            let raw = assemble(&profile, &changed, &rows.values, duration)?;
            Ok(Difference { raw, samples: changed.len() })
        });
        let difference = difference.transpose().map_err(|Broken| {
            // What was read once can be read again.
            Refusal::new(Reason::NotAProfile, "the body is no pprof profile: the protobuf is broken")
        })?;
        self.last = Some(current); // not before everything that may fail has gone well
        Ok(difference)
    }
}

/// The samples: keys, and values one after another.
struct Rows {
    /// Key and number of each sample; sorted and without equal keys once they are merged.
    keys: Vec<(Key, u32)>,
    values: Vec<i64>,
    columns: usize,
}

impl Rows {
    fn of(profile: &Profile<'_>, raw: &[u8], seed: &Seed) -> Result<Self, Refusal> {
        let (count, columns) = (profile.samples.len(), profile.sample_types.len());
        let mut rows = Self { keys: Vec::with_capacity(count), values: Vec::new(), columns };
        let mut keys = Keys::new(profile, seed);
        let mut numbers = 0..;
        profile.each_sample(raw, |sample| {
            rows.keys.push((keys.of(sample), numbers.next().unwrap_or_default()));
            rows.values.extend_from_slice(&sample.values);
            Ok(())
        })?;
        Ok(rows)
    }

    /// Sorts by key; equal ones are summed into the first of them.
    fn merge(&mut self) -> Result<(), Refusal> {
        self.keys.sort_unstable();
        let mut overflow = false;
        let (values, columns) = (&mut self.values, self.columns);
        self.keys.dedup_by(|(key, row), (first_key, first_row)| {
            if key != first_key {
                return false;
            }
            let (row, first_row) = (*row as usize * columns, *first_row as usize * columns);
            for column in 0..columns {
                match values[first_row + column].checked_add(values[row + column]) {
                    Some(sum) => values[first_row + column] = sum,
                    None => overflow = true,
                }
            }
            true
        });
        if overflow {
            return Err(Refusal::new(
                Reason::NotAProfile,
                "the values of equal samples add up to more than 64 bits",
            ));
        }
        Ok(())
    }

    fn values_of(&self, row: u32) -> &[i64] {
        let start = row as usize * self.columns;
        &self.values[start..start + self.columns]
    }

    fn state(&self, columns: &[usize], time_nanos: i64, types: Key) -> State {
        let mut entries = Entries::new(columns.len());
        for &(key, row) in &self.keys {
            let values = self.values_of(row);
            entries.push(key, columns.iter().map(|&column| values[column]));
        }
        entries.shrink();
        State { types, time_nanos, entries }
    }

    /// Subtracts `last` and tells the samples that are not zero then, in the order of the profile.
    ///
    /// None if it can't be subtracted: the columns are others, a key is gone or a value fell.
    fn subtract(&mut self, columns: &[usize], current: &State, last: &State) -> Option<Vec<u32>> {
        if last.types != current.types {
            return None;
        }
        let mut changed = Vec::new();
        let mut before = last.entries.iter();
        let mut next = before.next();
        for &(key, row) in &self.keys {
            let start = row as usize * self.columns;
            let values = &mut self.values[start..start + self.columns];
            let known = next.filter(|entry| entry.key <= key);
            if known.is_some_and(|entry| entry.key < key) {
                return None; // it is gone
            }
            for (index, &column) in columns.iter().enumerate() {
                let was = known.map_or(0, |entry| entry.counters[index]);
                // Above 64 bits: only after a negative counter.
                values[column] = values[column].checked_sub(was).filter(|&left| left >= 0)?;
            }
            if known.is_some() {
                next = before.next();
            }
            if values.iter().any(|&value| value != 0) {
                changed.push(row);
            }
        }
        if next.is_some() {
            return None;
        }
        changed.sort_unstable();
        Some(changed)
    }
}

/// The indexes of the columns to subtract, at least one.
fn subtracted_columns(profile: &Profile<'_>) -> Result<Vec<usize>, Refusal> {
    let count = profile.sample_types.len();
    if count > MAX_COLUMNS {
        let message = format!("the profile has {count} sample types, more than {MAX_COLUMNS}");
        return Err(Refusal::new(Reason::NotCumulative, message));
    }
    let is_subtracted = |index: &usize| {
        let value_type = profile.sample_types[*index];
        SUBTRACTED.contains(&(profile.string(value_type.kind), profile.string(value_type.unit)))
    };
    let columns: Vec<usize> = (0..count).filter(is_subtracted).collect();
    if columns.is_empty() {
        let message = "the profile has no cumulative sample type that is known";
        return Err(Refusal::new(Reason::NotCumulative, message));
    }
    Ok(columns)
}

/// Type and unit of all columns, free of ambiguity.
fn types(profile: &Profile<'_>) -> Vec<u8> {
    let mut types = Vec::new();
    for value_type in &profile.sample_types {
        for index in [value_type.kind, value_type.unit] {
            let text = profile.string(index);
            types.extend_from_slice(&text.len().to_le_bytes());
            types.extend_from_slice(text);
        }
    }
    types
}

/// Nanoseconds between two profile times; 0 (unknown) if a time is missing or the clock went backwards.
fn duration(last: i64, current: i64) -> i64 {
    if last > 0 { current.saturating_sub(last).max(0) } else { 0 }
}
