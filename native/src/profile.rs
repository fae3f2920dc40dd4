//! A profile whose references all hold; the same checks as in `pprof/check.py`.

use crate::budget::within_budget;
use crate::gunzip::MAGIC;
use crate::ids::Ids;
use crate::refusal::{Reason, Refusal};
use crate::wire::{Broken, Content, Fields, Wire, push_numbers};

/// What the values of a column are: string indexes of type and unit.
#[derive(Clone, Copy, Default)]
pub struct ValueType {
    /// What is counted.
    pub kind: i64,
    /// In which unit.
    pub unit: i64,
}

/// A binary or library in memory.
#[derive(Default)]
pub struct Mapping {
    /// `id`, `memory_start`, `memory_limit`, `file_offset`: fields 1 to 4.
    pub numbers: [u64; 4],
    /// Index of its file name.
    pub filename: i64,
    /// Index of its build id.
    pub build_id: i64,
    /// `has_functions`, `has_filenames`, `has_line_numbers`, `has_inline_frames`: fields 7 to 10.
    pub flags: [bool; 4],
}

/// A place in the program.
#[derive(Default)]
pub struct Location {
    /// Its id.
    pub id: u64,
    /// Its mapping's id, or 0.
    pub mapping_id: u64,
    /// Its address, or 0.
    pub address: u64,
    /// Where its lines begin and end in `Profile::lines`.
    pub lines: (u32, u32),
    /// Whether several addresses are one.
    pub is_folded: bool,
}

/// A line of source.
#[derive(Default)]
pub struct Line {
    /// Its function's id.
    pub function_id: u64,
    /// Its number.
    pub line: i64,
    /// Its column.
    pub column: i64,
}

/// A function.
#[derive(Default)]
pub struct Function {
    /// Its id.
    pub id: u64,
    /// Indexes of its name, its name in the binary and its file.
    pub names: [i64; 3],
    /// The line where it starts.
    pub start_line: i64,
}

/// A label of a sample.
#[derive(Clone, Copy, Default)]
pub struct Label {
    /// Indexes of key, text and unit.
    pub key: i64,
    /// See `key`.
    pub text: i64,
    /// The number, if it is one.
    pub number: i64,
    /// See `key`.
    pub unit: i64,
}

/// One sample, read again and again into the same room.
#[derive(Default)]
pub struct Sample {
    /// Ids of the locations, and where they are in `Profile::locations` once it has been checked.
    pub location_ids: Vec<u64>,
    /// See `location_ids`.
    pub places: Vec<u32>,
    /// One for each sample type, once it has been checked.
    pub values: Vec<i64>,
    /// In the order of the profile.
    pub labels: Vec<Label>,
}

/// A profile. Samples and strings stay where they are in the body.
#[derive(Default)]
pub struct Profile<'a> {
    /// What the columns are.
    pub sample_types: Vec<ValueType>,
    /// Each a message of its own.
    pub samples: Vec<&'a [u8]>,
    /// All of them.
    pub mappings: Vec<Mapping>,
    /// All of them.
    pub locations: Vec<Location>,
    /// Those of all locations.
    pub lines: Vec<Line>,
    /// All of them.
    pub functions: Vec<Function>,
    /// The string table.
    pub strings: Vec<&'a [u8]>,
    /// Index of a regular expression.
    pub drop_frames: i64,
    /// Index of a regular expression.
    pub keep_frames: i64,
    /// When it was made.
    pub time_nanos: i64,
    /// What a sample stands for, if that is said.
    pub period_type: Option<ValueType>,
    /// See `period_type`.
    pub period: i64,
    /// Indexes of comments.
    pub comments: Vec<i64>,
    /// Index of a sample type's name.
    pub default_sample_type: i64,
    /// Index of a URL.
    pub doc_url: i64,
    location_ids: Ids,
    function_ids: Ids,
}

