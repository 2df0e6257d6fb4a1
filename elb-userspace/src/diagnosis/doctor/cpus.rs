//! Lists of processors as the kernel writes them: `0-3,8`.

use std::collections::BTreeSet;

/// More processors than Linux has.
const MOST: u32 = 8192;

/// The processors of a list; `None` if it is none.
pub(super) fn parse(list: &str) -> Option<BTreeSet<u32>> {
    let mut cpus = BTreeSet::new();
    for part in list.trim().split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        if first > last || last >= MOST {
            return None;
        }
        cpus.extend(first..=last);
    }
    Some(cpus)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lists_of_the_kernel() {
        let cpus = |list| parse(list).map(|cpus| cpus.into_iter().collect::<Vec<_>>());
        assert_eq!(cpus("0-3,8\n"), Some(vec![0, 1, 2, 3, 8]));
        assert_eq!(cpus("\n"), Some(vec![]));
        assert_eq!(cpus("3-1"), None);
        assert_eq!(cpus("0-4294967295"), None);
        assert_eq!(cpus("a"), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(cpus in prop::collection::btree_set(0..MOST, 0..50)) {
            let list = cpus.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
            prop_assert_eq!(parse(&list), Some(cpus));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[-0-9, \n]{0,40}|\\PC{0,40}") {
            prop_assert!(parse(&text).is_none_or(|cpus| cpus.len() <= MOST as usize));
        }
    }
}
