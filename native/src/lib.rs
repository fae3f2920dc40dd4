//! The delta core of pyroscope-operator: pprof in, the difference to the profile before out.
//!
//! The bodies come from arbitrary pods. So there is no `unsafe` here, no recursion and no
//! arithmetic that may overflow in silence, and everything is bounded: sizes by the caller's
//! limit, what is made of them by `budget`. The Python code with the same names is the oracle
//! that this has to agree with.

pub mod assembly;
pub mod budget;
pub mod delta;
pub mod gunzip;
pub mod ids;
pub mod inspect;
pub mod key;
pub mod profile;
#[cfg(feature = "python")]
mod python;
pub mod refusal;
pub mod state;
pub mod wire;
