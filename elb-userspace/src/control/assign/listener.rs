//! Numbers of listeners, and which pools they served.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use elb_common::listener::NO_POOL;
use serde::{Deserialize, Serialize};

use super::{Assignments, Full, IdSpace, Ids};
use crate::control::ring::slots::is_quiet;
use crate::model::ResourceId;

/// The number of a listener.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Written")]
pub struct AssignedListener {
    /// Index into `LISTENER_POOLS`, `LISTENER_STATES` and `LISTENER_COUNTERS`.
    pub id: u16,
    /// What it is called.
    #[serde(default)]
    pub name: String,
    /// The load balancer that it is of, if that is known.
    #[serde(default)]
    pub load_balancer: Option<ResourceId>,
    /// Id of the pool that it serves.
    pub pool: u16,
    /// The pool that it served before, as long as flows without a record may live there.
    #[serde(default)]
    pub former: Option<FormerPool>,
    /// Whether flows may live that are recorded for pools that it served before.
    #[serde(default)]
    pub moved: bool,
    /// Ids of the pools that it served before, for which such records may be.
    #[serde(default)]
    pub served: BTreeSet<u16>,
    /// Where it listens.
    #[serde(default)]
    pub place: ListenerPlace,
    /// What its clients know it by, where members may see its number in addresses that they answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedding: Option<Embedding>,
}

/// A listener whose number members see with its clients' addresses, which they answer without any record of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Embedding {
    /// Its virtual address.
    pub vip: Ipv4Addr,
    /// Its port.
    pub port: u16,
    /// Seconds without a packet after which a connection counts no more.
    pub idle: u32,
}

/// One that went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftEmbedding {
    /// What its clients knew it by.
    #[serde(flatten)]
    pub embedding: Embedding,
    /// When its last connection counts no more, in coarse monotonic seconds.
    pub until: u32,
}

/// What may be written down of a listener.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    /// With ABI version 2: its id only.
    Id(u16),
    /// Everything.
    Whole {
        id: u16,
        #[serde(default)]
        name: String,
        #[serde(default)]
        load_balancer: Option<ResourceId>,
        pool: u16,
        #[serde(default)]
        former: Option<FormerPool>,
        #[serde(default)]
        moved: bool,
        #[serde(default)]
        served: BTreeSet<u16>,
        #[serde(default)]
        place: ListenerPlace,
        #[serde(default)]
        embedding: Option<Embedding>,
    },
}

impl From<Written> for AssignedListener {
    fn from(written: Written) -> Self {
        match written {
            Written::Id(id) => Self { id, pool: NO_POOL, ..Self::default() },
            Written::Whole {
                id,
                name,
                load_balancer,
                pool,
                former,
                moved,
                served,
                place,
                embedding,
            } => Self { id, name, load_balancer, pool, former, moved, served, place, embedding },
        }
    }
}

/// Where a listener listens: what it is known by if its id follows from its name, and that changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerPlace {
    /// Virtual addresses.
    pub addresses: Vec<IpAddr>,
    /// Protocol and ports, as text.
    pub ports: String,
}

impl ListenerPlace {
    /// Whether protocol, ports and an address are the same.
    pub fn is_like(&self, other: &Self) -> bool {
        self.ports == other.ports
            && self.addresses.iter().any(|address| other.addresses.contains(address))
    }
}

/// The pool that a listener served before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormerPool {
    /// Its id.
    pub pool: u16,
    /// When the listener left it, in coarse monotonic seconds.
    pub since: u32,
    /// Until when UDP flows without a record belong there.
    pub udp_hold_until: u32,
}

impl AssignedListener {
    /// The listener serves another pool from `now` on. Flows without a record live in the pool that it
    /// served so far, or in one before that as long as that is kept: all flows since are recorded. It may be
    /// kept for longer than the `idle` timeout, for flows that found no room; datagrams have one from now on
    /// then, too.
    pub fn move_to(&mut self, pool: u16, now: u32, udp_hold: u32, idle: u32) {
        if self.pool == pool {
            return;
        }
        let since = self.former.map(|former| former.since);
        let since = since.filter(|since| !is_quiet(*since, now, idle)).unwrap_or(now);
        let oldest = self.former.map_or(self.pool, |former| former.pool);
        let udp_hold_until = now.saturating_add(udp_hold);
        self.former = Some(FormerPool { pool: oldest, since, udp_hold_until });
        self.served.insert(self.pool);
        self.pool = pool;
        self.moved = true;
    }

    /// No record of a pool that it served before is left.
    pub fn settled(&mut self) {
        self.moved = false;
        self.served.clear();
    }
}