impl<'a> Profile<'a> {
    /// The profile in `raw` with everything checked but its samples.
    pub fn parse(raw: &'a [u8]) -> Result<Self, Refusal> {
        if raw.is_empty() {
            return Err(Refusal::new(Reason::EmptyBody, "the target sent an empty body"));
        }
        if !within_budget(raw)? {
            return Err(not_a_profile(raw, BROKEN));
        }
        let mut profile = Self::default();
        profile.read(raw).map_err(|Broken| not_a_profile(raw, BROKEN))?;
        profile.check().map_err(|problem| not_a_profile(raw, problem))?;
        Ok(profile)
    }

    /// Reads and checks all samples of the profile in `raw`, and shows each to `visit`.
    pub fn each_sample(
        &self,
        raw: &[u8],
        mut visit: impl FnMut(&Sample) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let mut sample = Sample::default();
        for message in &self.samples {
            sample.read(message).map_err(|Broken| not_a_profile(raw, BROKEN))?;
            self.check_sample(&mut sample).map_err(|problem| not_a_profile(raw, problem))?;
            visit(&sample)?;
        }
        Ok(())
    }

    /// Reads a sample that has been checked before.
    pub fn read_sample(&self, index: usize, sample: &mut Sample) -> Wire<()> {
        sample.read(self.samples.get(index).ok_or(Broken)?)?;
        self.find_places(sample).map_err(|_| Broken)
    }

    /// Where the function of a line is in `functions`.
    #[must_use]
    pub fn function_of(&self, line: &Line) -> Option<usize> {
        self.function_ids.find(line.function_id)
    }

    /// The lines of a location.
    #[must_use]
    pub fn lines_of(&self, location: &Location) -> &[Line] {
        let (start, end) = location.lines;
        self.lines.get(start as usize..end as usize).unwrap_or_default()
    }

