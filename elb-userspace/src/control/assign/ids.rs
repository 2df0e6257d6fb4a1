//! Sets of 16-bit ids: what is taken, and the first one that is free.

/// A set of ids, one bit each.
#[derive(Clone, PartialEq, Eq)]
pub struct Ids(Box<[u64; 1024]>);

impl Default for Ids {
    fn default() -> Self {
        Self(Box::new([0; 1024]))
    }
}

impl Ids {
    /// Whether it holds an id.
    pub fn contains(&self, id: u16) -> bool {
        self.0[usize::from(id / 64)] >> (id % 64) & 1 != 0
    }

    /// Adds an id.
    pub fn insert(&mut self, id: u16) {
        self.0[usize::from(id / 64)] |= 1 << (id % 64);
    }

    /// The first id that it does not hold, from `first` on, below `limit`.
    pub fn free(&self, first: u16, limit: u32) -> Option<u16> {
        let last = u16::try_from(limit.checked_sub(1)?).unwrap_or(u16::MAX);
        (first..=last).find(|id| !self.contains(*id))
    }
}

impl FromIterator<u16> for Ids {
    fn from_iter<I: IntoIterator<Item = u16>>(ids: I) -> Self {
        let mut set = Self::default();
        ids.into_iter().for_each(|id| set.insert(id));
        set
    }
}

impl std::fmt::Debug for Ids {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries((0..=u16::MAX).filter(|id| self.contains(*id))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets() {
        let ids: Ids = [0, 1, 63, 64, u16::MAX].into_iter().collect();
        assert_eq!(format!("{ids:?}"), "{0, 1, 63, 64, 65535}");
        assert_eq!([ids.free(0, 65_536), ids.free(63, 65_536)], [Some(2), Some(65)]);
        assert_eq!([ids.free(0, 2), ids.free(0, 0), ids.free(u16::MAX, 65_536)], [None; 3]);
    }
}
