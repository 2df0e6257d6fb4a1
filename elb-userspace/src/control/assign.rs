//! Which number stands for what: ids of listeners, pools and backends, and regions of the rings.
//!
//! The maps know numbers only. Which member a number means must survive the agent, so this is what
//! the agent saves; a new agent with the same file goes on with the same numbers.

mod fit;
mod ids;
mod listener;
mod written;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};

use elb_common::ring::CHUNK;
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use self::ids::Ids;
pub use self::listener::{AssignedListener, Embedding, FormerPool, LeftEmbedding, ListenerPlace};
use crate::control::plan::Region;
use crate::control::ring::shape::Shape;
use crate::model::{Forwarding, LoadBalancer, Model, Pool, Protocol, ResourceId, ServerId};

/// Numbers of everything that is served, or was and may still have flows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignments {
    /// Listeners.
    #[serde(deserialize_with = "written::listeners")]
    pub listeners: BTreeMap<ResourceId, AssignedListener>,
    /// Pools; those included that were removed but may have flows of listeners that they
    /// served.
    #[serde(deserialize_with = "written::pools")]
    pub pools: BTreeMap<ResourceId, AssignedPool>,
    /// IP groups.
    #[serde(deserialize_with = "written::ip_groups")]
    pub ip_groups: BTreeMap<ResourceId, AssignedGroup>,
    /// Virtual addresses of both families.
    pub vips: BTreeMap<IpAddr, u16>,
    /// Numbers that records of flows may still name.
    #[serde(default)]
    pub leaving: Leaving,
    /// Where the search for a free backend id goes on: an id that was just freed is used last.
    next_backend: u16,
}

/// Numbers of what went: they are not given again until a sweep has removed the records that name them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaving {
    /// Ids of listeners.
    pub listeners: Vec<u16>,
    /// Ids of pools.
    pub pools: Vec<u16>,
    /// Ids of backends.
    pub backends: Vec<u16>,
    /// Of listeners that members' answers name: until when, no record says.
    #[serde(default)]
    pub embedding: BTreeMap<u16, LeftEmbedding>,
}

impl Leaving {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.listeners.is_empty()
            && self.pools.is_empty()
            && self.backends.is_empty()
            && self.embedding.is_empty()
    }
}

/// The numbers of a pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssignedPool {
    /// Index into `POOLS`.
    pub id: u16,
    /// What it is called, or was when it was removed.
    #[serde(default)]
    pub name: String,
    /// Its ring.
    pub ring: AssignedRing,
    /// The ring it had before, as long as flows may live that only that one knows.
    pub former: Option<AssignedRing>,
    /// Since when it has another ring than that.
    #[serde(default)]
    pub former_since: u32,
    /// How its packets travel.
    #[serde(default = "unknown")]
    pub forwarding: Forwarding,
    /// The protocol of its flows, if it is known.
    #[serde(default)]
    pub protocol: Option<Protocol>,
    /// Whether it was removed and only serves flows that it has.
    #[serde(default)]
    pub removed: bool,
    /// Seconds for which members that leave serve their flows; none: as long as these live.
    #[serde(default)]
    pub drain: Option<u32>,
    /// Since when it is served. Times are seconds of the coarse monotonic clock of this boot, as the
    /// packet path reads it.
    pub since: u32,
    /// Whether no ring of it was ever published: it has no flows, and nothing to protect.
    #[serde(default)]
    pub is_fresh: bool,
    /// Until when former owners keep unknown UDP flows.
    pub udp_hold_until: u32,
    /// Seconds without a packet after which a recorded flow counts no more.
    pub idle_timeout: u32,
    /// Flows that were recorded and last seen before count no more.
    pub flows_since: u32,
    /// Members, those included that were removed but may have flows.
    pub members: Vec<AssignedMember>,
}

/// The number of an IP group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "WrittenGroup")]
pub struct AssignedGroup {
    /// Its number.
    pub id: u16,
    /// What it is called.
    pub name: String,
}

