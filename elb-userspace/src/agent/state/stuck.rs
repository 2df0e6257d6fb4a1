//! What came for members lately: whether packets follow the openings of connections, and where answers come back
//! through this host, whether any answer does.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::model::time::{Now, Time};

/// For how long counts are kept.
const KEPT: Duration = Duration::from_secs(60);
/// Openings from which on it says something that nothing followed.
const ENOUGH: u64 = 5;
/// Of so many openings, one may be followed by a packet: of an older connection, or a reset.
const FOLLOWED: u64 = 20;

/// What came for a member since it is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::agent) struct Came {
    /// Packets that open connections; those that are repeated count again.
    pub(in crate::agent) openings: u64,
    /// All packets.
    pub(in crate::agent) packets: u64,
    /// Where its answers come back through this host: those that accept, reset or refuse a connection.
    pub(in crate::agent) answered: Option<u64>,
}

/// What came for all members, as it was.
#[derive(Debug, Default)]
pub(in crate::agent) struct Followed {
    samples: VecDeque<(Time, HashMap<u16, Came>)>,
}

impl Followed {
    /// Takes down what came so far; what is older than a minute is forgotten.
    pub(in crate::agent) fn sample(&mut self, came: HashMap<u16, Came>, now: Now) {
        while self.samples.get(1).is_some_and(|(at, _)| now.time.since(*at) >= KEPT) {
            self.samples.pop_front();
        }
        self.samples.push_back((now.time, came));
    }

    /// The openings of the last minute for a member, if nothing followed them, or no answer came back that would have to.
    pub(in crate::agent) fn stuck(&self, id: u16, now: Came) -> Option<u64> {
        let before = self.samples.iter().find_map(|(_, came)| came.get(&id))?;
        let openings = now.openings.checked_sub(before.openings)?;
        let is_stuck = match (now.answered, before.answered) {
            // An answer shows the way, whatever clients do then: a flood of openings is answered, too.
            (Some(now), Some(before)) => now == before,
            (Some(_), None) => return None,
            (None, _) => {
                let packets = now.packets.checked_sub(before.packets)?;
                packets.saturating_sub(openings) <= openings / FOLLOWED
            }
        };
        (openings >= ENOUGH && is_stuck).then_some(openings)
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn at(seconds: u64) -> Now {
        let since = Duration::from_secs(seconds);
        Now { time: Time::ZERO + since, wall: SystemTime::UNIX_EPOCH + since }
    }

    fn came(openings: u64, packets: u64) -> Came {
        Came { openings, packets, answered: None }
    }

    #[test]
    fn openings_that_nothing_follows_are_stuck() {
        let mut followed = Followed::default();
        assert_eq!(followed.stuck(1, came(9, 9)), None, "nothing to compare with");
        followed.sample(HashMap::from([(1, came(100, 900))]), at(0));
        for (now, stuck) in [
            (came(104, 904), None),
            (came(105, 905), Some(5)),
            (came(105, 906), None),
            (came(140, 942), Some(40)),
            (came(140, 943), None),
            (came(200, 1300), None),
            // The number is another member's since.
            (came(3, 5), None),
        ] {
            assert_eq!(followed.stuck(1, now), stuck, "{now:?}");
        }
        assert_eq!(followed.stuck(2, came(50, 50)), None);
    }

    #[test]
    fn where_answers_come_back_one_shows_the_way() {
        let mut followed = Followed::default();
        let came = |openings, answered| Came { openings, packets: openings, answered };
        followed.sample(HashMap::from([(1, came(10, Some(10))), (2, came(10, None))]), at(0));
        for (now, stuck) in [
            (came(14, Some(10)), None),
            (came(15, Some(10)), Some(5)),
            // Openings alone come, as of a flood, and are answered.
            (came(500, Some(11)), None),
            (Came { packets: 900, ..came(15, Some(10)) }, Some(5)),
        ] {
            assert_eq!(followed.stuck(1, now), stuck, "{now:?}");
        }
        assert_eq!(followed.stuck(2, came(90, Some(3))), None, "its pool was another's till now");
    }

    #[test]
    fn a_minute_counts() {
        let mut followed = Followed::default();
        for second in [0, 10, 20, 30, 40, 50, 60, 70] {
            followed.sample(HashMap::from([(1, came(second, 9 * second))]), at(second));
        }
        // Packets followed until a minute ago, and no more.
        assert_eq!(followed.stuck(1, came(90, 90 + 8 * 70)), None);
        for second in [80, 90, 100, 110, 120, 130, 140] {
            followed.sample(HashMap::from([(1, came(second, second + 8 * 70))]), at(second));
        }
        assert_eq!(followed.stuck(1, came(150, 150 + 8 * 70)), Some(70));
    }
}
