//! The views, and the columns of each.

use clap::ValueEnum;

/// What is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum View {
    /// Load balancers and their listeners.
    #[default]
    Listeners,
    /// Pools.
    Pools,
    /// Members of pools.
    Members,
    /// What is not forwarded, and why.
    Drops,
    /// Members that turned unhealthy or recovered.
    Events,
}

/// A column. Where there is little room, those of a higher rank are left out first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) title: &'static str,
    pub(super) rank: u8,
}

const fn column(title: &'static str, rank: u8) -> Column {
    Column { title, rank }
}

const LISTENERS: &[Column] = &[
    column("STATE", 1),
    column("BALANCER", 7),
    column("LISTENER", 0),
    column("ADDRESS", 5),
    column("PROTO", 6),
    column("PKT/S", 2),
    column("BYTE/S", 3),
    column("REPLY/S", 10),
    column("REPLY B/S", 11),
    column("OPEN", 4),
    column("LIMIT", 9),
    column("POOL", 8),
];

const POOLS: &[Column] = &[
    column("POOL", 0),
    column("UP", 1),
    column("MEMBERS", 2),
    column("PKT/S", 3),
    column("BYTE/S", 4),
    column("REPLY/S", 11),
    column("REPLY B/S", 12),
    column("NEW/S", 5),
    column("SLOTS", 8),
    column("MOVING", 6),
    column("LISTENERS", 9),
    column("FORWARDING", 10),
    column("ALGORITHM", 7),
];

const MEMBERS: &[Column] = &[
    column("STATE", 1),
    column("MEMBER", 0),
    column("POOL", 6),
    column("ADDRESS", 7),
    column("WEIGHT", 10),
    column("DUE", 3),
    column("GOT", 4),
    column("PKT/S", 2),
    column("BYTE/S", 5),
    column("REPLY/S", 13),
    column("REPLY B/S", 14),
    column("NEW/S", 8),
    column("OPEN", 9),
    column("SINCE", 12),
    column("REASON", 11),
];

const DROPS: &[Column] = &[
    column("FATE", 3),
    column("REASON", 0),
    column("PKT/S", 1),
    column("BYTE/S", 4),
    column("TOTAL", 2),
    column("MEANING", 5),
    column("WHAT TO DO", 6),
];

const EVENTS: &[Column] = &[
    column("TIME", 2),
    column("EVENT", 1),
    column("MEMBER", 0),
    column("POOL", 3),
    column("ADDRESS", 6),
    column("FROM", 7),
    column("LASTED", 5),
    column("REASON", 4),
];

impl View {
    /// All, in the order of their keys.
    pub(super) const ALL: [Self; 5] =
        [Self::Listeners, Self::Pools, Self::Members, Self::Drops, Self::Events];

    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Listeners => "listeners",
            Self::Pools => "pools",
            Self::Members => "members",
            Self::Drops => "drops",
            Self::Events => "events",
        }
    }

    pub(super) const fn columns(self) -> &'static [Column] {
        match self {
            Self::Listeners => LISTENERS,
            Self::Pools => POOLS,
            Self::Members => MEMBERS,
            Self::Drops => DROPS,
            Self::Events => EVENTS,
        }
    }

    /// Its place in [`Self::ALL`].
    pub(super) const fn index(self) -> usize {
        self as usize
    }

    /// The one after it, or before it.
    pub(super) const fn turn(self, forward: bool) -> Self {
        let count = Self::ALL.len();
        Self::ALL[(self.index() + if forward { 1 } else { count - 1 }) % count]
    }
}

/// Those of the columns that fit into `room`, in their order; `widths` are those of all. The most important
/// one is there always.
pub(super) fn fitting(columns: &[Column], widths: &[usize], room: usize) -> Vec<usize> {
    let mut by_rank: Vec<usize> = (0..columns.len()).collect();
    by_rank.sort_by_key(|index| columns[*index].rank);
    let (mut taken, mut used) = (Vec::new(), 0);
    for index in by_rank {
        // The last column may be cut.
        let is_last = index + 1 == columns.len();
        let width = if is_last { widths[index].min(LAST) } else { widths[index] };
        let needed = width + usize::from(!taken.is_empty());
        if taken.is_empty() || used + needed <= room {
            taken.push(index);
            used += needed;
        }
    }
    taken.sort_unstable();
    taken
}

/// The room that the last column, a text, wants at least.
const LAST: usize = 16;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn views_turn_in_a_circle() {
        for view in View::ALL {
            assert_eq!(view.turn(true).turn(false), view);
            assert_eq!(View::ALL[view.index()], view);
        }
        assert_eq!(View::Events.turn(true), View::Listeners);
    }

    #[test]
    fn ranks_are_there_once() {
        for view in View::ALL {
            let mut ranks: Vec<_> = view.columns().iter().map(|column| column.rank).collect();
            ranks.sort_unstable();
            ranks.dedup();
            assert_eq!(ranks.len(), view.columns().len(), "{view:?}");
            assert_eq!(ranks[0], 0, "{view:?}");
        }
    }

    #[test]
    fn the_least_important_are_left_out() {
        let titles = |room| {
            let columns = View::Members.columns();
            let widths: Vec<_> = columns.iter().map(|column| column.title.len() + 2).collect();
            let fit = fitting(columns, &widths, room);
            fit.into_iter().map(|index| columns[index].title).collect::<Vec<_>>()
        };
        assert_eq!(titles(1), ["MEMBER"]);
        assert_eq!(titles(25), ["STATE", "MEMBER", "PKT/S"]);
        assert_eq!(titles(500).len(), View::Members.columns().len());
    }

    /// Whether the columns that are taken fit into a room where each wants this much.
    fn fits(room: usize, wide: usize) -> bool {
        View::ALL.iter().all(|view| {
            let columns = view.columns();
            let widths: Vec<_> = columns.iter().map(|one| one.title.len().max(wide)).collect();
            let fit = fitting(columns, &widths, room);
            let width = |index: &usize| {
                let is_last = index + 1 == columns.len();
                if is_last { widths[*index].min(LAST) } else { widths[*index] }
            };
            let all: usize = fit.iter().map(width).sum();
            fit.is_sorted() && !fit.is_empty() && (fit.len() == 1 || all + fit.len() - 1 <= room)
        })
    }

    #[test]
    fn a_last_column_that_wants_more_than_is_left_fits() {
        assert!(fits(69, 53));
    }

    proptest! {
        #[test]
        fn what_is_taken_fits(room in 0..300_usize, wide in 1..60_usize) {
            prop_assert!(fits(room, wide));
        }
    }
}
