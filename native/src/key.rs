//! What makes two samples the same one: their stack and their labels, as in `pprof/key.py`.

use siphasher::sip128::SipHasher13;

use crate::profile::{Label, Profile, Sample};

/// 128 bits: with 10^6 keys the chance of any collision is about 10^-27.
pub type Key = u128;

/// What the hash is keyed with, so that no target can make samples that collide.
///
/// SipHash-1-3, which guards the hash tables of Python and Rust against the same; a target never
/// learns a hash. SipHash-2-4 would take a tenth more of the whole.
#[derive(Clone)]
pub struct Seed(SipHasher13);

impl Seed {
    /// A seed from 16 bytes of randomness.
    #[must_use]
    pub fn new(bytes: &[u8; 16]) -> Self {
        Self(SipHasher13::new_with_key(bytes))
    }

    /// The hash of some bytes.
    #[must_use]
    pub fn hash(&self, bytes: &[u8]) -> Key {
        self.0.hash(bytes).as_u128()
    }
}

/// Makes the keys of one profile's samples. What is hashed is free of ambiguity.
pub struct Keys<'a> {
    profile: &'a Profile<'a>,
    seed: &'a Seed,
    /// By place of the location, 0 where it is not known yet.
    lines: Vec<Key>,
    /// By index of the string, 0 where it is not known yet.
    texts: Vec<Key>,
    input: Vec<u8>,
    labels: Vec<[u8; LABEL_BYTES]>,
}

const LABEL_BYTES: usize = 3 * 16 + 8;

impl<'a> Keys<'a> {
    /// Keys of a profile that has been checked; `seed` is the same for all profiles to be compared.
    #[must_use]
    pub fn new(profile: &'a Profile<'a>, seed: &'a Seed) -> Self {
        Self {
            profile,
            seed,
            lines: vec![0; profile.locations.len()],
            texts: vec![0; profile.strings.len()],
            input: Vec::new(),
            labels: Vec::new(),
        }
    }

    /// The key of a sample that has been checked.
    pub fn of(&mut self, sample: &Sample) -> Key {
        self.input.clear();
        self.input.extend_from_slice(&sample.places.len().to_le_bytes());
        for &place in &sample.places {
            let address = self.profile.locations.get(place as usize).map_or(0, |location| location.address);
            self.input.extend_from_slice(&address.to_le_bytes());
            if address == 0 {
                let lines = self.lines(place);
                self.input.extend_from_slice(&lines.to_le_bytes());
            }
        }
        self.labels.clear();
        for label in &sample.labels {
            let label = self.label(label);
            self.labels.push(label);
        }
        self.labels.sort_unstable();
        self.input.extend(self.labels.as_flattened());
        self.seed.hash(&self.input)
    }

    /// Of a location without an address: the hash of all that its lines say.
    fn lines(&mut self, place: u32) -> Key {
        if let Some(&key) = self.lines.get(place as usize).filter(|key| **key != 0) {
            return key;
        }
        let mut input = Vec::new();
        let location = self.profile.locations.get(place as usize);
        for line in location.map(|location| self.profile.lines_of(location)).unwrap_or_default() {
            let function = self.profile.function_of(line).and_then(|index| self.profile.functions.get(index));
            let Some(function) = function else { continue };
            for number in [line.line, line.column, function.start_line] {
                input.extend_from_slice(&number.to_le_bytes());
            }
            for index in function.names {
                input.extend_from_slice(&self.text(index).to_le_bytes());
            }
        }
        let key = self.seed.hash(&input);
        if let Some(room) = self.lines.get_mut(place as usize) {
            *room = key;
        }
        key
    }

    fn label(&mut self, label: &Label) -> [u8; LABEL_BYTES] {
        let mut bytes = [0; LABEL_BYTES];
        for (room, index) in bytes.chunks_exact_mut(16).zip([label.key, label.text, label.unit]) {
            room.copy_from_slice(&self.text(index).to_le_bytes());
        }
        bytes[LABEL_BYTES - 8..].copy_from_slice(&label.number.to_le_bytes());
        bytes
    }

    /// The hash of a string, which is read once, however many labels have it.
    fn text(&mut self, index: i64) -> Key {
        let room = usize::try_from(index).ok().and_then(|index| self.texts.get_mut(index));
        match room {
            Some(key @ 0) => {
                *key = self.seed.hash(self.profile.string(index));
                *key
            }
            Some(key) => *key,
            None => 0, // indexes have been checked
        }
    }
}
