//! Where the entry of an id is.

/// Finds entries by their ids, which are unique and not 0.
pub enum Ids {
    /// The place of each id, for ids from 1 on with few gaps, as Go's are.
    Dense(Vec<u32>),
    /// Ids and places, sorted.
    Sparse(Vec<(u64, u32)>),
}

const NOWHERE: u32 = u32::MAX;

impl Default for Ids {
    fn default() -> Self {
        Self::Dense(Vec::new())
    }
}

impl Ids {
    /// None if an id is 0 or occurs twice.
    pub fn new(ids: impl ExactSizeIterator<Item = u64> + Clone) -> Option<Self> {
        let room = 2 * ids.len() + 64;
        match usize::try_from(ids.clone().max().unwrap_or(0)) {
            Ok(largest) if largest <= room => dense(ids, largest),
            _ => sparse(ids),
        }
    }

    /// The place of an id.
    #[inline]
    #[must_use]
    pub fn find(&self, id: u64) -> Option<usize> {
        match self {
            Self::Dense(places) => {
                let place = *places.get(usize::try_from(id).ok()?)?;
                (place != NOWHERE).then_some(place as usize)
            }
            Self::Sparse(places) => {
                let index = places.binary_search_by_key(&id, |&(id, _)| id).ok()?;
                places.get(index).map(|&(_, place)| place as usize)
            }
        }
    }
}

fn dense(ids: impl Iterator<Item = u64>, largest: usize) -> Option<Ids> {
    let mut places = vec![NOWHERE; largest + 1];
    for (id, place) in ids.zip(0..NOWHERE) {
        let slot = places.get_mut(usize::try_from(id).ok()?)?;
        if id == 0 || *slot != NOWHERE {
            return None;
        }
        *slot = place;
    }
    Some(Ids::Dense(places))
}

fn sparse(ids: impl Iterator<Item = u64>) -> Option<Ids> {
    let mut places: Vec<(u64, u32)> = ids.zip(0..NOWHERE).collect();
    places.sort_unstable();
    let is_good =
        places.first().is_none_or(|&(id, _)| id != 0) && places.windows(2).all(|pair| pair[0].0 != pair[1].0);
    is_good.then_some(Ids::Sparse(places))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        for ids in [vec![1, 2, 3], vec![3, 1, 2], vec![9, 70, 5], vec![u64::MAX, 1 << 40, 7], vec![]] {
            let found = Ids::new(ids.iter().copied());
            assert!(found.is_some());
            let found = found.unwrap_or_default();
            for (place, &id) in ids.iter().enumerate() {
                assert_eq!(found.find(id), Some(place));
            }
            assert!([0, 4, 1 << 41].iter().all(|&id| found.find(id).is_none()));
        }
    }

    #[test]
    fn refused() {
        for ids in [vec![0], vec![1, 1], vec![1, 0], vec![u64::MAX, 0], vec![u64::MAX, u64::MAX]] {
            assert!(Ids::new(ids.iter().copied()).is_none(), "{ids:?}");
        }
    }
}