impl Assignments {
    /// The numbers of a listener; a new one serves the pool with this id.
    ///
    /// # Errors
    /// There are too many listeners.
    pub fn listener(
        &mut self,
        resource: ResourceId,
        pool: u16,
        room: IdSpace,
    ) -> Result<&mut AssignedListener, Full> {
        if !self.listeners.contains_key(&resource) {
            let full = Full { what: "listener", key: "max_listeners", limit: room.listeners };
            let used = self.listeners.values().map(|listener| listener.id);
            let leaving = self.leaving.listeners.iter().chain(self.leaving.embedding.keys());
            let used: Ids = used.chain(leaving.copied()).collect();
            let id = used.free(0, room.listeners).ok_or(full)?;
            let listener = AssignedListener { id, pool, ..AssignedListener::default() };
            self.listeners.insert(resource, listener);
        }
        Ok(self.listeners.get_mut(&resource).expect("it was there or was inserted"))
    }

    /// Takes over from the maps, by id, which pools listeners serve of which it was not written down. Those
    /// that the maps do not know are forgotten. Pools of which it was not written down since when they
    /// have another ring have it since `now`.
    pub fn complete(&mut self, pool: impl Fn(u16) -> Option<u16>, now: u32) {
        for pool in self.pools.values_mut().filter(|pool| pool.former.is_some()) {
            if pool.former_since == 0 {
                pool.former_since = now;
            }
        }
        self.listeners.retain(|_, listener| {
            if listener.pool == NO_POOL {
                listener.pool = pool(listener.id).unwrap_or(NO_POOL);
            }
            listener.pool != NO_POOL
        });
    }

    /// Takes a listener away `now`; its number is left for a while.
    pub fn remove_listener(&mut self, resource: ResourceId, now: u32) {
        let Some(listener) = self.listeners.remove(&resource) else { return };
        self.leaving.listeners.push(listener.id);
        if let Some(embedding) = listener.embedding {
            let until = now.saturating_add(embedding.idle);
            self.leaving.embedding.insert(listener.id, LeftEmbedding { embedding, until });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::assign::{AssignedPool, AssignedRing};
    use crate::control::ring::shape::Shape;

    #[test]
    fn what_was_written_with_abi_version_2_is_completed_from_the_maps() {
        let text = r#"{"listeners":{"web":3,"gone":4},"pools":{},"ip_groups":{},"vips":{},
            "next_backend":1}"#;
        let mut all: Assignments = serde_json::from_str(text).unwrap();
        let ring = AssignedRing { base: 0, shape: Shape::default() };
        let changed = AssignedPool { former: Some(ring), ..AssignedPool::new(7, ring, 10) };
        let name = "web".to_owned();
        all.pools.insert(ResourceId::of_pool("web"), AssignedPool { name, ..changed });
        all.complete(|id| (id == 3).then_some(7), 50);
        assert_eq!(all.pools[&ResourceId::of_pool("web")].former_since, 50);
        let listeners: Vec<_> = all.listeners.values().collect();
        let name = "web".to_owned();
        assert_eq!(listeners, [&AssignedListener { id: 3, name, pool: 7, ..Default::default() }]);
        let written = serde_json::to_string(&all).unwrap();
        assert_eq!(serde_json::from_str::<Assignments>(&written).unwrap(), all);
    }

    #[test]
    fn of_many_pools_the_oldest_and_the_newest_are_kept() {
        let mut listener = AssignedListener { id: 1, pool: 5, ..AssignedListener::default() };
        listener.move_to(5, 10, 30, 10);
        assert_eq!((listener.former, listener.moved), (None, false));
        listener.move_to(6, 20, 30, 10);
        let former = FormerPool { pool: 5, since: 20, udp_hold_until: 50 };
        assert_eq!((listener.pool, listener.former, listener.moved), (6, Some(former), true));
        listener.move_to(7, 25, 30, 10);
        let former = FormerPool { udp_hold_until: 55, ..former };
        assert_eq!((listener.pool, listener.former), (7, Some(former)));
        listener.move_to(5, 26, 0, 10);
        assert_eq!((listener.pool, listener.former.unwrap().pool), (5, 5));
        // Kept for longer than the idle timeout, for flows that found no room.
        listener.move_to(6, 40, 0, 10);
        let former = listener.former.unwrap();
        assert_eq!((listener.pool, former.pool, former.since), (6, 5, 40));
        // Each may have flows of its own until none is left.
        assert_eq!(listener.served, [5, 6, 7].into());
        listener.settled();
        assert_eq!((listener.moved, listener.served.len()), (false, 0));
    }
}
