//! What the maps must hold, from what is wanted, what is seen, and which numbers are given.
//!
//! Pure: the same inputs give the same picture, and applying it twice changes nothing.

mod admission;
mod ranges;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use elb_common::addr::{Be32, Be128, Mac};
use elb_common::backend::{Backend, backend_flags, mode, outer_sum};
use elb_common::interface::Interface;
use elb_common::listener::{Listener as Record, Vip, listener_flags, vip_flags};
use elb_common::pool::Pool as PoolRecord;

use crate::assign::{AssignedMember, Assignments, Full, Room};
use crate::model::{
    Announce, FlowsOnUnhealthy, Forwarding, LoadBalancer, Member, Model, Pool, Protocol,
};
use crate::nexthop::NextHop;
use crate::publish::{Image, Region, RingWrite};
use crate::ring::maglev::{self, RingMember};
use crate::ring::{identity, slots};

/// What is seen of the world.
pub trait Seen {
    /// Whether a member is to take new flows, as far as its health says.
    fn serves(&self, pool: &Pool, member: &Member) -> bool;
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
    /// Rings that changed their owners, by pool: what moved.
    pub moved: BTreeMap<String, slots::Diff>,
}

/// Turns a model into the picture of the maps, and keeps what it needs for the next time.
#[derive(Debug)]
pub struct Reconciler {
    /// The numbers of everything. To be saved.
    pub assignments: Assignments,
    /// Owners of the slots of each pool, as last published.
    owners: BTreeMap<String, Published>,
    room: Room,
    encap_source: EncapSource,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Published {
    region: Region,
    members: Vec<(RingMember, u16)>,
    owners: Owners,
    gone: BTreeSet<u16>,
}

impl Reconciler {
    /// Starts from saved numbers and the owners that the rings have now, by pool.
    pub fn new(
        assignments: Assignments,
        owners: BTreeMap<String, Owners>,
        room: Room,
        encap_source: EncapSource,
    ) -> Self {
        let owners = owners.into_iter().filter_map(|(name, owners)| {
            let region = assignments.pools.get(&name)?.region();
            let (members, gone) = (Vec::new(), BTreeSet::new());
            Some((name, Published { region, members, owners, gone }))
        });
        let owners = owners.collect();
        Self { assignments, owners, room, encap_source }
    }

    /// The picture of the maps for a model.
    pub fn reconcile(&mut self, model: &Model, seen: &impl Seen) -> Desired {
        let mut desired = Desired::default();
        for (index, mac) in seen.interfaces() {
            desired.image.devices.insert(index);
            desired.image.interfaces.insert(index, Interface { mac, reserved: 0 });
        }
        let leaving = self.forget_pools(model, &mut desired);
        for pool in model.pools() {
            self.pool(pool, seen, &leaving, &mut desired);
        }
        self.ip_groups(model, &mut desired);
        let flow_budget = admission::flow_budget(model, self.room);
        for lb in model.load_balancers() {
            self.load_balancer(lb, flow_budget, &mut desired);
        }
        // Last: the number of one that goes is not that of one that comes with it.
        self.forget(model);
        desired
    }

    /// A pool's flows are over once none of its slots moves: removed members are forgotten. True if
    /// there were some.
    pub fn settled(&mut self, pool: &str) -> bool {
        let Some(pool) = self.assignments.pools.get_mut(pool) else { return false };
        let before = pool.members.len();
        pool.members.retain(|member| !member.removed);
        pool.members.len() < before
    }