/// What may be written down of an IP group.
#[derive(Deserialize)]
#[serde(untagged)]
enum WrittenGroup {
    /// By earlier versions, its number only.
    Id(u16),
    Whole {
        id: u16,
        name: String,
    },
}

impl From<WrittenGroup> for AssignedGroup {
    fn from(written: WrittenGroup) -> Self {
        match written {
            WrittenGroup::Id(id) => Self { id, name: String::new() },
            WrittenGroup::Whole { id, name } => Self { id, name },
        }
    }
}

/// A ring and where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssignedRing {
    /// First slot.
    pub base: u32,
    /// What it is.
    pub shape: Shape,
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
    /// When the flows that it has are cut.
    pub cut_at: Option<u32>,
    /// What QUIC connection ids name it by.
    pub server_id: Option<ServerId>,
    /// Which member it is, or was; none: as its pool, address and port say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<ResourceId>,
    /// In a pool with `slow_start`: how it came to its share; none while it cannot take new flows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ascent: Option<Ascent>,
}

/// How a member came to its share of the new flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ascent {
    /// It rises, or waits in reserve, since this second.
    Since(u32),
    /// It has all of it.
    Over,
}

impl AssignedMember {
    /// A new one.
    pub const fn new(id: u16, socket: SocketAddr) -> Self {
        let (address, port) = (socket.ip(), socket.port());
        let (removed, cut_at, server_id, resource, ascent) = (false, None, None, None, None);
        Self { id, address, port, removed, cut_at, server_id, resource, ascent }
    }

    /// Which member of a pool it is, or was.
    pub fn resource(&self, pool: ResourceId) -> ResourceId {
        self.resource.unwrap_or_else(|| ResourceId::of_member(pool, self.socket()))
    }

    /// Address and port.
    pub const fn socket(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }
}

impl AssignedRing {
    /// Its slots.
    pub const fn region(&self) -> Region {
        Region { base: self.base, size: self.shape.size }
    }
}

impl AssignedPool {
    /// A pool that begins `now`, with this ring.
    pub fn new(id: u16, ring: AssignedRing, now: u32) -> Self {
        Self {
            id,
            name: String::new(),
            ring,
            former: None,
            former_since: 0,
            forwarding: unknown(),
            protocol: None,
            removed: false,
            drain: None,
            since: now,
            is_fresh: true,
            udp_hold_until: 0,
            idle_timeout: 0,
            flows_since: 0,
            members: Vec::new(),
        }
    }

    /// The slots of its ring.
    pub const fn region(&self) -> Region {
        self.ring.region()
    }

    /// All slots it has: its ring's, and those of the ring before.
    pub fn regions(&self) -> impl Iterator<Item = Region> {
        [Some(self.ring), self.former].into_iter().flatten().map(|ring| ring.region())
    }

    /// Whether these are its members, in this order, and none was removed: so it is unless the model
    /// changed.
    fn has_just(&self, members: impl Iterator<Item = SocketAddr>) -> bool {
        self.members.iter().all(|member| !member.removed)
            && self.members.iter().map(AssignedMember::socket).eq(members)
    }

    /// Gives the pool another ring `now`. Flows live on the one that it has, or on the one before that
    /// as long as that is kept; the one that is not needed is returned.
    fn replace(&mut self, ring: AssignedRing, now: u32) -> Option<Region> {
        let replaced = std::mem::replace(&mut self.ring, ring);
        if self.is_fresh {
            return Some(replaced.region());
        }
        if self.former.is_some() {
            // All flows since the ring before that are recorded.
            return Some(replaced.region());
        }
        (self.former, self.former_since) = (Some(replaced), now);
        None
    }
}

/// As long as it was not written down: until the pool is reconciled.
const fn unknown() -> Forwarding {
    Forwarding::L2
}

