//! Looks for a text in what comes piece by piece.

/// What came so far, and whether the text is in it.
#[derive(Debug)]
pub(super) struct Search<'t> {
    wanted: &'t [u8],
    /// What came, up to the end of the text once it is found.
    seen: Vec<u8>,
    most: usize,
    is_found: bool,
}

impl<'t> Search<'t> {
    /// A search in so many bytes at most.
    pub(super) const fn new(wanted: &'t [u8], most: usize) -> Self {
        Self { wanted, seen: Vec::new(), most, is_found: false }
    }

    /// Takes in what came next; what is beyond the bound is dropped. True if the text is there.
    pub(super) fn take(&mut self, bytes: &[u8]) -> bool {
        if self.is_found {
            return true;
        }
        let from = self.seen.len().saturating_sub(self.wanted.len().saturating_sub(1));
        let room = self.most - self.seen.len();
        self.seen.extend_from_slice(&bytes[..bytes.len().min(room)]);
        let mut places = self.seen[from..].windows(self.wanted.len().max(1));
        self.is_found = self.wanted.is_empty() || places.any(|place| place == self.wanted);
        self.is_found
    }

    /// Whether no more is looked at.
    pub(super) const fn is_full(&self) -> bool {
        self.seen.len() >= self.most
    }

    /// What was looked at.
    pub(super) fn seen(&self) -> &[u8] {
        &self.seen
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// However the bytes are cut: found if it is in the first `most` of them, and never earlier
        /// than its last byte.
        #[test]
        fn pieces_make_no_difference(
            bytes in prop::collection::vec(0_u8..3, 0..60),
            wanted in prop::collection::vec(0_u8..3, 1..5),
            most in 0_usize..60,
            cut in 1_usize..20,
        ) {
            let mut search = Search::new(&wanted, most);
            let mut came = 0;
            for piece in bytes.chunks(cut) {
                came += piece.len();
                let looked_at = &bytes[..came.min(most)];
                let is_there = looked_at.windows(wanted.len()).any(|place| place == wanted);
                prop_assert_eq!(search.take(piece), is_there);
                prop_assert!(search.seen().len() <= most);
                if !is_there {
                    prop_assert_eq!(search.seen(), looked_at);
                    prop_assert_eq!(search.is_full(), came >= most);
                }
            }
        }
    }
}
