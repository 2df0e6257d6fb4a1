//! What the oracle remembers of flows, and whom that gives a packet to: the rules of just-enough tracking
//! for pools that choose by a hash, in the plainest way. Counts are believed, and no record is too old.

use std::collections::HashMap;

use elb_common::reason::Reason;
use elb_common::ring::Slot;

use super::{FlowId, Says, Step};
use crate::world::World;

/// What is remembered of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remembered {
    pub backend: u16,
    /// Index of the listener.
    pub listener: usize,
    /// One packet came, and it opened nothing.
    pub stray: bool,
    /// The client said that it is over.
    pub closed: bool,
    /// Its second packet found no room, which was counted.
    refused: bool,
}

/// Records of a listener, and of all: in all, and strays.
type Counts = HashMap<(Option<usize>, bool), [u64; 2]>;

/// Flows in both stages.
#[derive(Default)]
pub struct Flows {
    /// One packet came, which opened them.
    pub openings: HashMap<FlowId, Remembered>,
    /// More came, or one of a flow that is older than all records.
    pub live: HashMap<FlowId, Remembered>,
    /// By listener: how often a flow found no room.
    pub refused: HashMap<usize, u64>,
    counts: Counts,
}

/// A packet of a flow on a slot.
pub struct Asked<'w> {
    pub world: &'w World,
    pub flow: FlowId,
    pub listener: usize,
    pub slot: (u16, u16),
    pub says: Says,
}

impl Asked<'_> {
    fn is_settled(&self) -> bool {
        self.slot.1 == 0
    }

    /// Otherwise only records make exceptions from the present owner.
    fn is_moving(&self) -> bool {
        let (cur, prev) = self.slot;
        !self.is_settled() && prev != cur && prev != Slot::NO_MEMBER
    }

    /// Who serves what is older than all records.
    fn older(&self) -> u16 {
        let (cur, prev) = self.slot;
        let serves = self.world.backends.get(&prev).is_some_and(|backend| backend.established);
        if self.is_moving() && serves { prev } else { cur }
    }

    fn takes_new(&self, id: u16) -> bool {
        self.world.backends.get(&id).is_some_and(|backend| backend.takes_new)
    }

    /// For a while after a change datagrams belong to older flows.
    fn opens(&self) -> bool {
        let pool = self.world.listeners[self.listener].pool;
        let held = self.is_moving() && self.world.now < self.world.pools[&pool].udp_hold_until;
        self.says == Says::New || self.says == Says::Nothing && !held
    }
}

impl Flows {
    /// Id of the backend, 0: none.
    pub fn owner(&mut self, asked: &Asked<'_>) -> Step<u16> {
        if asked.is_settled() {
            return Ok(asked.slot.0);
        }
        if let Some(known) = self.live(asked) {
            return Ok(known.backend);
        }
        if let Some(opening) = self.openings.get(&asked.flow).copied() {
            if matches!(asked.says, Says::Old | Says::Nothing) {
                self.promote(asked, opening);
            }
            return Ok(opening.backend);
        }
        if asked.says == Says::Quoted {
            return Ok(asked.older());
        }
        if !asked.is_moving() {
            return Ok(asked.slot.0);
        }
        if asked.opens() { self.open(asked) } else { Ok(self.older(asked)) }
    }

    /// Records of a listener and strays among them, of an IP version.
    pub fn of(&self, listener: usize, is_v6: bool) -> [u64; 2] {
        self.counts.get(&(Some(listener), is_v6)).copied().unwrap_or_default()
    }

    fn live(&mut self, asked: &Asked<'_>) -> Option<Remembered> {
        let mut known = self.live.get(&asked.flow).copied()?;
        match asked.says {
            Says::Quoted => return Some(known),
            Says::New if known.closed || !asked.takes_new(known.backend) => {
                self.forget(&asked.flow);
                return None;
            }
            // As likely repeated as the first of another connection.
            Says::New => return Some(known),
            Says::Closing => known = Remembered { closed: true, stray: false, ..known },
            Says::Old | Says::Nothing => known.stray = false,
        }
        self.record(asked.flow, known);
        Some(known)
    }

    fn promote(&mut self, asked: &Asked<'_>, opening: Remembered) {
        let ([own, _], free) = self.room(asked);
        if own < 2 * free {
            self.openings.remove(&asked.flow);
            self.record(asked.flow, Remembered { refused: false, ..opening });
        } else if !opening.refused {
            self.refuse(asked);
            self.openings.insert(asked.flow, Remembered { refused: true, ..opening });
        }
    }

    fn open(&mut self, asked: &Asked<'_>) -> Step<u16> {
        let (cur, older) = (asked.slot.0, asked.older());
        if cur == 0 {
            return Ok(0);
        }
        let ([own, _], free) = self.room(asked);
        if own < free {
            self.openings.insert(asked.flow, remembered(cur, asked));
            return Ok(cur);
        }
        self.refuse(asked);
        if older == cur || asked.takes_new(older) { Ok(older) } else { Err(Reason::NoRecord) }
    }

    fn older(&mut self, asked: &Asked<'_>) -> u16 {
        let older = asked.older();
        let ([own, strays], free) = self.room(asked);
        if older == 0 {
            return 0;
        }
        if 4 * strays < free && own < 2 * free {
            self.record(asked.flow, Remembered { stray: true, ..remembered(older, asked) });
        } else {
            self.refuse(asked);
        }
        older
    }

    /// What the listener has, and what is free.
    fn room(&self, asked: &Asked<'_>) -> ([u64; 2], u64) {
        let is_v6 = asked.flow.0.is_ipv6();
        let [all, _] = self.counts.get(&(None, is_v6)).copied().unwrap_or_default();
        let own = self.of(asked.listener, is_v6);
        (own, u64::from(asked.world.room).saturating_sub(all))
    }

    fn refuse(&mut self, asked: &Asked<'_>) {
        *self.refused.entry(asked.listener).or_default() += 1;
    }

    fn record(&mut self, flow: FlowId, known: Remembered) {
        self.forget(&flow);
        self.live.insert(flow, known);
        for count in self.counts(&flow, known) {
            count[0] += 1;
            count[1] += u64::from(known.stray);
        }
    }

    fn forget(&mut self, flow: &FlowId) {
        let Some(known) = self.live.remove(flow) else { return };
        for count in self.counts(flow, known) {
            count[0] -= 1;
            count[1] -= u64::from(known.stray);
        }
    }

    fn counts(&mut self, flow: &FlowId, known: Remembered) -> [&mut [u64; 2]; 2] {
        let keys = [Some(known.listener), None].map(|listener| (listener, flow.0.is_ipv6()));
        for key in keys {
            self.counts.entry(key).or_default();
        }
        self.counts.get_disjoint_mut(keys.each_ref()).map(|count| count.expect("made above"))
    }
}

fn remembered(backend: u16, asked: &Asked<'_>) -> Remembered {
    let listener = asked.listener;
    Remembered { backend, listener, stray: false, closed: false, refused: false }
}
