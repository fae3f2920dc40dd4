//! The check of a profile that is passed on as it came.

use crate::gunzip::{decompress, is_single_member};
use crate::profile::Profile;
use crate::refusal::Refusal;

/// What is said about a good profile.
pub struct Inspected {
    /// Its size uncompressed.
    pub raw_bytes: usize,
    /// How many it has.
    pub samples: usize,
    /// The server dereferences it.
    pub has_period_type: bool,
    /// Whether the body is one gzip member and nothing else.
    pub is_single_member: bool,
}

/// Checks that `body` (gzip or raw) is a profile of at most `limit` bytes uncompressed.
pub fn inspect(body: &[u8], limit: usize) -> Result<Inspected, Refusal> {
    let raw = decompress(body, limit)?;
    let profile = Profile::parse(&raw)?;
    profile.each_sample(&raw, |_| Ok(()))?;
    Ok(Inspected {
        raw_bytes: raw.len(),
        samples: profile.samples.len(),
        has_period_type: profile.period_type.is_some(),
        is_single_member: is_single_member(body, raw.len()),
    })
}