    /// A string of the table; indexes have been checked.
    #[must_use]
    pub fn string(&self, index: i64) -> &'a [u8] {
        usize::try_from(index).ok().and_then(|index| self.strings.get(index)).copied().unwrap_or_default()
    }

    fn read(&mut self, raw: &'a [u8]) -> Wire<()> {
        let mut fields = Fields::new(raw, 0);
        while let Some((number, content)) = fields.advance()? {
            match (number, content) {
                (1, Content::Bytes(message)) => {
                    let mut value_type = ValueType::default();
                    value_type.read(message)?;
                    self.sample_types.push(value_type);
                }
                (2, Content::Bytes(message)) => self.samples.push(message),
                (3, Content::Bytes(message)) => self.mappings.push(Mapping::read(message)?),
                (4, Content::Bytes(message)) => self.read_location(message)?,
                (5, Content::Bytes(message)) => self.functions.push(Function::read(message)?),
                (6, Content::Bytes(string)) => self.strings.push(string),
                (7, Content::Varint(index)) => self.drop_frames = index.cast_signed(),
                (8, Content::Varint(index)) => self.keep_frames = index.cast_signed(),
                (9, Content::Varint(nanos)) => self.time_nanos = nanos.cast_signed(),
                (11, Content::Bytes(message)) => self.period_type.get_or_insert_default().read(message)?,
                (12, Content::Varint(number)) => self.period = number.cast_signed(),
                (13, content) => push_numbers(&content, |index| self.comments.push(index.cast_signed()))?,
                (14, Content::Varint(index)) => self.default_sample_type = index.cast_signed(),
                (15, Content::Varint(index)) => self.doc_url = index.cast_signed(),
                _ => {}
            }
        }
        Ok(())
    }

    fn read_location(&mut self, message: &[u8]) -> Wire<()> {
        let (mut location, start) = (Location::default(), self.lines.len());
        let mut fields = Fields::new(message, 1);
        while let Some((number, content)) = fields.advance()? {
            match (number, content) {
                (1, Content::Varint(id)) => location.id = id,
                (2, Content::Varint(id)) => location.mapping_id = id,
                (3, Content::Varint(address)) => location.address = address,
                (4, Content::Bytes(line)) => self.lines.push(Line::read(line)?),
                (5, Content::Varint(flag)) => location.is_folded = flag != 0,
                _ => {}
            }
        }
        let index = |length| u32::try_from(length).map_err(|_| Broken);
        location.lines = (index(start)?, index(self.lines.len())?);
        self.locations.push(location);
        Ok(())
    }

    /// Everything but samples.
    fn check(&mut self) -> Result<(), &'static str> {
        if self.sample_types.is_empty() {
            return Err("there are no sample types");
        }
        if self.strings.first().is_none_or(|string| !string.is_empty()) {
            return Err("the string table does not start with the empty string");
        }
        let mapping_ids = ids(self.mappings.iter().map(|mapping| mapping.numbers[0]))?;
        self.location_ids = ids(self.locations.iter().map(|location| location.id))?;
        self.function_ids = ids(self.functions.iter().map(|function| function.id))?;
        if !self.lines.iter().all(|line| self.function_ids.find(line.function_id).is_some()) {
            return Err("a location names an unknown function");
        }
        let is_known = |id| id == 0 || mapping_ids.find(id).is_some();
        if !self.locations.iter().all(|location| is_known(location.mapping_id)) {
            return Err("a location names an unknown mapping");
        }
        self.check_strings()
    }

    fn check_strings(&self) -> Result<(), &'static str> {
        let header = [self.drop_frames, self.keep_frames, self.default_sample_type, self.doc_url];
        let types = self.sample_types.iter().chain(&self.period_type);
        let indexes = (header.iter().copied())
            .chain(self.comments.iter().copied())
            .chain(types.flat_map(|value_type| [value_type.kind, value_type.unit]))
            .chain(self.mappings.iter().flat_map(|mapping| [mapping.filename, mapping.build_id]))
            .chain(self.functions.iter().flat_map(|function| function.names));
        if indexes.into_iter().all(|index| self.has_string(index)) { Ok(()) } else { Err(NO_STRING) }
    }

    fn check_sample(&self, sample: &mut Sample) -> Result<(), &'static str> {
        if sample.values.len() != self.sample_types.len() {
            return Err("a sample has not one value per sample type");
        }
        self.find_places(sample)?;
        let has_strings =
            |label: &Label| [label.key, label.text, label.unit].iter().all(|&index| self.has_string(index));
        if sample.labels.iter().all(has_strings) { Ok(()) } else { Err(NO_STRING) }
    }

    fn find_places(&self, sample: &mut Sample) -> Result<(), &'static str> {
        sample.places.clear();
        for &id in &sample.location_ids {
            let place = self.location_ids.find(id).and_then(|place| u32::try_from(place).ok());
            sample.places.push(place.ok_or("a sample names an unknown location")?);
        }
        Ok(())
    }

    fn has_string(&self, index: i64) -> bool {
        usize::try_from(index).is_ok_and(|index| index < self.strings.len())
    }
}

const BROKEN: &str = "the protobuf is broken";
const NO_STRING: &str = "a string index is out of range";

fn ids(ids: impl ExactSizeIterator<Item = u64> + Clone) -> Result<Ids, &'static str> {
    Ids::new(ids).ok_or("an id of a mapping, location or function is 0 or used twice")
}

impl ValueType {
    fn read(&mut self, message: &[u8]) -> Wire<()> {
        let mut fields = Fields::new(message, 1);
        while let Some((number, content)) = fields.advance()? {
            match (number, content) {
                (1, Content::Varint(index)) => self.kind = index.cast_signed(),
                (2, Content::Varint(index)) => self.unit = index.cast_signed(),
                _ => {}
            }
        }
        Ok(())
    }
}

