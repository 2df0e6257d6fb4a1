//! Which neighbours are asked for, and when. Pure: the clock is an argument.
//!
//! XDP sends packets by an Ethernet address without the kernel's noticing. To the kernel the neighbour
//! is unused, and that its address changed would not be noticed. Each one in use is therefore kept by
//! the kernel (`NTF_EXT_MANAGED`), and made to confirm its address now and then; one that is missing
//! is asked for again and again, less often when it has been silent for long.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::messages::State;
use crate::control::network::Neighbor;

/// How often a neighbour has to confirm its address: a change that is not announced is noticed within
/// this and the three seconds that the kernel asks.
pub(super) const CONFIRM: Duration = Duration::from_secs(5);
/// How often a neighbour that does not answer is asked for again, at first …
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// … and after so many times.
const PATIENT: u32 = 30;
const ASK_LATER: Duration = Duration::from_secs(5);
/// Neighbours that are asked for together, and how long all rest afterwards: 640 a second.
pub(super) const TOGETHER: usize = 32;
const REST: Duration = Duration::from_millis(50);

/// What is to be done about a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// Resolve it, and keep it resolved.
    Keep(Neighbor),
    /// Let it confirm its address, and keep it resolved.
    Verify(Neighbor),
    /// It is no longer used.
    Leave(Neighbor),
}

/// What was done about each neighbour in use.
#[derive(Debug, Default)]
pub(super) struct Attention {
    cases: BTreeMap<Neighbor, Case>,
    left: BTreeSet<Neighbor>,
    rests_until: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Case {
    state: Option<State>,
    at: Instant,
    /// How often it was asked for without an answer.
    tries: u32,
    /// Whether the kernel keeps it.
    is_kept: bool,
}

impl Attention {
    /// These neighbours are in use, and this is what the kernel has of them.
    pub(super) fn follow(&mut self, used: &BTreeMap<Neighbor, Option<State>>, now: Instant) {
        let gone = self.cases.iter().filter(|(neighbor, _)| !used.contains_key(*neighbor));
        self.left.extend(gone.filter(|(_, case)| case.is_kept).map(|(neighbor, _)| *neighbor));
        self.cases.retain(|neighbor, _| used.contains_key(neighbor));
        if !self.left.is_empty() {
            self.rests_until.get_or_insert(now);
        }
        for (neighbor, state) in used {
            self.left.remove(neighbor);
            let fresh = Case { state: *state, at: now, tries: 0, is_kept: false };
            let case = self.cases.entry(*neighbor).or_insert(fresh);
            case.saw(*state, now);
        }
    }

    /// What is to be done now.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Request> {
        if self.rests_until.is_some_and(|until| now < until) {
            return Vec::new();
        }
        let mut due = Vec::new();
        while due.len() < TOGETHER
            && let Some(neighbor) = self.left.pop_first()
        {
            due.push(Request::Leave(neighbor));
        }
        let mut cases: Vec<_> = self
            .cases
            .iter_mut()
            .filter(|(_, case)| case.due().is_some_and(|at| at <= now))
            .collect();
        cases.sort_by_key(|(_, case)| case.at);
        for (neighbor, case) in cases.into_iter().take(TOGETHER - due.len()) {
            due.push(case.next(*neighbor, now));
        }
        if due.len() == TOGETHER {
            self.rests_until = Some(now + REST);
        }
        due
    }

    /// When there is something to do next.
    pub(super) fn next(&self) -> Option<Instant> {
        let first = self.cases.values().filter_map(Case::due).min();
        let first = if self.left.is_empty() { first } else { self.rests_until.or(first) };
        first.map(|at| self.rests_until.map_or(at, |until| at.max(until)))
    }
}

impl Case {
    /// What the kernel has of it.
    fn saw(&mut self, state: Option<State>, now: Instant) {
        let before = std::mem::replace(&mut self.state, state);
        if before == state {
            return;
        }
        let had_address = before.is_some_and(State::has_address);
        match state {
            Some(State::Known) => {
                self.tries = 0;
                if !had_address {
                    self.at = if self.is_kept { now + CONFIRM } else { now };
                }
            }
            // It spoke, and did not answer: whether it does now is asked at once.
            Some(State::Unconfirmed) if !had_address => self.at = now,
            Some(State::Unconfirmed) => {}
            // The kernel asks.
            Some(State::Asked) | Some(State::Fixed) => {}
            // The first time at once.
            Some(State::Silent) | None => {
                self.is_kept &= state.is_some();
                if self.tries == 0 {
                    self.at = now;
                }
            }
        }
    }

    fn due(&self) -> Option<Instant> {
        (self.state != Some(State::Fixed)).then_some(self.at)
    }

