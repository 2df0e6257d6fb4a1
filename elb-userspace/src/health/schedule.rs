//! Which member is to be probed next: an agenda of deadlines, one for each member at most.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

use crate::model::time::Time;

/// Members, each of which may have a deadline.
#[derive(Clone, Debug)]
pub struct Schedule<K> {
    by_time: BTreeSet<(Time, K)>,
    by_member: HashMap<K, Time>,
}

impl<K> Default for Schedule<K> {
    fn default() -> Self {
        Self { by_time: BTreeSet::new(), by_member: HashMap::new() }
    }
}

impl<K: Copy + Ord + Hash> Schedule<K> {
    /// Replaces the deadline of a member; `None` takes it off the agenda. O(log members).
    pub fn set(&mut self, member: K, at: Option<Time>) {
        let before = match at {
            Some(at) => self.by_member.insert(member, at),
            None => self.by_member.remove(&member),
        };
        if let Some(before) = before {
            self.by_time.remove(&(before, member));
        }
        if let Some(at) = at {
            self.by_time.insert((at, member));
        }
    }

    /// The earliest deadline.
    pub fn next_deadline(&self) -> Option<Time> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Takes the members off the agenda whose deadline has come, `most` of them, the earliest first.
    pub fn due(&mut self, now: Time, most: usize) -> Vec<(Time, K)> {
        let mut due = Vec::new();
        while due.len() < most
            && self.next_deadline().is_some_and(|at| at <= now)
            && let Some((at, member)) = self.by_time.pop_first()
        {
            self.by_member.remove(&member);
            due.push((at, member));
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(nanos: u64) -> Time {
        Time::from_nanos(nanos)
    }

    #[test]
    fn a_member_has_one_deadline() {
        let mut schedule = Schedule::default();
        schedule.set('a', Some(at(30)));
        schedule.set('b', Some(at(20)));
        schedule.set('a', Some(at(10)));
        assert_eq!((schedule.next_deadline(), schedule.by_member.len()), (Some(at(10)), 2));
        assert_eq!(schedule.due(at(9), 9), []);
        assert_eq!(schedule.due(at(30), 1), [(at(10), 'a')]);
        assert_eq!(schedule.due(at(30), 9), [(at(20), 'b')]);
        assert!(schedule.by_member.is_empty() && schedule.next_deadline().is_none());
        schedule.set('c', Some(at(5)));
        schedule.set('c', None);
        assert!(schedule.by_member.is_empty() && schedule.due(at(99), 9).is_empty());
    }

    proptest! {
        #[test]
        fn is_a_sorted_map(
            steps in prop::collection::vec((0u8..8, prop::option::of(0u64..50)), 0..60),
            now in 0u64..60,
            most in 0usize..9,
        ) {
            let mut schedule = Schedule::default();
            let mut map = std::collections::BTreeMap::new();
            for (member, deadline) in steps {
                schedule.set(member, deadline.map(at));
                match deadline {
                    Some(deadline) => map.insert(member, deadline),
                    None => map.remove(&member),
                };
            }
            prop_assert_eq!(schedule.next_deadline(), map.values().min().copied().map(at));
            let due = map.iter().filter(|(_, t)| **t <= now).map(|(member, t)| (at(*t), *member));
            let mut due: Vec<_> = due.collect();
            due.sort_unstable();
            due.truncate(most);
            prop_assert_eq!(schedule.due(at(now), most), due);
        }
    }
}
