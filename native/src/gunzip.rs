//! Gzip of bodies, undone within a limit.

use std::borrow::Cow;

use flate2::{Decompress, FlushDecompress, Status};
use libdeflater::Decompressor;
use memchr::memmem;

use crate::refusal::{Reason, Refusal};

/// What gzip starts with.
pub const MAGIC: &[u8] = b"\x1f\x8b";

const PLAIN_HEADER: &[u8] = b"\x1f\x8b\x08\x00";
/// Of a gzip member: checksum and length of the content.
const TRAILER_BYTES: usize = 8;
const LEAST_BYTES: usize = 18;
/// Deflate can't do better.
const MAX_RATIO: usize = 1032;
const MAX_MEMBERS: usize = 1024;
const WINDOW_BITS: u8 = 15;
const FIRST_BYTES: usize = 64 * 1024;

/// The raw protobuf of `body`, which may be gzip (of several members too) or raw already.
///
/// `limit` bounds the result in bytes, and what is held for a moment to twice as much.
pub fn decompress(body: &[u8], limit: usize) -> Result<Cow<'_, [u8]>, Refusal> {
    if !body.starts_with(MAGIC) {
        return if body.len() > limit { Err(too_large(limit)) } else { Ok(Cow::Borrowed(body)) };
    }
    if let Some(raw) = decompress_at_once(body, limit) {
        return Ok(Cow::Owned(raw));
    }
    decompress_members(body, limit).map(Cow::Owned)
}

/// Whether gzip `body`, which holds `raw_bytes` bytes, is one member and nothing else; see `pprof/gunzip.py`.
#[must_use]
pub fn is_single_member(body: &[u8], raw_bytes: usize) -> bool {
    body.starts_with(MAGIC)
        && length_in_trailer(body).is_some_and(|length| length & 0xffff_ffff == raw_bytes & 0xffff_ffff)
}

/// The usual body, one member with a plain header, in half the time; None if it is anything else.
///
/// libdeflate does not tell where the member ends. But it ends with checksum and length of the
/// content; if these eight bytes are the last ones and nowhere else, then it ends there.
fn decompress_at_once(body: &[u8], limit: usize) -> Option<Vec<u8>> {
    if body.len() < LEAST_BYTES || !body.starts_with(PLAIN_HEADER) {
        return None;
    }
    let length = length_in_trailer(body)?;
    if length == 0 || length > limit || length / MAX_RATIO > body.len() {
        return None;
    }
    let mut raw = vec![0; length];
    if Decompressor::new().gzip_decompress(body, &mut raw) != Ok(length) {
        return None;
    }
    let trailer = body.last_chunk::<TRAILER_BYTES>()?;
    let is_checksum = trailer[..4] == libdeflater::crc32(&raw).to_le_bytes();
    let elsewhere = memmem::find(&body[..body.len() - 1], trailer);
    (is_checksum && elsewhere.is_none()).then_some(raw)
}

fn length_in_trailer(body: &[u8]) -> Option<usize> {
    let bytes = body.last_chunk::<4>()?;
    usize::try_from(u32::from_le_bytes(*bytes)).ok()
}

fn decompress_members(body: &[u8], limit: usize) -> Result<Vec<u8>, Refusal> {
    let (mut raw, mut rest) = (Vec::new(), body);
    for _ in 0..MAX_MEMBERS {
        rest = inflate_member(rest, limit, &mut raw)?;
        if !rest.starts_with(MAGIC) {
            break;
        }
    }
    if rest.iter().any(|&byte| byte != 0) {
        return Err(broken("the gzip body is followed by something else, or has too many members"));
    }
    Ok(raw)
}

/// Appends one member's content to `raw`; returns what is behind the member.
fn inflate_member<'a>(body: &'a [u8], limit: usize, raw: &mut Vec<u8>) -> Result<&'a [u8], Refusal> {
    let mut member = Decompress::new_gzip(WINDOW_BITS);
    let mut rest = body;
    loop {
        if raw.len() == raw.capacity() {
            // One byte above the limit tells "full" from "too large".
            let more = raw.len().max(FIRST_BYTES).min(limit.saturating_add(1) - raw.len());
            raw.reserve_exact(more);
        }
        let (read, written) = (member.total_in(), member.total_out());
        let status = member.decompress_vec(rest, raw, FlushDecompress::None);
        let status = status.map_err(|_| broken("the gzip body is corrupt"))?;
        let taken = usize::try_from(member.total_in() - read).unwrap_or(usize::MAX);
        rest = rest.get(taken..).unwrap_or_default();
        if raw.len() > limit {
            return Err(too_large(limit));
        }
        if status == Status::StreamEnd {
            return Ok(rest);
        }
        if taken == 0 && member.total_out() == written {
            return Err(broken("the gzip body is truncated"));
        }
    }
}

fn broken(message: &'static str) -> Refusal {
    Refusal::new(Reason::BrokenGzip, message)
}

fn too_large(limit: usize) -> Refusal {
    Refusal::new(Reason::BodyTooLarge, format!("the profile is larger than {limit} bytes uncompressed"))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn member(raw: &[u8], level: u32) -> Vec<u8> {
        let mut packer = GzEncoder::new(Vec::new(), Compression::new(level));
        assert!(packer.write_all(raw).is_ok());
        packer.finish().unwrap_or_default()
    }

    fn reason(body: &[u8], limit: usize) -> Option<Reason> {
        decompress(body, limit).err().map(|refusal| refusal.reason)
    }

    #[test]
    fn the_usual_body_is_undone_at_once_and_others_are_left_to_the_other_way() {
        let raw = b"profile".repeat(100);
        let one = member(&raw, 6);
        assert_eq!(decompress_at_once(&one, 700), Some(raw.clone()));
        let others = [
            one.repeat(2),
            [one.clone(), vec![0; 9]].concat(),
            [one.clone(), one[one.len() - 8..].to_vec()].concat(),
            [member(b"", 6), one.clone()].concat(),
            one[..one.len() - 1].to_vec(),
        ];
        assert!(others.iter().all(|body| decompress_at_once(body, 10_000).is_none()));
        assert_eq!(decompress(&others[0], 1400).ok().as_deref(), Some(raw.repeat(2).as_slice()));
        assert_eq!(reason(&others[2], 10_000), Some(Reason::BrokenGzip));
        assert_eq!(reason(&one, 699), Some(Reason::BodyTooLarge));
    }

    #[test]
    fn a_lie_about_the_length_takes_no_memory() {
        let mut bomb = member(&vec![0; 1 << 20], 9);
        assert_eq!(reason(&bomb, 1 << 16), Some(Reason::BodyTooLarge));
        let end = bomb.len();
        bomb[end - 4..].copy_from_slice(&[0xff; 4]);
        assert_eq!(reason(&bomb, usize::MAX), Some(Reason::BrokenGzip));
    }
}