    /// Frees the rings of pools that go; the ids of their members, which the maps still name.
    fn forget_pools(&mut self, model: &Model, desired: &mut Desired) -> BTreeSet<u16> {
        let before = self.assignments.backend_ids();
        let wanted: BTreeSet<&str> = model.pools().iter().map(|pool| pool.name.as_str()).collect();
        let freed = &mut desired.freed;
        self.assignments.pools.retain(|name, pool| {
            let keep = wanted.contains(name.as_str());
            if !keep {
                freed.push(pool.region());
            }
            keep
        });
        self.owners.retain(|name, _| wanted.contains(name.as_str()));
        before.difference(&self.assignments.backend_ids()).copied().collect()
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

    fn pool(
        &mut self,
        pool: &Pool,
        seen: &impl Seen,
        leaving: &BTreeSet<u16>,
        desired: &mut Desired,
    ) {
        let name = pool.name.as_str();
        let before = self.assignments.pools.get(name).map(|assigned| assigned.region());
        let size = pool.ring_size.get();
        match self.assignments.pool(name, size, self.room, &desired.freed) {
            Err(full) => {
                desired.left_out.push((format!("pool {name:?}"), full));
            }
            Ok(assigned) => {
                desired.freed.extend(before.filter(|region| *region != assigned.region()));
            }
        }
        // A pool whose new ring finds no room keeps the one it has.
        let Some(assigned) = self.assignments.pools.get_mut(name) else { return };
        let present: BTreeSet<_> = pool.members.iter().map(socket).collect();
        for member in &mut assigned.members {
            member.removed = !present.contains(&member.socket());
        }
        for member in &pool.members {
            if let Err(full) = self.assignments.member(name, socket(member), self.room, leaving) {
                let object = format!("pool {name:?}, member {:?}", member.name.as_str());
                desired.left_out.push((object, full));
            }
        }
        self.backends_and_ring(pool, seen, desired);
    }

    fn backends_and_ring(&mut self, pool: &Pool, seen: &impl Seen, desired: &mut Desired) {
        let name = pool.name.as_str();
        let assigned = self.assignments.pools[name].clone();
        let chosen = chosen(pool, seen);
        let mut members = Vec::new();
        let mut gone = BTreeSet::new();
        for number in &assigned.members {
            let member = pool.members.iter().find(|m| socket(m) == number.socket());
            let next_hop = seen.next_hop(number.address);
            let takes_new = member.filter(|m| chosen.contains(&socket(m)));
            if let Some(member) = takes_new.filter(|_| next_hop.is_some()) {
                let identity = identity(member.address, member.protocol_port);
                members.push((RingMember { identity, weight: member.weight.get() }, number.id));
            }
            let unhealthy = member.is_some_and(|member| !seen.serves(pool, member));
            let rehash = pool.flows_on_unhealthy == FlowsOnUnhealthy::Rehash;
            let is_gone = unhealthy && takes_new.is_none() && rehash;
            if is_gone {
                gone.insert(number.id);
            }
            let record = self.backend(pool, number, next_hop, !is_gone);
            desired.image.backends.insert(number.id, record);
        }
        let region = assigned.region();
        let udp_hold_until = self.ring(pool, region, members, gone, seen.now(), desired);
        let assigned = self.assignments.pools.get_mut(name).expect("numbered above");
        if let Some(until) = udp_hold_until {
            assigned.udp_hold_until = until;
        }
        let record =
            PoolRecord { udp_hold_until: assigned.udp_hold_until, ..PoolRecord::default() };
        desired.image.pools.insert(assigned.id, record);
    }

    /// Adds the ring to what changes, if it does; then until when UDP flows are held.
    fn ring(
        &mut self,
        pool: &Pool,
        region: Region,
        members: Vec<(RingMember, u16)>,
        gone: BTreeSet<u16>,
        now: u32,
        desired: &mut Desired,
    ) -> Option<u32> {
        let name = pool.name.as_str();
        let before = self.owners.get(name).filter(|before| before.region == region);
        if before.is_some_and(|before| before.members == members && before.gone == gone) {
            return None;
        }
        let ring_members: Vec<_> = members.iter().map(|(member, _)| *member).collect();
        let table = maglev::build(&ring_members, region.size);
        let id = |index: u16| members.get(usize::from(index)).map_or(0, |(_, id)| *id);
        let owners: Owners = table.into_iter().map(id).collect();
        let diff = match before {
            Some(before) => slots::diff(&before.owners, &owners),
            None => slots::diff(&vec![0; owners.len()], &owners),
        };
        let same_gone = before.map_or(gone.is_empty(), |before| before.gone == gone);
        let published = Published { region, members, owners: owners.clone(), gone: gone.clone() };
        self.owners.insert(name.to_owned(), published);
        if diff.moved == 0 && same_gone {
            return None;
        }
        desired.rings.push(RingWrite { base: region.base, owners, gone });
        if diff.moved == 0 {
            return None;
        }
        desired.moved.insert(name.to_owned(), diff);
        Some(now.saturating_add(pool.udp_hold.get()))
    }

    fn backend(
        &self,
        pool: &Pool,
        number: &AssignedMember,
        next_hop: Option<NextHop>,
        established: bool,
    ) -> Backend {
        let mut record = Backend::default();
        if established {
            record.flags |= backend_flags::ESTABLISHED;
        }
        if let Some(hop) = next_hop {
            record.flags |= backend_flags::REACHABLE;
            record.next_hop = hop.mac;
            record.source = hop.source_mac;
            record.mtu = hop.mtu;
            record.ifindex = hop.ifindex;
        }
        let source = next_hop.and_then(|hop| hop.source);
        let [ipip, gue] = match number.address {
            IpAddr::V4(address) => {
                let own = match source {
                    Some(IpAddr::V4(own)) => own,
                    Some(IpAddr::V6(_)) | None => Ipv4Addr::UNSPECIFIED,
                };
                let source: Be32 = bytemuck::cast(self.encap_source.v4.unwrap_or(own).octets());
                let address: Be32 = bytemuck::cast(address.octets());
                record.address = Be128::from_raw([address.raw(), 0, 0, 0]);
                record.outer_source = Be128::from_raw([source.raw(), 0, 0, 0]);
                record.outer_sum = outer_sum(source, address);
                [mode::IPIP_V4, mode::GUE_V4]
            }
            IpAddr::V6(address) => {
                let own = match source {
                    Some(IpAddr::V6(own)) => own,
                    Some(IpAddr::V4(_)) | None => Ipv6Addr::UNSPECIFIED,
                };
                let source = self.encap_source.v6.unwrap_or(own);
                record.address = bytemuck::cast(address.octets());
                record.outer_source = bytemuck::cast(source.octets());
                [mode::IPIP_V6, mode::GUE_V6]
            }
        };
        record.mode = match pool.forwarding {
            Forwarding::L2 => mode::L2,
            Forwarding::Ipip => ipip,
            Forwarding::Gue => gue,
        };
        record
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
            let (region, pool) = (pool.region(), pool.id);
            let id = match self.assignments.listener(listener.name.as_str(), self.room) {
                Ok(id) => id,
                Err(full) => {
                    let object = format!("listener {:?}", listener.name.as_str());
                    desired.left_out.push((object, full));
                    continue;
                }
            };
            let mut record = Record {
                ring_base: region.base,
                ring_size: region.size,
                id,
                pool,
                ..self.admission(listener, flow_budget)
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

/// The members that take new flows: those that work; if there are none and the pool says so, all.
fn chosen(pool: &Pool, seen: &impl Seen) -> BTreeSet<SocketAddr> {
    let weighted = || pool.members.iter().filter(|member| member.weight.get() > 0);
    let healthy: BTreeSet<_> =
        weighted().filter(|member| seen.serves(pool, member)).map(socket).collect();
    let all_when_none = pool.minimum_healthy_member_count.get() > 0;
    if healthy.is_empty() && all_when_none { weighted().map(socket).collect() } else { healthy }
}

#[cfg(test)]
mod tests;
