//! Whether a profile is worth parsing; the same limits as in `pprof/budget.py`, which tells why.

use crate::refusal::{Reason, Refusal};
use crate::wire::{Broken, read_varint};

/// The largest profile seen has 17,655 samples.
pub const MAX_SAMPLES: usize = 50_000;
/// Twice those of a heap profile with 17,655 samples.
pub const MAX_FIELDS: usize = 1_000_000;
/// One sample with its stack and labels, or one location with its lines.
pub const MAX_ENTRY_BYTES: usize = 64 * 1024;
/// Profiles up to this size are not counted.
pub const UNCOUNTED_BYTES: usize = 256 * 1024;

const BYTES_PER_FIELD: usize = 10;
const FIELDS_OF_A_MAPPING: usize = 10;
const SAMPLE: u64 = 2 << 3 | 2;
const MAPPING: u64 = 3 << 3 | 2;
const LOCATION: u64 = 4 << 3 | 2;
const COMMENT: u64 = 13 << 3 | 2;

enum Stop {
    Broken,
    Over(Refusal),
}

impl From<Broken> for Stop {
    fn from(_: Broken) -> Self {
        Self::Broken
    }
}

/// True if `raw` may be parsed; false if it is no protobuf, or has groups. Refuses with `TooComplex`.
pub fn within_budget(raw: &[u8]) -> Result<bool, Refusal> {
    if raw.len() <= UNCOUNTED_BYTES {
        return Ok(true);
    }
    match count(raw) {
        Ok(()) => Ok(true),
        Err(Stop::Broken) => Ok(false),
        Err(Stop::Over(refusal)) => Err(refusal),
    }
}

fn count(raw: &[u8]) -> Result<(), Stop> {
    let (mut samples, mut fields) = (0, 0);
    let mut rest = raw;
    while let Some((tag, content)) = next(&mut rest)? {
        fields += 1;
        match tag {
            SAMPLE => {
                samples += 1;
                fields += count_entry(content)? + content.len() / BYTES_PER_FIELD;
            }
            LOCATION => fields += count_entry(content)?,
            MAPPING => fields += FIELDS_OF_A_MAPPING,
            COMMENT => fields += content.len(),
            _ => {}
        }
        if samples > MAX_SAMPLES {
            return Err(over(&format!("more than {MAX_SAMPLES} samples")));
        }
        if fields > MAX_FIELDS {
            return Err(over(&format!("more than {MAX_FIELDS} fields")));
        }
    }
    Ok(())
}

fn count_entry(entry: &[u8]) -> Result<usize, Stop> {
    if entry.len() > MAX_ENTRY_BYTES {
        return Err(over(&format!("a sample or location of more than {MAX_ENTRY_BYTES} bytes")));
    }
    let (mut fields, mut rest) = (0, entry);
    while next(&mut rest)?.is_some() {
        fields += 1;
    }
    Ok(fields)
}

fn over(what: &str) -> Stop {
    Stop::Over(Refusal::new(Reason::TooComplex, format!("the profile has {what}")))
}

/// Tag and content of the next field, which for numbers is of no interest; None at the end.
#[inline]
fn next<'a>(rest: &mut &'a [u8]) -> Result<Option<(u64, &'a [u8])>, Broken> {
    if rest.is_empty() {
        return Ok(None);
    }
    let tag = read_varint(rest)?;
    let length = match tag & 7 {
        0 => {
            read_varint(rest)?;
            0
        }
        1 => 8,
        2 => usize::try_from(read_varint(rest)?).map_err(|_| Broken)?,
        5 => 4,
        _ => return Err(Broken),
    };
    let (content, behind) = rest.split_at_checked(length).ok_or(Broken)?;
    *rest = behind;
    Ok(Some((tag, content)))
}