/// A map is too small.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("no room for another {what}: [agent] {key} = {limit} is used up; raise it and reload")]
pub struct Full {
    what: &'static str,
    key: &'static str,
    limit: u32,
}

/// What there is room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdSpace {
    /// Listener ids.
    pub listeners: u32,
    /// Pool ids.
    pub pools: u32,
    /// Backend ids, 0 included, which stands for none.
    pub backends: u32,
    /// Ring slots.
    pub slots: u32,
}

impl IdSpace {
    /// No number that was not given before is given.
    pub const NONE: Self = Self { listeners: 0, pools: 0, backends: 0, slots: 0 };
}

impl Assignments {
    /// Whether a number stands for something that it did not stand for `before`.
    pub fn gives_more_than(&self, before: &Self) -> bool {
        let other_listener = |(id, one): (&ResourceId, &AssignedListener)| {
            before.listeners.get(id).is_none_or(|old| old.id != one.id)
        };
        let other_pool = |(id, pool): (&ResourceId, &AssignedPool)| {
            let Some(old) = before.pools.get(id) else { return true };
            let known = |one: &AssignedMember| {
                old.members.iter().any(|old| (old.id, old.socket()) == (one.id, one.socket()))
            };
            old.id != pool.id || old.ring != pool.ring || !pool.members.iter().all(known)
        };
        self.listeners.iter().any(other_listener)
            || self.pools.iter().any(other_pool)
            || self.vips.iter().any(|(address, number)| before.vips.get(address) != Some(number))
    }

    /// Whether all that a model serves has a number already. Where this is false, that may be so nevertheless.
    pub fn suffice_for(&self, model: &Model) -> bool {
        let has_pool = |pool: &Pool| {
            let Some(known) = self.pools.get(&pool.id).filter(|known| !known.removed) else {
                return model.listeners_of(&pool.name).next().is_none();
            };
            let sockets: HashSet<SocketAddr> = known
                .members
                .iter()
                .filter(|one| !one.removed)
                .map(AssignedMember::socket)
                .collect();
            known.ring.shape == Shape::of(pool)
                && pool.members.iter().all(|member| sockets.contains(&member.socket()))
        };
        model.listeners().all(|(_, listener)| self.listeners.contains_key(&listener.id))
            && model.pools().iter().all(has_pool)
            && model
                .load_balancers()
                .iter()
                .flat_map(LoadBalancer::vips)
                .all(|vip| self.vips.contains_key(&vip))
    }

    /// Whether nothing has a number.
    pub fn is_empty(&self) -> bool {
        self.listeners.is_empty() && self.pools.is_empty() && self.vips.is_empty()
    }

    /// Number of an IP group.
    pub fn ip_group(&mut self, group: ResourceId, name: &str) -> u16 {
        if let Some(known) = self.ip_groups.get_mut(&group) {
            name.clone_into(&mut known.name);
            return known.id;
        }
        let used: Ids = self.ip_groups.values().map(|group| group.id).collect();
        let id = used.free(0, MOST);
        let id = id.expect("a model has 50 groups, and those of the last one may still be here");
        self.ip_groups.insert(group, AssignedGroup { id, name: name.to_owned() });
        id
    }

    /// Number of a virtual address.
    ///
    /// # Errors
    /// There are too many virtual addresses.
    pub fn vip(&mut self, address: IpAddr, room: IdSpace) -> Result<u16, Full> {
        let limit = if room == IdSpace::NONE { 0 } else { MOST };
        let full = Full { what: "virtual address", key: "VIPs", limit };
        if let Some(number) = self.vips.get(&address) {
            return Ok(*number);
        }
        let used: Ids = self.vips.values().copied().collect();
        let number = used.free(0, limit).ok_or(full)?;
        self.vips.insert(address, number);
        Ok(number)
    }

