//! Log lines that would be repeated: a member that flaps fills no log. What is not said is counted, and the count
//! is said.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::time::Time;

/// Lines of one kind, about one object, in a minute.
const MOST: u32 = 3;
/// The minute.
const PERIOD: Duration = Duration::from_secs(60);
/// Objects that are remembered; of others, every line is said.
const OBJECTS: usize = 100_000;

/// What was said about each object, and how often.
#[derive(Debug)]
pub(in crate::agent) struct Repeated<K> {
    said: BTreeMap<K, Said>,
}

#[derive(Clone, Copy, Debug)]
struct Said {
    since: Time,
    lines: u32,
    /// Lines that were not said.
    kept: u64,
}

impl<K> Default for Repeated<K> {
    fn default() -> Self {
        Self { said: BTreeMap::new() }
    }
}

impl<K: Ord + Clone> Repeated<K> {
    /// Whether a line about an object is to be said.
    pub(in crate::agent) fn may_say(&mut self, object: K, now: Time) -> bool {
        if self.said.len() >= OBJECTS && !self.said.contains_key(&object) {
            return true;
        }
        let said = self.said.entry(object).or_insert(Said { since: now, lines: 0, kept: 0 });
        if said.lines < MOST {
            said.lines += 1;
            return true;
        }
        said.kept += 1;
        false
    }

    /// Ends the minutes that are over: objects of which lines were not said, and how many.
    pub(in crate::agent) fn over(&mut self, now: Time) -> Vec<(K, u64)> {
        let is_over = |said: &Said| now.since(said.since) >= PERIOD;
        let kept = self.said.iter().filter(|(_, said)| is_over(said) && said.kept > 0);
        let kept = kept.map(|(object, said)| (object.clone(), said.kept)).collect();
        self.said.retain(|_, said| !is_over(said));
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn a_few_lines_a_minute_are_said_and_the_others_counted() {
        let mut repeated = Repeated::default();
        let said: Vec<_> = (0..10).map(|second| repeated.may_say("a", at(second))).collect();
        assert_eq!(said.iter().filter(|said| **said).count(), 3);
        assert!(said[..3].iter().all(|said| *said));
        assert!(repeated.may_say("b", at(9)), "another object");
        assert_eq!(repeated.over(at(59)), []);
        assert_eq!(repeated.over(at(60)), [("a", 7)]);
        assert_eq!(repeated.over(at(61)), []);
        assert!(repeated.may_say("a", at(61)));
        assert_eq!(repeated.over(at(200)), [], "nothing was kept back");
        assert!(repeated.said.is_empty());
    }
}
