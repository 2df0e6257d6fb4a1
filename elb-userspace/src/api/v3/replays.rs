//! Signatures of requests that change something: each is taken once, whatever the clock is set to, and not again by the
//! next agent.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::signed_dates::{LastDates, SKEW, seconds, written};

/// A request that changes something is done again only if it comes so soon after the first one: clients sign to the
/// second, so that two that are meant are equal only then.
const SAME: Duration = Duration::from_secs(2);
/// Signatures that are remembered of half an hour, and as many of the half hour before: 50 MB at the most. It is
/// 222 changes a second all the time.
pub(super) const REMEMBERED: usize = 400_000;

/// The signatures that were taken, for as long as they would be taken by the clock as it is. Of those that are forgotten
/// the last date is known: a clock that is set back makes them fresh again.
#[derive(Default)]
pub(super) struct Replays {
    /// When each was seen first, and those of the time before.
    seen: HashMap<Mark, Instant>,
    earlier: HashSet<Mark>,
    since: Option<Instant>,
    /// The last dates of those, and of what is not remembered one by one.
    seen_dates: LastDates,
    earlier_dates: LastDates,
    former: LastDates,
}

/// The first half of a signature, which is as good as the whole: only the owner of a secret makes any.
type Mark = u128;

/// A signature that is right.
pub(super) struct TakenSignature<'a> {
    pub(super) access: &'a str,
    pub(super) signature: &'a [u8],
    /// Seconds since 1970.
    pub(super) date: u64,
}

/// What is known of a signature.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen {
    New,
    Before,
    /// It is not known: signatures of its key are not remembered up to this date.
    Perhaps(u64),
    /// Nothing: there is no room to remember it.
    NoRoom,
}

impl Replays {
    /// Of an agent that starts: the one before it may have taken what was signed up to these dates.
    pub(super) fn after(former: LastDates) -> Self {
        Self { former, ..Self::default() }
    }

    /// Notes a signature, and says whether it was used some time before.
    pub(super) fn look(&mut self, taken: &TakenSignature<'_>, now: Instant) -> Seen {
        let TakenSignature { access, signature, date } = *taken;
        let Some(mark) = signature.first_chunk().copied().map(Mark::from_be_bytes) else {
            return Seen::Before;
        };
        self.turn(now);
        if self.earlier.contains(&mark) {
            return Seen::Before;
        }
        let first = self.seen.get(&mark).copied();
        if first.is_none() {
            if let Some(last) = self.former.last(access).filter(|last| date <= *last) {
                return Seen::Perhaps(last);
            }
            if self.seen.len() >= REMEMBERED {
                return Seen::NoRoom;
            }
            self.seen.insert(mark, now);
            self.seen_dates.raise(access, date);
        }
        let first = first.unwrap_or(now);
        if now.duration_since(first) <= SAME { Seen::New } else { Seen::Before }
    }

    /// A signature is taken for twice the skew at the most: those of the half hour before the last are forgotten.
    fn turn(&mut self, now: Instant) {
        if self.since.is_some_and(|since| now < since + 2 * SKEW) {
            return;
        }
        self.since = Some(now);
        self.earlier = self.seen.drain().map(|(mark, _)| mark).collect();
        self.former.raise_all(&self.earlier_dates);
        self.earlier_dates = std::mem::take(&mut self.seen_dates);
    }

    #[cfg(test)]
    pub(super) fn remembers_nothing(&self) -> bool {
        self.seen.is_empty() && self.earlier.is_empty()
    }
}

/// Why a signature is refused that may have been taken before, and what helps: signing again does only where the clocks
/// are right.
pub(super) fn forgotten(last: u64, wall: SystemTime) -> String {
    let (until, now) = (written(last), written(seconds(wall)));
    if last > seconds(wall + SKEW) {
        return format!(
            "this host's clock was ahead and was set back: it is {now} now, and it took changes that this key signed for \
             times up to {until}. Until then what the key signs might be done twice, and is refused; make another key \
             (elb key create), or show the token in X-Auth-Token"
        );
    }
    format!(
        "this request is signed for a time up to {until}, of which this host, whose clock is at {now}, does not know each \
         request that it received: it was started, or its clock was set back. Sign it again after that time, by a clock \
         that is right, or show the token in X-Auth-Token"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signature(n: u64) -> Vec<u8> {
        [[0; 8], n.to_be_bytes(), [0; 8], [0; 8]].concat()
    }

    fn look(replays: &mut Replays, n: u64, date: u64, now: Instant) -> Seen {
        let signature = signature(n);
        replays.look(&TakenSignature { access: "a", signature: &signature, date }, now)
    }

    #[test]
    fn so_many_signatures_are_remembered_and_no_more() {
        let (mut replays, start) = (Replays::default(), Instant::now());
        let all = REMEMBERED as u64;
        for n in 0..all {
            assert_eq!(look(&mut replays, n, 5, start), Seen::New);
        }
        assert_eq!(look(&mut replays, all, 5, start), Seen::NoRoom);
        assert_eq!(look(&mut replays, 0, 5, start + 2 * SAME), Seen::Before);
        let later = start + 2 * SKEW;
        assert_eq!(look(&mut replays, all, 5, later), Seen::New);
        assert_eq!(look(&mut replays, 0, 5, later), Seen::Before, "of the half hour before");
    }

    /// A clock that is set back by hours makes signatures fresh again that are long forgotten.
    #[test]
    fn what_is_forgotten_is_not_taken_again_when_the_clock_is_set_back() {
        let (mut replays, start) = (Replays::default(), Instant::now());
        assert_eq!(look(&mut replays, 1, 1000, start), Seen::New);
        for turns in 1..4 {
            let now = start + 2 * SKEW * turns;
            let known = if turns == 1 { Seen::Before } else { Seen::Perhaps(1000) };
            assert_eq!(look(&mut replays, 1, 1000, now), known, "{turns}");
        }
        let now = start + 7 * SKEW;
        assert_eq!(look(&mut replays, 2, 1000, now), Seen::Perhaps(1000));
        assert_eq!(look(&mut replays, 3, 1001, now), Seen::New);
    }

    #[test]
    fn a_refusal_says_whether_the_clock_is_at_fault() {
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600);
        let said = forgotten(seconds(wall) + 86_400, wall);
        assert!(said.contains("clock was ahead") && said.contains("20260102T000000Z"), "{said}");
        let said = forgotten(seconds(wall) + 60, wall);
        assert!(said.contains("Sign it again") && said.contains("20260101T000100Z"), "{said}");
    }
}
