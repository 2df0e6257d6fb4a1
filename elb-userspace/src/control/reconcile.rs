//! What the maps must hold, from what is wanted, what is seen, and which numbers are given.
//!
//! Pure: the same inputs give the same picture, and applying it twice changes nothing.

mod admission;
mod backend;
mod ended;
mod fallback;
mod first;
mod lasting;
mod listener;
mod pool;
mod ranges;
mod renaming;
mod replies;
mod reserve;
mod ring;
mod rising;
mod snat;
mod standing;
mod undone;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use elb_common::addr::Mac;
use elb_common::interface::{Interface, MacKey, interface_flags};
use elb_common::listener::{Listener as Record, Vip, listener_flags, vip_flags};
use elb_common::reply::Reply;
use elb_common::snat::Snat;

use self::ended::EndedReplies;
pub use self::fallback::Fallback;
use self::fallback::Taking;
use self::first::Wait;
pub use self::lasting::SweepFindings;
pub use self::renaming::Renamed;
pub use self::reserve::Reserve;
use self::ring::Published;
pub use self::rising::Rising;
use crate::control::assign::{Assignments, Full, IdSpace};
use crate::control::network::NextHop;
use crate::control::network::client_hops::ClientHops;
use crate::control::plan::{Image, ListenerKey, Region, RingWrite};
use crate::control::ring::slots;
use crate::model::{Announce, LoadBalancer, Member, Model, Pool, Protocol, ResourceId};

/// What is seen of the world.
pub trait ReconcileInput {
    /// Whether a member is to take new flows, by its health.
    fn serves(&self, pool: &Pool, member: &Member) -> bool;
    /// Whether a member takes no new flows because it is drained by command.
    fn is_drained(&self, _pool: &Pool, _member: &Member) -> bool {
        false
    }
    /// Whether a member's first probe is still to say whether it is to take new flows.
    fn is_undecided(&self, _pool: &Pool, _member: &Member) -> bool {
        false
    }
    /// How an address is reached.
    fn next_hop(&self, address: IpAddr) -> Option<NextHop>;
    /// Whether it may be known soon how an address is reached.
    fn is_resolving(&self, _address: IpAddr) -> bool {
        false
    }
    /// Interfaces that carry the program: index and Ethernet address.
    fn interfaces(&self) -> BTreeMap<u32, Mac>;
    /// Whether such an interface leaves it to another one to say where virtual addresses are.
    fn is_quiet(&self, _index: u32) -> bool {
        false
    }
    /// The largest IP packet that an interface can have received as one frame, if larger ones come as well;
    /// 0 otherwise.
    fn largest_received(&self, _interface: u32) -> u16 {
        0
    }
    /// Ethernet addresses that an interface takes frames for besides its own.
    fn macs_above(&self, _interface: u32) -> BTreeSet<Mac> {
        BTreeSet::new()
    }
    /// Whether a virtual address is this host's own, too, or may be.
    fn is_own(&self, _vip: IpAddr) -> bool {
        false
    }
    /// How clients are reached, where answers to them are translated.
    fn client_hops(&self) -> Arc<ClientHops> {
        Arc::default()
    }
    /// A number that cannot be known beforehand.
    fn secret(&self) -> u64 {
        0
    }
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
    /// Regions that no pool names any more.
    pub freed: Vec<Region>,
    /// What found no room, by object.
    pub left_out: Vec<(String, Full)>,
    /// Rings whose slots began to move, by pool: how many.
    pub moved: BTreeMap<ResourceId, slots::Diff>,
    /// Those of them in which nothing changed but how far members have risen.
    pub steps: BTreeSet<ResourceId>,
    /// How the backup members of each pool stand that has any, and whose ring does not wait.
    pub reserves: BTreeMap<ResourceId, Reserve>,
    /// How the pool stands that takes over each listener that has one.
    pub fallbacks: BTreeMap<ResourceId, Fallback>,
    /// Listeners that it took over now, or that went back to their default pool.
    pub turned: Vec<ResourceId>,
    /// When flows of a member that leaves are to be cut next: time to reconcile again.
    pub next_cut: Option<u32>,
    /// When the first ring of a pool is published that waits for its members: time to reconcile again.
    pub next_first: Option<u32>,
    /// When a member gets more of its share that rises to it: time to reconcile again.
    pub next_step: Option<u32>,
    /// When members of before no longer get resets on connections that are over: time to reconcile again.
    pub next_forgotten: Option<u32>,
    /// Idle timeouts of the connections of members' endpoints.
    idle: BTreeMap<ListenerKey, u32>,
    /// What endpoints of members stand for that answer addresses of ours.
    answers_to_us: BTreeMap<ListenerKey, Reply>,
    /// Pools by their numbers.
    numbered: HashMap<u16, ResourceId>,
    /// Ids of pools whose members QUIC connection ids name.
    pools_with_servers: BTreeSet<u16>,
    /// Ids of pools whose members may have only so many connections.
    pools_with_limits: BTreeSet<u16>,
    /// Members that take new flows.
    taking: Taking,
}

