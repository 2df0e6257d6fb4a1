//! What may change around connections that are held, one thing after the other: pure and seeded.

use std::fmt;

use fastrand::Rng;

/// Weights to choose from; 0 is a member that takes no new connections.
const WEIGHTS: [u32; 5] = [0, 1, 2, 3, 5];

/// How much likelier it is to repair a member than to change something else about it.
const REPAIRS: usize = 3;

/// One change; a member is named by its number among the backends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// It comes into the pool, or comes back.
    Add { member: usize, weight: u32 },
    /// It is taken out of the pool, and goes on serving.
    Remove { member: usize },
    /// It gets another weight.
    Weigh { member: usize, weight: u32 },
    /// It is drained by command, without an end to the connections it has.
    Drain { member: usize },
    /// It is not drained any more.
    Undrain { member: usize },
    /// Its server crashes.
    Kill { member: usize },
    /// Its server is started again.
    Restart { member: usize },
    /// Its cable is pulled.
    Unplug { member: usize },
    /// Its cable is put back in.
    Plug { member: usize },
    /// The listener changes to the other pool, which has the steady members only, or back.
    Switch,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Add { member, weight } => write!(f, "add {member} with weight {weight}"),
            Self::Remove { member } => write!(f, "remove {member}"),
            Self::Weigh { member, weight } => write!(f, "weight of {member} becomes {weight}"),
            Self::Drain { member } => write!(f, "drain {member}"),
            Self::Undrain { member } => write!(f, "undrain {member}"),
            Self::Kill { member } => write!(f, "kill {member}"),
            Self::Restart { member } => write!(f, "restart {member}"),
            Self::Unplug { member } => write!(f, "unplug {member}"),
            Self::Plug { member } => write!(f, "plug {member}"),
            Self::Switch => write!(f, "switch to the other pool"),
        }
    }
}

/// What a member's server and cable do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Works,
    Killed,
    Unplugged,
}

#[derive(Clone, Copy, Debug)]
struct Member {
    /// `None`: not in the pool.
    weight: Option<u32>,
    is_drained: bool,
    state: State,
}

impl Member {
    fn takes_new(&self) -> bool {
        self.weight > Some(0) && !self.is_drained
    }
}

/// A source of changes. The first members are steady: they are never removed and never fail, and
/// one of them always takes new connections. The others come first, one by one, and then anything
/// may happen.
#[derive(Debug)]
pub(crate) struct Changes {
    members: Vec<Member>,
    steady: usize,
    random: Rng,
    /// The first that has not come yet.
    next: usize,
    /// Whether the listener serves the other pool.
    is_switched: bool,
}

impl Changes {
    /// Changes of a pool that has `steady` members of weight 1, and of `others` backends.
    pub(crate) fn new(steady: usize, others: usize, seed: u64) -> Self {
        let member = |weight| Member { weight, is_drained: false, state: State::Works };
        let mut members = vec![member(Some(1)); steady];
        members.resize(steady + others, member(None));
        Self { members, steady, random: Rng::with_seed(seed), next: steady, is_switched: false }
    }

    /// The next change. The caller carries it out.
    pub(crate) fn next(&mut self) -> Change {
        let change = if self.next < self.members.len() {
            self.next += 1;
            Change::Add { member: self.next - 1, weight: 1 }
        } else {
            let possible = self.possible();
            self.random.choice(possible).expect("a weight can always change")
        };
        self.note(change);
        change
    }

    /// A number from the same source, 0 to 1.
    pub(crate) fn random(&mut self) -> f64 {
        self.random.f64()
    }

    fn possible(&mut self) -> Vec<Change> {
        // Not for long: only the first pool has members that fail.
        let mut possible =
            vec![Change::Switch; if self.is_switched { 2 * REPAIRS } else { REPAIRS }];
        for member in 0..self.members.len() {
            let Member { weight, is_drained, state } = self.members[member];
            let other = self.weight_but(weight);
            match weight {
                None if state == State::Works => {
                    possible.push(Change::Add { member, weight: other });
                }
                None => {}
                Some(_) if other > 0 || self.may_rest(member) => {
                    possible.push(Change::Weigh { member, weight: other });
                }
                Some(_) => {}
            }
            if is_drained {
                possible.extend([Change::Undrain { member }; REPAIRS]);
            } else if weight.is_some() && (member >= self.steady || self.may_rest(member)) {
                possible.push(Change::Drain { member });
            }
            if member < self.steady {
                continue;
            }
            if weight.is_some() {
                possible.push(Change::Remove { member });
            }
            match state {
                State::Works => {
                    possible.push(Change::Kill { member });
                    possible.push(Change::Unplug { member });
                }
                // Not long: a member that is out of order has no connections to lose.
                State::Killed => possible.extend([Change::Restart { member }; REPAIRS]),
                State::Unplugged => possible.extend([Change::Plug { member }; REPAIRS]),
            }
        }
        possible
    }

    fn weight_but(&mut self, weight: Option<u32>) -> u32 {
        let others: Vec<u32> = WEIGHTS.into_iter().filter(|one| Some(*one) != weight).collect();
        self.random.choice(others).expect("there are many weights")
    }

    /// Whether a steady member other than this takes new connections.
    fn may_rest(&self, member: usize) -> bool {
        let mut steady = self.members[..self.steady].iter().enumerate();
        steady.any(|(one, state)| one != member && state.takes_new())
    }

    fn note(&mut self, change: Change) {
        match change {
            Change::Add { member, weight } | Change::Weigh { member, weight } => {
                self.members[member].weight = Some(weight);
            }
            Change::Remove { member } => {
                self.members[member].weight = None;
                self.members[member].is_drained = false;
            }
            Change::Drain { member } => self.members[member].is_drained = true,
            Change::Undrain { member } => self.members[member].is_drained = false,
            Change::Kill { member } => self.members[member].state = State::Killed,
            Change::Unplug { member } => self.members[member].state = State::Unplugged,
            Change::Restart { member } | Change::Plug { member } => {
                self.members[member].state = State::Works;
            }
            Change::Switch => self.is_switched = !self.is_switched,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_changes() {
        let list = |seed| {
            let mut changes = Changes::new(3, 3, seed);
            (0..100).map(|_| changes.next()).collect::<Vec<_>>()
        };
        assert_eq!(list(7), list(7));
        assert_ne!(list(7), list(8));
    }

    #[test]
    fn steady_members_stay_and_one_of_them_takes_new_connections() {
        let mut changes = Changes::new(3, 3, 1);
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..10_000 {
            let change = changes.next();
            seen.insert(change.to_string().split(' ').next().map(str::to_owned));
            let steady = &changes.members[..3];
            assert!(steady.iter().all(|one| one.weight.is_some() && one.state == State::Works));
            assert!(steady.iter().any(Member::takes_new), "after {change}");
        }
        assert_eq!(seen.len(), 10, "{seen:?}");
    }

    #[test]
    fn what_does_not_work_is_repaired_before_it_comes_back() {
        let mut changes = Changes::new(1, 2, 2);
        for _ in 0..10_000 {
            if let Change::Add { member, .. } = changes.next() {
                assert_eq!(changes.members[member].state, State::Works);
            }
        }
    }
}
