//! Why a body is not taken.

use std::borrow::Cow;

/// The reasons of `ProfileError`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Larger than allowed, uncompressed.
    BodyTooLarge,
    /// Truncated, corrupt or followed by something.
    BrokenGzip,
    /// No bytes at all.
    EmptyBody,
    /// Not protobuf, or one whose references do not hold.
    NotAProfile,
    /// More samples or fields than are worth the work.
    TooComplex,
    /// No column can be subtracted.
    NotCumulative,
}

impl Reason {
    /// The word for status, metrics and logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::BodyTooLarge => "BodyTooLarge",
            Self::BrokenGzip => "BrokenGzip",
            Self::EmptyBody => "EmptyBody",
            Self::NotAProfile => "NotAProfile",
            Self::TooComplex => "TooComplex",
            Self::NotCumulative => "NotCumulative",
        }
    }
}

/// A reason and a sentence for people, which never quotes the body.
#[derive(Debug)]
pub struct Refusal {
    /// What kind it is.
    pub reason: Reason,
    /// The sentence.
    pub message: Cow<'static, str>,
}

impl Refusal {
    /// A refusal with a fixed or a made sentence.
    pub fn new(reason: Reason, message: impl Into<Cow<'static, str>>) -> Self {
        Self { reason, message: message.into() }
    }
}
