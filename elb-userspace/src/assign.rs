//! Which number stands for what: ids of listeners, pools and backends, and regions of the rings.
//!
//! The maps know numbers only. Which member a number means must survive the agent, so this is what
//! the agent saves; a new agent with the same file goes on with the same numbers.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use elb_common::ring::CHUNK;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::publish::Region;

/// Numbers of everything that is served, or was and may still have flows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignments {
    /// Listeners, by name.
    pub listeners: BTreeMap<String, u16>,
    /// Pools, by name.
    pub pools: BTreeMap<String, AssignedPool>,
    /// IP groups, by name.
    pub ip_groups: BTreeMap<String, u16>,
    /// Virtual addresses of both families.
    pub vips: BTreeMap<IpAddr, u16>,
    /// Where the search for a free backend id goes on: an id that was just freed is used last.
    next_backend: u16,
}

/// The numbers of a pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssignedPool {
    /// Index into `POOLS`.
    pub id: u16,
    /// First slot of its ring.
    pub base: u32,
    /// Slots of its ring.
    pub size: u32,
    /// Until when (coarse monotonic seconds) former owners keep unknown UDP flows.
    pub udp_hold_until: u32,
    /// Members, those included that were removed but may have flows.
    pub members: Vec<AssignedMember>,
}

/// The number of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssignedMember {
    /// Index into `BACKENDS`.
    pub id: u16,
    /// Its address.
    pub address: IpAddr,
    /// Its port; 0 where the pool takes any.
    pub port: u16,
    /// Whether it was removed and only serves flows that it has.
    pub removed: bool,
}

impl AssignedMember {
    /// Address and port.
    pub const fn socket(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }
}

impl AssignedPool {
    /// The pool's slots.
    pub const fn region(&self) -> Region {
        Region { base: self.base, size: self.size }
    }

    /// The present member with this address and port.
    pub fn member(&self, socket: SocketAddr) -> Option<&AssignedMember> {
        self.members.iter().find(|member| member.socket() == socket && !member.removed)
    }
}

/// A map is too small.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "no room for another {what}: [agent] {key} = {limit} is used up; raise it, after `elb detach`"
)]
pub struct Full {
    what: &'static str,
    key: &'static str,
    limit: u32,
}

/// What there is room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Listener ids.
    pub listeners: u32,
    /// Pool ids.
    pub pools: u32,
    /// Backend ids, 0 included, which stands for none.
    pub backends: u32,
    /// Ring slots.
    pub slots: u32,
    /// Records of each flow table.
    pub flows: u32,
    /// CPUs that the kernel may have.
    pub cpus: u32,
}

impl Assignments {
    /// Number of a listener.
    ///
    /// # Errors
    /// There are too many listeners.
    pub fn listener(&mut self, name: &str, room: Room) -> Result<u16, Full> {
        let full = Full { what: "listener", key: "max_listeners", limit: room.listeners };
        number(&mut self.listeners, name, room.listeners).ok_or(full)
    }

    /// Number of an IP group.
    pub fn ip_group(&mut self, name: &str) -> u16 {
        let id = number(&mut self.ip_groups, name, MOST);
        id.expect("a model has 50 groups at most, and those of the last one may still be here")
    }

    /// Number of a virtual address.
    ///
    /// # Errors
    /// There are too many virtual addresses.
    pub fn vip(&mut self, address: IpAddr) -> Result<u16, Full> {
        let full = Full { what: "virtual address", key: "VIPs", limit: MOST };
        number(&mut self.vips, &address, MOST).ok_or(full)
    }

    /// Numbers of a pool with a ring of `size` slots. A ring of another size is another ring, in
    /// another place, and never in one of `leaving`: packets still meet what stands there.
    ///
    /// # Errors
    /// There are too many pools, or the ring map is full.
    pub fn pool(
        &mut self,
        name: &str,
        size: u32,
        room: Room,
        leaving: &[Region],
    ) -> Result<&mut AssignedPool, Full> {
        if self.pools.get(name).is_none_or(|pool| pool.size != size) {
            let base = self.free_region(size, room.slots, leaving)?;
            if let Some(pool) = self.pools.get_mut(name) {
                (pool.base, pool.size) = (base, size);
            } else {
                let used: BTreeSet<u16> = self.pools.values().map(|pool| pool.id).collect();
                let full = Full { what: "pool", key: "pools", limit: room.pools };
                let id = free(&used, 0, room.pools).ok_or(full)?;
                let members = Vec::new();
                let pool = AssignedPool { id, base, size, udp_hold_until: 0, members };
                self.pools.insert(name.to_owned(), pool);
            }
        }
        Ok(self.pools.get_mut(name).expect("it was just made"))
    }

    /// Number of a member. One that was removed and comes back before its flows are gone gets the
    /// number it had. Numbers in `leaving` are not given: packets still meet who has them.
    ///
    /// # Errors
    /// There are too many members.
    pub fn member(
        &mut self,
        pool: &str,
        socket: SocketAddr,
        room: Room,
        leaving: &BTreeSet<u16>,
    ) -> Result<u16, Full> {
        let mut used = self.backend_ids();
        used.extend(leaving);
        let next = self.next_backend.max(1);
        let full = Full { what: "member", key: "max_backends", limit: room.backends };
        let pool = self.pools.get_mut(pool).expect("a pool is numbered before its members");
        if let Some(member) = pool.members.iter_mut().find(|m| m.socket() == socket) {
            member.removed = false;
            return Ok(member.id);
        }
        let id = free(&used, next, room.backends)
            .or_else(|| free(&used, 1, room.backends))
            .ok_or(full)?;
        let (address, port) = (socket.ip(), socket.port());
        pool.members.push(AssignedMember { id, address, port, removed: false });
        self.next_backend = id.wrapping_add(1);
        Ok(id)
    }

