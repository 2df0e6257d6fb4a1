//! Whether numbers from a file can be those of maps of these sizes: a damaged file may say anything.

use super::{AssignedPool, Assignments, IdSpace};
use crate::control::plan::Region;

impl Assignments {
    /// Whether every number has its place in the maps, and no slot belongs to two rings.
    pub fn fit(&self, room: IdSpace) -> bool {
        let below = |limit: u32| move |id: u16| u32::from(id) < limit;
        let mut listeners = self.listeners.values().map(|listener| listener.id);
        let mut pools = self.pools.values().map(|pool| pool.id);
        let members = self.pools.values().flat_map(|pool| &pool.members);
        let mut backends = members.map(|member| member.id);
        listeners.all(below(room.listeners))
            && pools.all(below(room.pools))
            && backends.all(below(room.backends))
            && self.regions_fit(room.slots)
    }

    fn regions_fit(&self, slots: u32) -> bool {
        let mut regions: Vec<Region> =
            self.pools.values().flat_map(AssignedPool::regions).collect();
        regions.sort_by_key(|region| region.base);
        let mut from = 0;
        regions.iter().all(|region| {
            let end = region.base.checked_add(region.size).filter(|end| *end <= slots);
            let is_apart = region.base >= from;
            from = end.unwrap_or(from);
            is_apart && end.is_some()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::assign::{AssignedMember, AssignedRing};
    use crate::control::ring::shape::Shape;

    const ROOM: IdSpace = IdSpace { listeners: 4, pools: 4, backends: 9, slots: 4_000 };

    fn pool(id: u16, base: u32, size: u32) -> AssignedPool {
        AssignedPool::new(id, AssignedRing { base, shape: Shape { size, ..Shape::default() } }, 0)
    }

    fn fit(pools: &[AssignedPool]) -> bool {
        let mut all = Assignments::default();
        for (at, pool) in pools.iter().enumerate() {
            all.adopt(crate::model::ResourceId::of_pool(&at.to_string()), pool.clone());
        }
        all.fit(ROOM)
    }

    #[test]
    fn numbers_beyond_the_maps_do_not_fit() {
        assert!(fit(&[]) && fit(&[pool(1, 0, 101), pool(3, 112, 3_888)]));
        assert!(!fit(&[pool(4, 0, 101)]), "no such pool id");
        assert!(!fit(&[pool(1, 3_904, 101)]), "beyond the last slot");
        assert!(!fit(&[pool(1, u32::MAX, 101)]) && !fit(&[pool(1, 16, u32::MAX)]));
        let id = |id| AssignedMember::new(id, ([10, 0, 0, 1], 80).into());
        assert!(fit(&[AssignedPool { members: vec![id(8)], ..pool(1, 0, 101) }]));
        assert!(!fit(&[AssignedPool { members: vec![id(9)], ..pool(1, 0, 101) }]));
    }

    #[test]
    fn no_slot_is_of_two_rings() {
        assert!(!fit(&[pool(1, 0, 101), pool(2, 96, 101)]));
        assert!(!fit(&[pool(1, 0, 101), pool(2, 0, 101)]));
        let former = Some(pool(1, 96, 101).ring);
        assert!(!fit(&[AssignedPool { former, ..pool(1, 0, 101) }]));
    }
}
