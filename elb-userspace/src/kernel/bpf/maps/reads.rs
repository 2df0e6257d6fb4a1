//! What is read while the maps serve: counters, states, single records, rings.

use super::super::clock::coarse_seconds;
use elb_common::counter::Answers;

use super::*;

impl Maps {
    /// What a listener forwarded.
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn listener_counter(&self, id: u16) -> Result<Counter, MapError> {
        total(&self.listener_counters, u32::from(id)).map_err(at(names::LISTENER_COUNTERS))
    }

    /// What was translated back to clients of a listener.
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn listener_replies(&self, id: u16) -> Result<Counter, MapError> {
        self.replies.of_listener(id)
    }

    /// What a backend answered, of what was translated back.
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn backend_replies(&self, id: u16) -> Result<Counter, MapError> {
        self.replies.of_backend(id)
    }

    /// What these answers said of TCP connections of a listener.
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn listener_answers(&self, id: u16) -> Result<Answers, MapError> {
        self.replies.answers_of_listener(id)
    }

    /// What these answers said of TCP connections at a backend.
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn backend_answers(&self, id: u16) -> Result<Answers, MapError> {
        self.replies.answers_of_backend(id)
    }

    /// What a listener has open and recorded.
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn listener_state(&self, id: u16) -> Result<ListenerState, MapError> {
        let state = self.listener_states.get(&u32::from(id), 0);
        Ok(state.map_err(at(names::LISTENER_STATES))?.0)
    }

    /// Connections that a backend has open, where they are tracked.
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn backend_connections(&self, id: u16) -> Result<u32, MapError> {
        let state =
            self.backend_states.get(&u32::from(id), 0).map_err(at(names::BACKEND_STATES))?;
        Ok(connections(state.0.connections))
    }

    /// When a flow of a pool last found no room for its record, in coarse monotonic seconds; 0: never.
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn last_refused(&self, pool: u16) -> Result<u32, MapError> {
        let state =
            self.lookups.pool_states.get(&u32::from(pool), 0).map_err(at(names::POOL_STATES))?;
        Ok(state.0.refused)
    }

    /// What a backend got.
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn backend_counter(&self, id: u16) -> Result<Counter, MapError> {
        total(&self.backend_counters, u32::from(id)).map_err(at(names::BACKEND_COUNTERS))
    }

    /// TCP connections that were opened at a backend; a client that repeats itself counts again.
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn backend_opened(&self, id: u16) -> Result<u64, MapError> {
        let counts = self.opened.get(&u32::from(id), 0).map_err(at(names::BACKEND_OPENED))?;
        Ok(counts.iter().fold(0, |sum, count| sum.wrapping_add(count.0)))
    }

    /// The second in which a connection id last named a backend that takes no new flows; none: never.
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn last_named(&self, id: u16) -> Result<Option<u32>, MapError> {
        let seen = self.named.get(&u32::from(id), 0).map_err(at(names::BACKENDS_NAMED))?;
        Ok((seen != 0).then_some(seen))
    }

    /// What is recorded of a flow.
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn flow(&self, key: &FlowKey) -> Result<Option<Flow>, MapError> {
        let (name, found) = match key {
            FlowKey::V4(key) => (names::FLOWS_V4, self.lookups.flows_v4.get(&Record(*key), 0)),
            FlowKey::V6(key) => (names::FLOWS_V6, self.lookups.flows_v6.get(&Record(*key), 0)),
        };
        match found {
            Ok(flow) => Ok(Some(flow.0)),
            Err(aya::maps::MapError::KeyNotFound) => Ok(None),
            Err(error) => Err(at(name)(error)),
        }
    }

    /// What was not forwarded for a reason.
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn reason_counter(&self, reason: Reason) -> Result<Counter, MapError> {
        total(&self.reason_counters, reason as u32).map_err(at(names::REASON_COUNTERS))
    }

    /// How many slots each owner of a region has, and how many slots are not settled.
    pub fn shares(&self, region: Region) -> (std::collections::HashMap<u16, u32>, u32) {
        // A hash for each slot would take ten times as long, while nothing else happens.
        let (mut slots, mut unsettled) = (vec![0_u32; usize::from(u16::MAX) + 1], 0);
        for slot in self.rings.words(region).slots() {
            slots[usize::from(slot.cur())] += 1;
            unsettled += u32::from(!slot.is_settled());
        }
        let owners = (0..=u16::MAX).zip(slots).filter(|(_, slots)| *slots > 0);
        (owners.collect(), unsettled)
    }

    /// Whether any slot of a region has an owner.
    pub fn is_any_owned(&self, region: Region) -> bool {
        self.rings.words(region).slots().any(|slot| slot.cur() != 0)
    }

    /// Slots of a region whose present owner an id is, and slots whose former one it is.
    pub fn naming(&self, region: Region, id: u16) -> (u32, u32) {
        let slots = self.rings.words(region).slots();
        slots.fold((0, 0), |(owned, former), slot| {
            let was_other = slot.prev() == id && slot.cur() != id;
            (owned + u32::from(slot.cur() == id), former + u32::from(was_other))
        })
    }

    /// Empties what lies outside of all `regions`: left behind by pools that no longer exist.
    pub fn clear_all_but(&self, mut regions: Vec<Region>) {
        regions.sort_by_key(|region| region.base);
        let mut base = 0;
        for region in regions {
            self.rings.words(Region { base, size: region.base.saturating_sub(base) }).clear();
            base = region.base.saturating_add(region.size).next_multiple_of(CHUNK);
        }
        let all = self.capacity.chunks * CHUNK;
        self.rings.words(Region { base, size: all.saturating_sub(base) }).clear();
    }

    /// All ids that a region's slots name, as present or former owners.
    pub fn named(&self, region: Region) -> std::collections::BTreeSet<u16> {
        let slots = self.rings.words(region).slots();
        let ids = slots.flat_map(|slot| [slot.cur(), slot.prev()]);
        ids.filter(|id| ![0, Slot::NO_MEMBER].contains(id)).collect()
    }

    /// The owners of a region's slots.
    pub fn owners(&self, region: Region) -> Vec<u16> {
        self.rings.words(region).slots().map(Slot::cur).collect()
    }

    /// Converts moving slots; see [`crate::control::ring::region::Words::convert`].
    pub fn convert(&self, region: Region, refused: u32, idle: u32) {
        self.rings.words(region).convert(coarse_seconds(), refused, idle);
    }

    /// Settles slots after a sweep; see [`crate::control::ring::region::Words::settle`].
    pub fn settle(&self, region: Region, swept: u32) {
        self.rings.words(region).settle(swept);
    }

    /// In which states the slots of a region are.
    pub fn states(&self, region: Region) -> States {
        self.rings.words(region).states()
    }
}

/// The values of all CPUs together.
pub(super) fn total<T: bytemuck::Pod + std::iter::Sum>(
    counters: &PerCpuArray<MapData, Record<T>>,
    index: u32,
) -> Result<T, aya::maps::MapError> {
    Ok(counters.get(&index, 0)?.iter().map(|counter| counter.0).sum())
}