    /// Takes over the numbers of a pool and its members as the maps have them.
    pub fn adopt(&mut self, name: &str, pool: AssignedPool) {
        self.pools.insert(name.to_owned(), pool);
    }

    /// Ids of backends in use.
    pub fn backend_ids(&self) -> BTreeSet<u16> {
        self.pools.values().flat_map(|pool| &pool.members).map(|member| member.id).collect()
    }

    /// The first gap between the regions in use that holds `size` slots.
    fn free_region(&self, size: u32, slots: u32, leaving: &[Region]) -> Result<u32, Full> {
        let full = Full { what: "ring", key: "ring_slots", limit: slots };
        let used = self.pools.values().map(AssignedPool::region);
        let mut used: Vec<_> = used.chain(leaving.iter().copied()).collect();
        used.sort_by_key(|region| region.base);
        let mut base = 0u32;
        for region in used {
            if region.base >= base && region.base - base >= size {
                break;
            }
            let end = region.base.checked_add(region.size).ok_or(full)?;
            base = base.max(end.checked_next_multiple_of(CHUNK).ok_or(full)?);
        }
        let end = base.checked_add(size).ok_or(full)?;
        if end > slots { Err(full) } else { Ok(base) }
    }
}

/// Numbers of a kind that has no map by number.
const MOST: u32 = 1 << 16;

/// The number of `key`, a new one if it has none; `None` if all below `limit` are in use.
fn number<K, Q>(numbers: &mut BTreeMap<K, u16>, key: &Q, limit: u32) -> Option<u16>
where
    K: Ord + Borrow<Q>,
    Q: Ord + ToOwned<Owned = K> + ?Sized,
{
    if let Some(id) = numbers.get(key) {
        return Some(*id);
    }
    let used: BTreeSet<u16> = numbers.values().copied().collect();
    let id = free(&used, 0, limit)?;
    numbers.insert(key.to_owned(), id);
    Some(id)
}

/// The first unused id from `first` on, below `limit`.
fn free(used: &BTreeSet<u16>, first: u16, limit: u32) -> Option<u16> {
    let last = u16::try_from(limit.checked_sub(1)?).unwrap_or(u16::MAX);
    (first..=last).find(|id| !used.contains(id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ROOM: Room =
        Room { listeners: 4, pools: 4, backends: 9, slots: 4_000, flows: 0, cpus: 1 };

    const NONE: &BTreeSet<u16> = &BTreeSet::new();

    fn socket(n: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, n], 80))
    }

    #[test]
    fn numbers_stay_and_freed_ones_are_used_last() {
        let mut all = Assignments::default();
        all.pool("a", 101, ROOM, &[]).unwrap();
        let first = all.member("a", socket(1), ROOM, NONE).unwrap();
        assert_eq!(all.member("a", socket(1), ROOM, NONE), Ok(first));
        assert_eq!(all.member("a", socket(2), ROOM, NONE), Ok(2));
        all.pools.get_mut("a").unwrap().members.remove(1);
        assert_eq!(all.member("a", socket(3), ROOM, NONE), Ok(3));
        for n in 4..=8 {
            assert_eq!(all.member("a", socket(n), ROOM, NONE), Ok(u16::from(n)));
        }
        assert_eq!(all.member("a", socket(9), ROOM, NONE), Ok(2));
        let full = all.member("a", socket(10), ROOM, NONE).unwrap_err();
        assert!(full.to_string().contains("max_backends = 9"), "{full}");
    }

    #[test]
    fn a_removed_member_that_comes_back_is_the_same() {
        let mut all = Assignments::default();
        all.pool("a", 101, ROOM, &[]).unwrap();
        let id = all.member("a", socket(1), ROOM, NONE).unwrap();
        all.pools.get_mut("a").unwrap().members[0].removed = true;
        assert!(all.pools["a"].member(socket(1)).is_none());
        assert_eq!(all.member("a", socket(1), ROOM, NONE), Ok(id));
        assert!(all.pools["a"].member(socket(1)).is_some());
    }

    proptest! {
        /// Whatever comes and goes: regions never overlap and stay within the map.
        #[test]
        fn regions_do_not_overlap(
            steps in prop::collection::vec((0u8..6, prop::option::of(1u32..900)), 1..40)
        ) {
            let mut all = Assignments::default();
            for (name, size) in steps {
                let name = name.to_string();
                match size {
                    Some(size) => drop(all.pool(&name, size, ROOM, &[]).map(|_| ())),
                    None => drop(all.pools.remove(&name)),
                }
                let mut regions: Vec<_> = all.pools.values().map(AssignedPool::region).collect();
                regions.sort_by_key(|region| region.base);
                for region in &regions {
                    prop_assert!(region.base % CHUNK == 0 && region.base + region.size <= ROOM.slots);
                }
                for pair in regions.windows(2) {
                    prop_assert!(pair[0].base + pair[0].size <= pair[1].base);
                }
            }
        }
    }
}