impl Mapping {
    fn read(message: &[u8]) -> Wire<Self> {
        let (mut mapping, mut fields) = (Self::default(), Fields::new(message, 1));
        while let Some((number, content)) = fields.advance()? {
            match (number, content) {
                (1..=4, Content::Varint(value)) => mapping.numbers[number as usize - 1] = value,
                (5, Content::Varint(index)) => mapping.filename = index.cast_signed(),
                (6, Content::Varint(index)) => mapping.build_id = index.cast_signed(),
                (7..=10, Content::Varint(flag)) => mapping.flags[number as usize - 7] = flag != 0,
                _ => {}
            }
        }
        Ok(mapping)
    }
}

impl Line {
    fn read(message: &[u8]) -> Wire<Self> {
        let (mut line, mut fields) = (Self::default(), Fields::new(message, 2));
        while let Some((number, content)) = fields.advance()? {
            match (number, content) {
                (1, Content::Varint(id)) => line.function_id = id,
                (2, Content::Varint(number)) => line.line = number.cast_signed(),
                (3, Content::Varint(number)) => line.column = number.cast_signed(),
                _ => {}
            }
        }
        Ok(line)
    }
}

impl Function {
    fn read(message: &[u8]) -> Wire<Self> {
        let (mut function, mut fields) = (Self::default(), Fields::new(message, 1));
        while let Some((number, content)) = fields.advance()? {
            match (number, content) {
                (1, Content::Varint(id)) => function.id = id,
                (2..=4, Content::Varint(index)) => function.names[number as usize - 2] = index.cast_signed(),
                (5, Content::Varint(line)) => function.start_line = line.cast_signed(),
                _ => {}
            }
        }
        Ok(function)
    }
}

impl Label {
    fn read(message: &[u8]) -> Wire<Self> {
        let (mut label, mut fields) = (Self::default(), Fields::new(message, 2));
        while let Some((number, content)) = fields.advance()? {
            match (number, content) {
                (1, Content::Varint(index)) => label.key = index.cast_signed(),
                (2, Content::Varint(index)) => label.text = index.cast_signed(),
                (3, Content::Varint(number)) => label.number = number.cast_signed(),
                (4, Content::Varint(index)) => label.unit = index.cast_signed(),
                _ => {}
            }
        }
        Ok(label)
    }
}

impl Sample {
    fn read(&mut self, message: &[u8]) -> Wire<()> {
        self.location_ids.clear();
        self.values.clear();
        self.labels.clear();
        let mut fields = Fields::new(message, 1);
        while let Some((number, content)) = fields.advance()? {
            match (number, content) {
                (1, content) => push_numbers(&content, |id| self.location_ids.push(id))?,
                (2, content) => push_numbers(&content, |value| self.values.push(value.cast_signed()))?,
                (3, Content::Bytes(label)) => self.labels.push(Label::read(label)?),
                _ => {}
            }
        }
        Ok(())
    }
}

fn not_a_profile(raw: &[u8], problem: &'static str) -> Refusal {
    let problem = looks_like(raw).unwrap_or(problem);
    Refusal::new(Reason::NotAProfile, format!("the body is no pprof profile: {problem}"))
}

const SNIFFED_BYTES: usize = 512;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What a body that is no profile seems to be instead; None if it is binary.
fn looks_like(raw: &[u8]) -> Option<&'static str> {
    if raw.starts_with(MAGIC) {
        return Some("it is gzip within gzip");
    }
    let head = &raw[..raw.len().min(SNIFFED_BYTES)];
    if head.iter().any(|byte| matches!(byte, 0..0x20 | 0x7f) && !b"\t\n\x0c\r\x1b".contains(byte)) {
        return None;
    }
    let text = head.strip_prefix(BYTE_ORDER_MARK).unwrap_or(head).trim_ascii_start();
    match text.first() {
        Some(b'<') => Some("it looks like HTML or XML"),
        Some(b'{' | b'[') => Some("it looks like JSON"),
        _ => Some("it looks like plain text (a path with debug=1 serves text)"),
    }
}
