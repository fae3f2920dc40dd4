//! A new profile made of some samples of another, as in `pprof/assembly.py`.

use crate::profile::{Function, Location, Mapping, Profile, Sample, ValueType};
use crate::wire::{Wire, push_varint};

/// A profile of the samples with the numbers `rows`, which have been checked, in raw protobuf.
///
/// `values` are those of all samples of `source`, with the new ones where a sample is in `rows`.
/// Locations, functions and strings that are no longer used are left out; ids stay.
pub fn assemble(source: &Profile<'_>, rows: &[u32], values: &[i64], duration_nanos: i64) -> Wire<Vec<u8>> {
    let mut strings = Strings::new(source);
    let header = Header::new(source, &mut strings);
    let mut mappings = Writer::default();
    for mapping in &source.mappings {
        mappings.message(3, |to| write_mapping(to, mapping, &mut strings));
    }
    let mut result = Writer::default();
    for value_type in &header.sample_types {
        result.message(1, |to| write_type(to, *value_type));
    }
    let mut used = Used::new(source);
    write_samples(source, rows, values, &mut result, &mut strings, &mut used)?;
    result.bytes.append(&mut mappings.bytes);
    write_places(source, &mut result, &mut strings, &mut used);
    for index in strings.kept {
        result.bytes(6, source.string(index));
    }
    header.write_rest(source, duration_nanos, &mut result);
    Ok(result.bytes)
}

/// The new string table, filled in the order of use; "" stays at 0.
struct Strings {
    moved: Vec<u32>,
    /// The old index of each string of the new table.
    kept: Vec<i64>,
}

impl Strings {
    fn new(source: &Profile<'_>) -> Self {
        Self { moved: vec![0; source.strings.len()], kept: vec![0] }
    }

    /// The new index of the string that had `index`, which has been checked, in the old table.
    fn move_(&mut self, index: i64) -> u64 {
        let slot = usize::try_from(index).ok().and_then(|index| self.moved.get_mut(index));
        let Some(slot) = slot.filter(|_| index != 0) else { return 0 };
        if *slot == 0 {
            *slot = u32::try_from(self.kept.len()).unwrap_or_default();
            self.kept.push(index);
        }
        u64::from(*slot)
    }

    fn move_type(&mut self, value_type: ValueType) -> ValueType {
        let mut moved = |index| self.move_(index).cast_signed();
        ValueType { kind: moved(value_type.kind), unit: moved(value_type.unit) }
    }
}

/// Which locations and functions are used.
struct Used {
    locations: Vec<bool>,
    functions: Vec<bool>,
}

impl Used {
    fn new(source: &Profile<'_>) -> Self {
        Self {
            locations: vec![false; source.locations.len()],
            functions: vec![false; source.functions.len()],
        }
    }
}

/// What is said about the profile as a whole, with indexes of the new string table.
struct Header {
    sample_types: Vec<ValueType>,
    period_type: ValueType,
    comments: Vec<u64>,
    drop_frames: u64,
    keep_frames: u64,
    default_sample_type: u64,
    doc_url: u64,
}

impl Header {
    fn new(source: &Profile<'_>, strings: &mut Strings) -> Self {
        Self {
            sample_types: source.sample_types.iter().map(|&kind| strings.move_type(kind)).collect(),
            period_type: strings.move_type(source.period_type.unwrap_or_default()),
            comments: source.comments.iter().map(|&index| strings.move_(index)).collect(),
            drop_frames: strings.move_(source.drop_frames),
            keep_frames: strings.move_(source.keep_frames),
            default_sample_type: strings.move_(source.default_sample_type),
            doc_url: strings.move_(source.doc_url),
        }
    }

    /// Everything that comes behind the string table.
    fn write_rest(&self, source: &Profile<'_>, duration_nanos: i64, to: &mut Writer) {
        to.number(7, self.drop_frames);
        to.number(8, self.keep_frames);
        to.number(9, source.time_nanos.cast_unsigned());
        to.number(10, duration_nanos.cast_unsigned());
        // Always there, even if empty: the server dereferences it.
        to.message(11, |to| write_type(to, self.period_type));
        to.number(12, source.period.cast_unsigned());
        to.numbers(13, self.comments.iter().copied());
        to.number(14, self.default_sample_type);
        to.number(15, self.doc_url);
    }
}

