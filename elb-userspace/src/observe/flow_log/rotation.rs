//! When another file is begun, and what becomes of the earlier ones.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// When another file is begun, and how many earlier ones are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rules {
    /// Before it is larger, in bytes.
    pub(super) size: u64,
    /// When it is so old.
    pub(super) age: Duration,
    /// So many are kept.
    pub(super) keep: u32,
}

impl Rules {
    /// Whether another file is begun before so many bytes are added to one of this size and age. An empty file
    /// stays.
    pub(super) fn is_due(&self, size: u64, adding: u64, age: Duration) -> bool {
        size > 0 && (size.saturating_add(adding) > self.size || age >= self.age)
    }

    /// Which file gets which name, in this order; the last of them is written over. None are kept: the file
    /// is removed.
    pub(super) fn moves(&self, file: &Path) -> Vec<(PathBuf, PathBuf)> {
        let from = |n| if n == 0 { file.to_owned() } else { numbered(file, n) };
        (0..self.keep).rev().map(|n| (from(n), numbered(file, n + 1))).collect()
    }
}

/// The name of an earlier file: the greater the number, the older.
fn numbered(file: &Path, number: u32) -> PathBuf {
    let mut name = OsString::from(file);
    name.push(format!(".{number}"));
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RULES: Rules = Rules { size: 100, age: Duration::from_secs(60), keep: 2 };

    #[test]
    fn by_size_and_age() {
        let young = Duration::from_secs(59);
        assert!(!RULES.is_due(90, 10, young) && RULES.is_due(90, 11, young));
        assert!(RULES.is_due(1, 1, RULES.age) && !RULES.is_due(0, 1_000, RULES.age));
    }

    #[test]
    fn each_gets_the_name_of_the_next_older() {
        let moves = RULES.moves(Path::new("/l/f"));
        let names: Vec<_> = moves.iter().map(|(a, b)| (a.to_str(), b.to_str())).collect();
        assert_eq!(names, [(Some("/l/f.1"), Some("/l/f.2")), (Some("/l/f"), Some("/l/f.1"))]);
        assert!(Rules { keep: 0, ..RULES }.moves(Path::new("/l/f")).is_empty());
    }

    proptest! {
        #[test]
        fn no_file_is_larger_than_one_that_would_be_begun(
            sizes in proptest::collection::vec(1..90_u64, 1..100),
        ) {
            let mut size = 0;
            for adding in sizes {
                if RULES.is_due(size, adding, Duration::ZERO) {
                    size = 0;
                }
                size += adding;
                prop_assert!(size <= RULES.size);
            }
        }
    }
}