    /// Numbers of a pool with a ring of this shape. A ring of another shape is another ring, in
    /// another place, and never in one of `leaving`: packets still meet what stands there. Returns
    /// the region that is not needed any more.
    ///
    /// # Errors
    /// There are too many pools, or the ring map is full; the pool keeps the ring that it has.
    pub fn pool(
        &mut self,
        resource: ResourceId,
        shape: Shape,
        now: u32,
        room: IdSpace,
        leaving: &[Region],
    ) -> Result<Option<Region>, Full> {
        if self.pools.get(&resource).is_some_and(|pool| pool.ring.shape == shape) {
            return Ok(None);
        }
        let base = self.free_region(shape.size, room.slots, leaving)?;
        let ring = AssignedRing { base, shape };
        if let Some(pool) = self.pools.get_mut(&resource) {
            return Ok(pool.replace(ring, now));
        }
        let used = self.pools.values().map(|pool| pool.id);
        let used: Ids = used.chain(self.leaving.pools.iter().copied()).collect();
        let full = Full { what: "pool", key: "pools", limit: room.pools };
        let id = used.free(0, room.pools).ok_or(full)?;
        self.pools.insert(resource, AssignedPool::new(id, ring, now));
        Ok(None)
    }

    /// Numbers of the members of a pool, which are now these; others are removed. One that was
    /// removed and comes back before its flows are gone gets the number it had. Numbers in `used`
    /// are not given: packets still meet who has them. Returns who found no room.
    pub fn members(
        &mut self,
        pool: ResourceId,
        members: impl Iterator<Item = SocketAddr> + Clone,
        room: IdSpace,
        used: &mut Ids,
    ) -> Vec<(SocketAddr, Full)> {
        let Some(pool) = self.pools.get_mut(&pool) else { return Vec::new() };
        if pool.has_just(members.clone()) {
            return Vec::new();
        }
        let numbers = pool.members.iter().enumerate();
        let known: HashMap<_, _> = numbers.map(|(at, member)| (member.socket(), at)).collect();
        pool.members.iter_mut().for_each(|member| member.removed = true);
        let full = Full { what: "member", key: "max_backends", limit: room.backends };
        let mut left_out = Vec::new();
        for socket in members {
            if let Some(at) = known.get(&socket) {
                pool.members[*at].removed = false;
                continue;
            }
            let next = self.next_backend.max(1);
            let free = used.free(next, room.backends).or_else(|| used.free(1, room.backends));
            let Some(id) = free else {
                left_out.push((socket, full));
                continue;
            };
            used.insert(id);
            pool.members.push(AssignedMember::new(id, socket));
            self.next_backend = id.wrapping_add(1);
        }
        left_out
    }

    /// Takes over the numbers of a pool and its members as the maps have them.
    pub fn adopt(&mut self, resource: ResourceId, pool: AssignedPool) {
        self.pools.insert(resource, pool);
    }

    /// Ids of backends in use, or that records may still name.
    pub fn backend_ids(&self) -> Ids {
        let members = self.pools.values().flat_map(|pool| &pool.members);
        let leaving = self.leaving.backends.iter().copied();
        members.map(|member| member.id).chain(leaving).collect()
    }

    /// Takes a pool away. Regions of rings that it had are returned; its numbers are left for a while.
    pub fn remove_pool(&mut self, resource: ResourceId) -> Vec<Region> {
        let Some(pool) = self.pools.remove(&resource) else { return Vec::new() };
        self.leaving.pools.push(pool.id);
        for listener in self.listeners.values_mut() {
            listener.served.remove(&pool.id);
        }
        self.leaving.backends.extend(pool.members.iter().map(|member| member.id));
        pool.regions().collect()
    }

    /// The first gap between the regions in use that holds `size` slots.
    fn free_region(&self, size: u32, slots: u32, leaving: &[Region]) -> Result<u32, Full> {
        let full = Full { what: "ring", key: "ring_slots", limit: slots };
        let used = self.pools.values().flat_map(AssignedPool::regions);
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

#[cfg(test)]
mod tests;
