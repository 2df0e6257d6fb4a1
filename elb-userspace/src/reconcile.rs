//! What the maps must hold, from what is wanted, what is seen, and which numbers are given.
//!
//! Pure: the same inputs give the same picture, and applying it twice changes nothing.

mod admission;
mod backend;
mod pool;
mod ranges;
mod ring;
mod standing;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use elb_common::addr::Mac;
use elb_common::interface::Interface;
use elb_common::listener::{Listener as Record, Vip, listener_flags, vip_flags};

use self::ring::Published;
use crate::assign::{AssignedPool, Assignments, Full, Room};
use crate::model::{Announce, LoadBalancer, Member, Model, Pool, Protocol};
use crate::nexthop::NextHop;
use crate::publish::{Image, Region, RingWrite};
use crate::ring::slots;

/// Seconds for which flows of a pool live without a packet that no listener uses.
const DEFAULT_IDLE: u32 = 300;

/// What is seen of the world.
pub trait Seen {
    /// Whether a member is to take new flows, as far as its health says.
    fn serves(&self, pool: &Pool, member: &Member) -> bool;
    /// Whether a member takes no new flows because somebody told the agent so.
    fn is_drained(&self, _pool: &Pool, _member: &Member) -> bool {
        false
    }
    /// How an address is reached.
    fn next_hop(&self, address: IpAddr) -> Option<NextHop>;
    /// Interfaces that carry the program: index and Ethernet address.
    fn interfaces(&self) -> BTreeMap<u32, Mac>;
    /// Seconds of the clock that the packet path reads.
    fn now(&self) -> u32;
}

/// Source addresses of outer headers, where they are not the interface's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EncapSource {
    /// Of IPv4 outer headers.
    pub v4: Option<Ipv4Addr>,
    /// Of IPv6 outer headers.
    pub v6: Option<Ipv6Addr>,
}

/// The owners of a pool's slots.
pub type Owners = Vec<u16>;

/// What the maps must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desired {
    /// The small maps.
    pub image: Image,
    /// Rings that change.
    pub rings: Vec<RingWrite>,
    /// Regions that nobody names any more.
    pub freed: Vec<Region>,
    /// What found no room, by object.
    pub left_out: Vec<(String, Full)>,
    /// Rings whose slots began to move, by pool: how many.
    pub moved: BTreeMap<String, slots::Diff>,
    /// When flows of a member that leaves are to be cut next: time to reconcile again.
    pub next_cut: Option<u32>,
    /// Ids of pools whose members QUIC connection ids name.
    pools_with_servers: BTreeSet<u16>,
}

/// Turns a model into the picture of the maps, and keeps what it needs for the next time.
#[derive(Debug)]
pub struct Reconciler {
    /// The numbers of everything. To be saved.
    pub assignments: Assignments,
    /// Owners of the slots of each pool, as last published.
    published: BTreeMap<String, Published>,
    /// Regions that are to be freed with the next picture.
    freed: Vec<Region>,
    room: Room,
    encap_source: EncapSource,
}

impl Reconciler {
    /// Starts from saved numbers and the owners that the rings have now, by pool.
    pub fn new(
        assignments: Assignments,
        owners: BTreeMap<String, Owners>,
        room: Room,
        encap_source: EncapSource,
    ) -> Self {
        let found = |(name, owners): (String, Owners)| {
            let ring = assignments.pools.get(&name)?.ring;
            Some((name, Published::found(ring, owners)))
        };
        let published = owners.into_iter().filter_map(found).collect();
        Self { assignments, published, freed: Vec::new(), room, encap_source }
    }

    /// The picture of the maps for a model.
    pub fn reconcile(&mut self, model: &Model, seen: &impl Seen) -> Desired {
        let mut desired = Desired { freed: std::mem::take(&mut self.freed), ..Desired::default() };
        for (index, mac) in seen.interfaces() {
            desired.image.devices.insert(index);
            desired.image.interfaces.insert(index, Interface { mac, reserved: 0 });
        }
        let mut used = self.assignments.backend_ids();
        self.forget_pools(model, &mut desired);
        let idle = idle_timeouts(model);
        for pool in model.pools() {
            let idle = idle.get(pool.name.as_str()).copied().unwrap_or(DEFAULT_IDLE);
            self.pool(pool, idle, seen, &mut used, &mut desired);
        }
        self.ip_groups(model, &mut desired);
        let flow_budget = admission::flow_budget(model, self.room);
        for lb in model.load_balancers() {
            self.load_balancer(lb, flow_budget, &mut desired);
        }
        desired.image.mark_vips();
        // Last: the number of one that goes is not that of one that comes with it.
        self.forget(model);
        desired
    }