    fn next(&mut self, neighbor: Neighbor, now: Instant) -> Request {
        let request = match self.state {
            Some(State::Known | State::Unconfirmed) if self.is_kept => {
                self.at = now + CONFIRM;
                Request::Verify(neighbor)
            }
            Some(State::Known | State::Unconfirmed) => {
                self.at = now + CONFIRM;
                Request::Keep(neighbor)
            }
            _ => {
                self.tries = self.tries.saturating_add(1);
                self.at = now + if self.tries < PATIENT { ASK_AGAIN } else { ASK_LATER };
                Request::Keep(neighbor)
            }
        };
        self.is_kept = true;
        request
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::IpAddr;

    fn neighbor(n: u8) -> Neighbor {
        (2, IpAddr::from([10, 0, 0, n]))
    }

    fn used(all: &[(u8, Option<State>)]) -> BTreeMap<Neighbor, Option<State>> {
        all.iter().map(|(n, state)| (neighbor(*n), *state)).collect()
    }

    #[test]
    fn a_neighbour_is_kept_and_confirms_its_address() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut attention = Attention::default();
        attention.follow(&used(&[(1, None)]), start);
        assert_eq!(attention.due(start), [Request::Keep(neighbor(1))]);
        assert_eq!((attention.due(start), attention.next()), (vec![], Some(at(1))));
        attention.follow(&used(&[(1, Some(State::Asked))]), start);
        attention.follow(&used(&[(1, Some(State::Known))]), start);
        assert_eq!((attention.due(at(4)), attention.next()), (vec![], Some(at(5))));
        assert_eq!(attention.due(at(5)), [Request::Verify(neighbor(1))]);
        attention.follow(&used(&[(1, Some(State::Silent))]), at(13));
        assert_eq!(attention.due(at(13)), [Request::Keep(neighbor(1))], "at once");
        attention.follow(&used(&[(1, Some(State::Asked))]), at(13));
        attention.follow(&used(&[(1, Some(State::Silent))]), at(13));
        assert_eq!(attention.due(at(13)), [], "not as often as the kernel gives up");
        attention.follow(&used(&[]), at(13));
        assert_eq!(attention.due(at(13)), [Request::Leave(neighbor(1))]);
        assert_eq!((attention.due(at(99)), attention.next()), (vec![], None));
    }

    /// A host that was silent sends an ARP request: it is there, and whether it answers is asked now.
    #[test]
    fn one_that_spoke_is_asked_at_once() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut attention = Attention::default();
        let saw = |attention: &mut Attention, state, now| {
            attention.follow(&used(&[(1, Some(state))]), at(now));
            attention.due(at(now))
        };
        assert_eq!(saw(&mut attention, State::Silent, 0), [Request::Keep(neighbor(1))]);
        assert_eq!(saw(&mut attention, State::Unconfirmed, 0), [Request::Verify(neighbor(1))]);
        assert_eq!(saw(&mut attention, State::Silent, 3), [], "no answer, and its turn is later");
        assert_eq!(saw(&mut attention, State::Unconfirmed, 4), [Request::Verify(neighbor(1))]);
        assert_eq!(saw(&mut attention, State::Known, 4), []);
        assert_eq!(saw(&mut attention, State::Unconfirmed, 8), [], "known since five seconds ago");
        assert_eq!(saw(&mut attention, State::Unconfirmed, 9), [Request::Verify(neighbor(1))]);
    }

    #[test]
    fn what_an_administrator_made_is_left_alone() {
        let now = Instant::now();
        let mut attention = Attention::default();
        attention.follow(&used(&[(1, Some(State::Fixed))]), now);
        assert_eq!((attention.due(now), attention.next()), (vec![], None));
        attention.follow(&used(&[]), now);
        assert_eq!(attention.due(now), []);
    }

    proptest! {
        /// However many are missing or known: never more requests than allowed, and each has its turn.
        #[test]
        fn requests_are_bounded_and_fair(
            missing in 0u8..120, known in 0u8..120, seconds in 1u64..40,
        ) {
            let start = Instant::now();
            let mut all: Vec<_> = (0..missing).map(|n| (n, None)).collect();
            all.extend((0..known).map(|n| (n + 120, Some(State::Known))));
            let mut attention = Attention::default();
            attention.follow(&used(&all), start);
            let (mut now, mut asked) = (start, BTreeMap::new());
            while let Some(next) = attention.next().filter(|next| *next < start + Duration::from_secs(seconds)) {
                prop_assert!(next >= now);
                now = next;
                let due = attention.due(now);
                prop_assert!(!due.is_empty() && due.len() <= TOGETHER);
                for request in due {
                    let (Request::Keep(neighbor) | Request::Verify(neighbor)) = request else {
                        return Err(TestCaseError::fail("all are in use"));
                    };
                    *asked.entry(neighbor).or_insert(0u64) += 1;
                }
            }
            prop_assert_eq!(asked.len(), all.len());
            for ((_, address), count) in asked {
                let IpAddr::V4(address) = address else { unreachable!() };
                let most = if address.octets()[3] < 120 { seconds } else { seconds.div_ceil(5) };
                prop_assert!(count <= most, "{address}: {count} times in {seconds} s");
            }
        }
    }
}