/// Turns a model into the picture of the maps, and keeps what it needs for the next time.
#[derive(Clone, Debug)]
pub struct Reconciler {
    /// The numbers of everything. To be saved.
    pub assignments: Assignments,
    /// Owners of the slots of each pool, as last published.
    published: BTreeMap<ResourceId, Arc<Published>>,
    /// Pools whose first ring waits.
    waits: BTreeMap<ResourceId, Wait>,
    /// Regions that are to be freed with the next picture.
    freed: Vec<Region>,
    /// Members' endpoints of before.
    ended: EndedReplies,
    /// The source addresses of the last picture, and what keys the hash of their ports.
    snat: Snat,
    room: IdSpace,
    encap_source: EncapSource,
}

impl Reconciler {
    /// Starts from saved numbers and the owners that the rings have now, by pool.
    pub fn new(
        assignments: Assignments,
        owners: BTreeMap<ResourceId, Owners>,
        room: IdSpace,
        encap_source: EncapSource,
    ) -> Self {
        let found = |(pool, owners): (ResourceId, Owners)| {
            let ring = assignments.pools.get(&pool)?.ring;
            Some((pool, Arc::new(Published::found(ring, owners))))
        };
        let published: BTreeMap<_, _> = owners.into_iter().filter_map(found).collect();
        let pools: Vec<ResourceId> = published.keys().copied().collect();
        let (waits, freed, ended) = (BTreeMap::new(), Vec::new(), EndedReplies::default());
        let snat = Snat::default();
        let mut all =
            Self { assignments, published, waits, freed, ended, snat, room, encap_source };
        pools.into_iter().for_each(|pool| all.has_a_past(pool));
        all
    }

    /// Members' endpoints stood for this before, as the maps say `now`.
    pub fn remember_replies(&mut self, replies: &BTreeMap<ListenerKey, Reply>, now: u32) {
        self.ended = EndedReplies::found(replies, now);
    }

    /// The source addresses were these before: their ports' bindings are found by the same secret.
    pub const fn remember_source_addresses(&mut self, snat: Snat) {
        self.snat = snat;
    }

    /// There is room for so much from now on.
    pub const fn set_room(&mut self, room: IdSpace) {
        self.room = room;
    }