fn write_samples(
    source: &Profile<'_>,
    rows: &[u32],
    values: &[i64],
    to: &mut Writer,
    strings: &mut Strings,
    used: &mut Used,
) -> Wire<()> {
    let (columns, mut sample) = (source.sample_types.len(), Sample::default());
    for &row in rows {
        let row = row as usize;
        source.read_sample(row, &mut sample)?;
        for &place in &sample.places {
            if let Some(flag) = used.locations.get_mut(place as usize) {
                *flag = true;
            }
        }
        let values = values.get(row * columns..(row + 1) * columns).unwrap_or_default();
        to.message(2, |to| write_sample(to, &sample, values, strings));
    }
    Ok(())
}

fn write_sample(to: &mut Writer, sample: &Sample, values: &[i64], strings: &mut Strings) {
    to.numbers(1, sample.location_ids.iter().copied());
    to.numbers(2, values.iter().map(|value| value.cast_unsigned()));
    for label in &sample.labels {
        to.message(3, |to| {
            to.number(1, strings.move_(label.key));
            to.number(2, strings.move_(label.text));
            to.number(3, label.number.cast_unsigned());
            to.number(4, strings.move_(label.unit));
        });
    }
}

/// The locations that are used, and the functions that these use.
fn write_places(source: &Profile<'_>, to: &mut Writer, strings: &mut Strings, used: &mut Used) {
    for (location, _) in source.locations.iter().zip(&used.locations).filter(|(_, used)| **used) {
        for line in source.lines_of(location) {
            let function = source.function_of(line).and_then(|index| used.functions.get_mut(index));
            if let Some(flag) = function {
                *flag = true;
            }
        }
        to.message(4, |to| write_location(to, source, location));
    }
    for (function, _) in source.functions.iter().zip(&used.functions).filter(|(_, used)| **used) {
        to.message(5, |to| write_function(to, function, strings));
    }
}

fn write_type(to: &mut Writer, value_type: ValueType) {
    to.number(1, value_type.kind.cast_unsigned());
    to.number(2, value_type.unit.cast_unsigned());
}

fn write_mapping(to: &mut Writer, mapping: &Mapping, strings: &mut Strings) {
    for (field, &number) in (1..).zip(&mapping.numbers) {
        to.number(field, number);
    }
    to.number(5, strings.move_(mapping.filename));
    to.number(6, strings.move_(mapping.build_id));
    for (field, &flag) in (7..).zip(&mapping.flags) {
        to.number(field, flag.into());
    }
}

fn write_location(to: &mut Writer, source: &Profile<'_>, location: &Location) {
    to.number(1, location.id);
    to.number(2, location.mapping_id);
    to.number(3, location.address);
    for line in source.lines_of(location) {
        to.message(4, |to| {
            to.number(1, line.function_id);
            to.number(2, line.line.cast_unsigned());
            to.number(3, line.column.cast_unsigned());
        });
    }
    to.number(5, location.is_folded.into());
}

fn write_function(to: &mut Writer, function: &Function, strings: &mut Strings) {
    to.number(1, function.id);
    for (field, &index) in (2..).zip(&function.names) {
        to.number(field, strings.move_(index));
    }
    to.number(5, function.start_line.cast_unsigned());
}

/// Writes the fields of messages.
#[derive(Default)]
struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// A number, unless it is 0, which is the default.
    fn number(&mut self, field: u8, number: u64) {
        if number != 0 {
            self.bytes.push(field << 3);
            self.varint(number);
        }
    }

    fn bytes(&mut self, field: u8, bytes: &[u8]) {
        self.bytes.push(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.bytes.extend_from_slice(bytes);
    }

    fn message(&mut self, field: u8, write: impl FnOnce(&mut Self)) {
        self.bytes.push(field << 3 | 2);
        self.delimited(write);
    }

    /// Packed numbers, if there are any.
    fn numbers(&mut self, field: u8, numbers: impl ExactSizeIterator<Item = u64>) {
        if numbers.len() > 0 {
            self.bytes.push(field << 3 | 2);
            self.delimited(|to| numbers.for_each(|number| to.varint(number)));
        }
    }

    /// What `write` writes, with its length in front, for which most need one byte.
    fn delimited(&mut self, write: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.bytes.push(0);
        write(self);
        let length = self.bytes.len() - start - 1;
        if let (Ok(length @ ..0x80), Some(slot)) = (u8::try_from(length), self.bytes.get_mut(start)) {
            *slot = length;
            return;
        }
        let mut front = Self::default();
        front.varint(length as u64);
        self.bytes.splice(start..=start, front.bytes);
    }

    fn varint(&mut self, number: u64) {
        push_varint(&mut self.bytes, number);
    }
}
