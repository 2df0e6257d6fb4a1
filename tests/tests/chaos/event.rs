//! What may happen to a load balancer's host, one thing after the other: pure and seeded.

use std::{fmt, time::Duration};

use fastrand::Rng;

/// One event. All are over when it has been carried out: what was taken away by the way is for the
/// agent to restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The interface goes down and comes up again.
    Flap,
    /// The interface is deleted and made again, under another index.
    Replace,
    /// Someone deletes the rules of policy routing that are not the kernel's own.
    FlushRules,
    /// Someone deletes the routes of all tables but the main ones.
    FlushRoutes,
    /// Someone deletes the interfaces that probes leave by.
    DeleteProbeInterfaces,
    /// The kernel's neighbours are forgotten.
    FlushNeighbors,
    /// A member gets another Ethernet address, and says so to no one.
    ChangeMac { member: usize },
    /// Many routes come and go.
    RouteStorm,
    /// The agent crashes, and is started again.
    Kill,
    /// The agent is stopped, and is started again.
    Stop,
    /// The file changes the weights of the members.
    Reload { weight: u32 },
    /// The file is wrong for a while.
    Misspell,
    /// The file is empty for a while, but for `[agent]`.
    Empty,
    /// Another agent with the same pin directory is started.
    SecondAgent,
    /// Someone sets the wall clock, by so many days.
    SetClock { days: i64 },
    /// The disk of its state is full, a drain is refused, and the agent crashes and is started again.
    FullDisk,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flap => write!(f, "the interface goes down and up"),
            Self::Replace => write!(f, "the interface is made again"),
            Self::FlushRules => write!(f, "rules are flushed"),
            Self::FlushRoutes => write!(f, "routes are flushed"),
            Self::DeleteProbeInterfaces => write!(f, "the interfaces of probes are deleted"),
            Self::FlushNeighbors => write!(f, "neighbours are flushed"),
            Self::ChangeMac { member } => write!(f, "another Ethernet address of member {member}"),
            Self::RouteStorm => write!(f, "routes come and go"),
            Self::Kill => write!(f, "the agent is killed"),
            Self::Stop => write!(f, "the agent is stopped"),
            Self::Reload { weight } => write!(f, "weights become {weight}"),
            Self::Misspell => write!(f, "the file is wrong"),
            Self::Empty => write!(f, "the file is empty"),
            Self::SecondAgent => write!(f, "a second agent is started"),
            Self::SetClock { days } => write!(f, "the wall clock is set by {days} days"),
            Self::FullDisk => write!(f, "the disk is full and the agent killed"),
        }
    }
}

impl Event {
    /// Whether packets may have no way through the load balancer's own interface meanwhile.
    pub(crate) fn cuts_the_interface(self) -> bool {
        matches!(self, Self::Flap | Self::Replace)
    }

    /// Until everything is as the file wants it. A neighbour that says nothing of its new address is asked
    /// every five seconds, and by the kernel three times more before it gives the old one up.
    pub(crate) fn restored_within(self) -> Duration {
        Duration::from_secs(if let Self::ChangeMac { .. } = self { 20 } else { 10 })
    }

    /// The member whose connections it may touch.
    pub(crate) fn touches(self) -> Option<usize> {
        if let Self::ChangeMac { member } = self { Some(member) } else { None }
    }
}

/// A source of events.
#[derive(Debug)]
pub(crate) struct Events {
    members: usize,
    random: Rng,
    /// Kinds that have not come yet in this round: each comes once before any comes again.
    left: Vec<Event>,
}

impl Events {
    pub(crate) fn new(members: usize, seed: u64) -> Self {
        Self { members, random: Rng::with_seed(seed), left: Vec::new() }
    }

    /// The next one. The caller carries it out.
    pub(crate) fn next(&mut self) -> Event {
        if self.left.is_empty() {
            self.left = self.round();
            self.random.shuffle(&mut self.left);
        }
        self.left.pop().expect("a round has events")
    }

    /// A number from the same source, 0 to 1.
    pub(crate) fn random(&mut self) -> f64 {
        self.random.f64()
    }

    fn round(&mut self) -> Vec<Event> {
        let member = self.random.usize(..self.members);
        let weight = self.random.u32(1..=100);
        vec![
            Event::Flap,
            Event::Replace,
            Event::FlushRules,
            Event::FlushRoutes,
            Event::DeleteProbeInterfaces,
            Event::FlushNeighbors,
            Event::ChangeMac { member },
            Event::RouteStorm,
            Event::Kill,
            Event::Stop,
            Event::Reload { weight },
            Event::Misspell,
            Event::Empty,
            Event::SecondAgent,
            Event::SetClock { days: if self.random.bool() { 400 } else { -400 } },
            Event::FullDisk,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_events() {
        let list = |seed| {
            let mut events = Events::new(4, seed);
            (0..100).map(|_| events.next()).collect::<Vec<_>>()
        };
        assert_eq!(list(7), list(7));
        assert_ne!(list(7), list(8));
    }

    #[test]
    fn each_kind_comes_once_a_round() {
        let mut events = Events::new(4, 1);
        let kinds = events.round().len();
        let kind = |event: Event| std::mem::discriminant(&event);
        let first: std::collections::HashSet<_> = (0..kinds).map(|_| kind(events.next())).collect();
        assert_eq!(first.len(), kinds);
    }
}