    /// None of a pool's slots moves: the ring it had before is forgotten, and so are removed members
    /// whose flows are over; `has_flows` tells of those whose flows are recorded on settled slots
    /// too. True if there was something to forget, which the next picture then lacks.
    pub fn settled(&mut self, pool: &str, has_flows: impl Fn(u16) -> bool) -> bool {
        let Some(pool) = self.assignments.pools.get_mut(pool) else { return false };
        let former = pool.former.take().map(|ring| ring.region());
        let before = pool.members.len();
        pool.members.retain(|member| !member.removed || has_flows(member.id));
        self.freed.extend(former);
        former.is_some() || pool.members.len() < before
    }

    /// Frees the rings of pools that go. The maps still name the ids of their members.
    fn forget_pools(&mut self, model: &Model, desired: &mut Desired) {
        let wanted: BTreeSet<&str> = model.pools().iter().map(|pool| pool.name.as_str()).collect();
        self.assignments.pools.retain(|name, pool| {
            let keep = wanted.contains(name.as_str());
            if !keep {
                desired.freed.extend(pool.regions());
            }
            keep
        });
        self.published.retain(|name, _| wanted.contains(name.as_str()));
    }

    /// Forgets the numbers of listeners, IP groups and virtual addresses that go.
    fn forget(&mut self, model: &Model) {
        let all = model.load_balancers().iter().flat_map(|lb| &lb.listeners);
        let wanted: BTreeSet<&str> = all.map(|listener| listener.name.as_str()).collect();
        self.assignments.listeners.retain(|name, _| wanted.contains(name.as_str()));
        let wanted: BTreeSet<&str> = model.ip_groups().iter().map(|g| g.name.as_str()).collect();
        self.assignments.ip_groups.retain(|name, _| wanted.contains(name.as_str()));
        let wanted: BTreeSet<IpAddr> =
            model.load_balancers().iter().flat_map(LoadBalancer::vips).collect();
        self.assignments.vips.retain(|address, _| wanted.contains(address));
    }

    fn load_balancer(&mut self, lb: &LoadBalancer, flow_budget: u32, desired: &mut Desired) {
        let mut flags = 0;
        if lb.admin_state_up && lb.announce == Announce::Arp {
            flags |= vip_flags::ANNOUNCE;
        }
        let vips = self.vips(lb, desired);
        for listener in &lb.listeners {
            let Some(pool) = self.assignments.pools.get(listener.default_pool.as_str()) else {
                continue; // its pool found no room, which is reported there
            };
            let has_servers = desired.pools_with_servers.contains(&pool.id);
            let ring = ring_record(pool, has_servers);
            let id = match self.assignments.listener(listener.name.as_str(), self.room) {
                Ok(id) => id,
                Err(full) => {
                    let object = format!("listener {:?}", listener.name.as_str());
                    desired.left_out.push((object, full));
                    continue;
                }
            };
            let admission = self.admission(listener, flow_budget);
            let mut record = Record {
                id,
                flags: ring.flags | admission.flags,
                group: admission.group,
                cps: admission.cps,
                max_connections: admission.max_connections,
                flow_budget,
                ..ring
            };
            flags |= ranges::vip_flag(listener);
            if lb.admin_state_up && listener.admin_state_up {
                flags |= vip_flags::ECHO;
            } else {
                record.flags |= listener_flags::DISABLED;
            }
            for vip in &vips {
                ranges::listen(*vip, listener, record, &mut desired.image);
            }
        }
        for (address, number) in vips {
            desired.image.vips.insert(address, Vip { flags, number: number.into() });
        }
    }
}

/// Address and port of a member.
pub fn socket(member: &Member) -> SocketAddr {
    SocketAddr::new(member.address, member.protocol_port)
}

/// IANA number of a listener's protocol.
pub const fn protocol_number(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Tcp => 6,
        Protocol::Udp => 17,
    }
}

/// What a listener's record says of its pool's ring.
fn ring_record(pool: &AssignedPool, has_servers: bool) -> Record {
    let shape = pool.ring.shape;
    let tracked = if shape.is_scheduled() { listener_flags::TRACKED } else { 0 };
    let servers = if has_servers { listener_flags::SERVER_IDS } else { 0 };
    Record {
        ring_base: pool.ring.base,
        pool: pool.id,
        ring_size: shape.size,
        flags: tracked | servers,
        algorithm: shape.algorithm,
        cid: shape.cid_part(),
        ..Record::default()
    }
}

/// The longest idle timeout of the listeners of each pool.
fn idle_timeouts(model: &Model) -> HashMap<&str, u32> {
    let mut longest = HashMap::new();
    for listener in model.load_balancers().iter().flat_map(|lb| &lb.listeners) {
        let idle: &mut u32 = longest.entry(listener.default_pool.as_str()).or_default();
        *idle = (*idle).max(listener.keepalive_timeout.get());
    }
    longest
}

#[cfg(test)]
mod tests;