    /// The picture of the maps for a model.
    pub fn reconcile(&mut self, model: &Model, seen: &impl ReconcileInput) -> Desired {
        let mut desired = Desired { freed: std::mem::take(&mut self.freed), ..Desired::default() };
        for (index, mac) in seen.interfaces() {
            desired.image.devices.insert(index);
            let flags = if seen.is_quiet(index) { interface_flags::QUIET } else { 0 };
            let largest = seen.largest_received(index);
            desired.image.interfaces.insert(index, Interface { mac, largest, flags });
            let more = seen.macs_above(index);
            desired.image.more_macs.extend(more.into_iter().map(|mac| MacKey::new(index, mac)));
        }
        desired.image.clients = clients(seen, &desired.image.devices);
        let mut used = self.assignments.backend_ids();
        self.forget_listeners(model, seen.now());
        self.forget_pools(model, &mut desired);
        let idle = self.idle_timeouts(model);
        let idle = |pool| idle.get(&pool).copied().unwrap_or(0);
        for pool in model.pools() {
            self.pool(pool, idle(pool.id), seen, &mut used, &mut desired);
        }
        self.removed_pools(idle, seen, &mut desired);
        self.ip_groups(model, &mut desired);
        let pools = self.assignments.pools.iter();
        desired.numbered = pools.map(|(resource, pool)| (pool.id, *resource)).collect();
        for lb in model.load_balancers() {
            self.load_balancer(lb, model, seen, &mut desired);
        }
        Self::merge_answers_to_us(&mut desired);
        Self::mark_shared(&mut desired);
        self.endpoints_that_went(model.client_prefix(), &mut desired.image);
        self.source_addresses(model.source_addresses(), seen, &mut desired.image);
        let room = usize::try_from(self.room.backends).unwrap_or(usize::MAX);
        desired.next_forgotten =
            self.ended.add(&mut desired.image.replies, &desired.idle, room, seen.now());
        desired.image.mark_addresses();
        // Last: the number of one that goes is not that of one that comes with it.
        self.forget(model);
        desired
    }

    /// Forgets the numbers of IP groups and virtual addresses that go.
    fn forget(&mut self, model: &Model) {
        let wanted: BTreeSet<ResourceId> = model.ip_groups().iter().map(|group| group.id).collect();
        self.assignments.ip_groups.retain(|group, _| wanted.contains(group));
        let wanted: BTreeSet<IpAddr> =
            model.load_balancers().iter().flat_map(LoadBalancer::vips).collect();
        self.assignments.vips.retain(|address, _| wanted.contains(address));
    }

    fn load_balancer(
        &mut self,
        lb: &LoadBalancer,
        model: &Model,
        seen: &impl ReconcileInput,
        desired: &mut Desired,
    ) {
        let now = seen.now();
        let mut flags = 0;
        if lb.admin_state_up && lb.announce == Announce::Arp {
            flags |= vip_flags::ANNOUNCE;
        }
        let vips = self.vips(lb, desired);
        for listener in &lb.listeners {
            let Some(mut record) = self.listener(lb, listener, model, now, desired) else {
                continue;
            };
            flags |= ranges::vip_flag(listener);
            if lb.admin_state_up && listener.admin_state_up {
                flags |= vip_flags::ECHO;
            } else {
                record.flags |= listener_flags::DISABLED;
            }
            if self.endpoint(lb, listener, model.client_prefix(), desired) {
                record.flags |= listener_flags::BINDS;
            }
            for vip in &vips {
                let own = if seen.is_own(vip.0) { listener_flags::OWN } else { 0 };
                let record = Record { flags: record.flags | own, ..record };
                ranges::listen(*vip, listener, record, &mut desired.image);
                self.replies(vip.0, listener, seen, desired);
            }
        }
        for (address, number) in vips {
            let own = if seen.is_own(address) { vip_flags::OWN } else { 0 };
            let vip = Vip { flags: flags | own, number: number.into() };
            desired.image.vips.insert(address, vip);
        }
    }
}

/// The ways to clients, by interfaces that packets can be sent by: another may be gone since they were found.
fn clients(seen: &impl ReconcileInput, devices: &BTreeSet<u32>) -> Arc<ClientHops> {
    let hops = seen.client_hops();
    if hops.are_by(devices) { hops } else { Arc::new(hops.by(devices)) }
}

/// IANA number of a listener's protocol.
pub const fn protocol_number(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Tcp => 6,
        Protocol::Udp => 17,
    }
}

#[cfg(test)]
mod tests;
