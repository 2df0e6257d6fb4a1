//! Interfaces of this host on one segment: one of them says where virtual addresses are, so that an address
//! has one answer, and the host's own announcements are no conflict.

use std::collections::{BTreeMap, BTreeSet};

/// Two interfaces of which one heard the other.
pub type Pair = (u32, u32);

/// The interfaces that leave it to another one. `able` are those that can answer, in the order of preference:
/// of those that are joined, the first answers.
pub fn quiet(able: &[u32], joined: &BTreeSet<Pair>) -> BTreeSet<u32> {
    let mut leader: BTreeMap<u32, u32> = able.iter().map(|index| (*index, *index)).collect();
    // Each pair brings two groups together; as many rounds as there are interfaces reach all.
    for _ in able {
        for (one, other) in joined {
            let (Some(a), Some(b)) = (leader.get(one).copied(), leader.get(other).copied()) else {
                continue;
            };
            let first = if place(able, a) < place(able, b) { a } else { b };
            leader.values_mut().filter(|now| **now == a || **now == b).for_each(|now| *now = first);
        }
    }
    leader.into_iter().filter(|(index, first)| index != first).map(|(index, _)| index).collect()
}

fn place(able: &[u32], index: u32) -> Option<usize> {
    able.iter().position(|one| *one == index)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quiet_of(able: &[u32], joined: &[Pair]) -> Vec<u32> {
        quiet(able, &joined.iter().copied().collect()).into_iter().collect()
    }

    #[test]
    fn one_of_a_segment_answers() {
        assert!(quiet_of(&[2, 3], &[]).is_empty(), "segments of their own");
        assert_eq!(quiet_of(&[2, 3], &[(3, 2)]), [3]);
        assert_eq!(quiet_of(&[3, 2], &[(3, 2)]), [2], "the first of the file");
        assert_eq!(quiet_of(&[2, 3, 4, 5], &[(4, 3), (2, 4)]), [3, 4], "one by another");
        assert!(quiet_of(&[3], &[(2, 3)]).is_empty(), "the other one cannot answer");
        assert_eq!(quiet_of(&[2, 3, 4, 5], &[(2, 3), (4, 5)]), [3, 5], "two segments");
    }
}
