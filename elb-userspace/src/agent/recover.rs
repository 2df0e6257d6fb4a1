//! Without a saved state, the pinned maps themselves show what most numbers mean: a listener's
//! record names its pool's ring, the ring names backends, and their records hold addresses.

pub(super) mod compare;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::net::{IpAddr, SocketAddr};

use elb_common::backend::{Backend, mode};
use elb_common::listener::{CidPart, Listener as Record, NO_POOL, listener_flags};
use elb_common::pool::Pool as PoolRecord;

use super::clock::now;
use super::state::drained::Drained;
use crate::agent::saved::{self, Numbers};
use crate::control::assign::{
    AssignedGroup, AssignedListener, AssignedMember, AssignedPool, AssignedRing, Assignments,
    FormerPool, ListenerPlace,
};
use crate::control::plan::{Image, ListenerKey, RangeEntry, Region};
use crate::control::reconcile::protocol_number;
use crate::control::ring::shape::Shape;
use crate::health::{History, OperatingStatus, Verdict};
use crate::kernel::bpf::{Maps, coarse_seconds};
use crate::model::{Listener, LoadBalancer, Model, Pool, Ports, ResourceId};

/// The numbers that the maps show: of pools that are still listened for, and of their members.
pub(super) fn from_maps(model: &Model, observed: &Image, maps: &Maps) -> Assignments {
    let mut found = Assignments::default();
    for pool in model.pools() {
        for (lb, listener) in model.listeners_of(&pool.name) {
            let Some(record) = observed_listener(observed, lb, listener) else { continue };
            let observed_pool = observed.pools.get(&record.pool).copied().unwrap_or_default();
            let mut assigned = assigned(&record, &observed_pool);
            assigned.members = members(pool, observed, maps, &assigned);
            assigned.is_fresh = assigned.members.is_empty();
            // Of two pools that may serve a listener, its record names the one whose members have the slots.
            if assigned.members.is_empty() && listener.fallback_pool.is_some() {
                continue;
            }
            if fits(&found, &assigned) {
                let name = pool.name.to_string();
                found.adopt(pool.id, AssignedPool { name, ..assigned });
            }
            break;
        }
    }
    unnamed_members(model, observed, &mut found);
    for lb in model.load_balancers() {
        for listener in &lb.listeners {
            if let Some(record) = observed_listener(observed, lb, listener) {
                found.listeners.insert(listener.id, numbers(lb, listener, &record));
                ip_group(model, listener, &record, &mut found.ip_groups);
            }
        }
        for address in lb.vips() {
            let number = observed.vips.get(&address).and_then(|vip| u16::try_from(vip.number).ok());
            adopt(&mut found.vips, address, number);
        }
    }
    found
}

/// Members that no slot names: of these only the addresses in their records are known.
fn unnamed_members(model: &Model, observed: &Image, found: &mut Assignments) {
    let mut used = found.backend_ids();
    for pool in model.pools() {
        let Some(assigned) = found.pools.get_mut(&pool.id) else { continue };
        let known: HashSet<_> = assigned.members.iter().map(AssignedMember::socket).collect();
        let mut free: HashMap<IpAddr, VecDeque<u16>> = HashMap::new();
        for (id, record) in observed.backends.iter().filter(|(id, _)| !used.contains(**id)) {
            if let Some(address) = address(pool, record) {
                free.entry(address).or_default().push_back(*id);
            }
        }
        for member in pool.members.iter().filter(|member| !known.contains(&member.socket())) {
            let ids = free.get_mut(&member.address);
            if let Some(id) = ids.and_then(VecDeque::pop_front) {
                used.insert(id);
                assigned.members.push(AssignedMember::new(id, member.socket()));
            }
        }
    }
}

/// Members of these pools without a verdict are ONLINE if they took new flows.
pub(super) fn judge<'a>(
    found: &Assignments,
    pools: impl Iterator<Item = &'a ResourceId>,
    maps: &Maps,
    health: &mut saved::SavedHealth,
) {
    for pool in pools {
        let Some(assigned) = found.pools.get(pool) else { continue };
        let known = health.pools.entry(*pool).or_default();
        suppose_healthy(known, took_new(&assigned.members, maps, assigned.region()));
    }
}

/// Members that were drained, where an earlier version wrote them down with the numbers.
pub(super) fn drained(written: Option<&Numbers>) -> saved::Drained {
    let Some(numbers) = written else { return saved::Drained::default() };
    saved::Drained::by_name(&numbers.drained, numbers.assignments.pools.keys())
}

/// Members that were drained, where no file says it: those that the maps show, next to those that are known.
pub(super) fn drained_in_maps(
    mut known: saved::Drained,
    numbers: &Numbers,
    observed: &Image,
) -> saved::Drained {
    for (pool, assigned) in &numbers.assignments.pools {
        let shown = |one: &&AssignedMember| {
            !one.removed && observed.backends.get(&one.id).is_some_and(Backend::is_drained)
        };
        known.drained.extend(assigned.members.iter().filter(shown).map(|one| saved::SavedDrain {
            id: one.resource(*pool),
            pool: *pool,
            member: one.socket(),
        }));
        known.known_pools.insert(*pool);
    }
    known
}

/// Verdicts that were published, but not written down before the agent was killed: the maps show who
/// took new flows. Where they say nothing of a member's health (it has no weight, is drained or a backup, or
/// cannot be reached, or all of its pool serve because none is healthy), what was written stays.
pub(super) fn published_since(
    model: &Model,
    observed: &Image,
    numbers: &Numbers,
    drained: &Drained,
    health: &mut saved::SavedHealth,
) {
    for pool in model.pools().iter().filter(|pool| pool.minimum_healthy_member_count.get() == 0) {
        let Some(assigned) = numbers.assignments.pools.get(&pool.id) else { continue };
        // Those in reserve take no new flows either, however healthy.
        let resting = pool.members.iter().filter(|one| one.backup || drained.has(one));
        let resting: HashSet<SocketAddr> = resting.map(|member| member.socket()).collect();
        let is_drained = |one: SocketAddr| resting.contains(&one);
        let record = |number: &AssignedMember| {
            let judged = Some(number).filter(|one| !one.removed && !is_drained(one.socket()));
            let record = judged.and_then(|number| observed.backends.get(&number.id));
            record.filter(|one| one.is_reachable() && one.weight > 0 && !one.is_drained())
        };
        let numbers: HashMap<_, _> =
            assigned.members.iter().rev().map(|number| (number.socket(), number)).collect();
        for known in health.pools.get_mut(&pool.id).into_iter().flatten() {
            let number = numbers.get(&known.member).copied();
            if let (Some(record), Some(verdict)) = (number.and_then(record), &mut known.verdict) {
                follow(verdict, record.takes_new());
            }
        }
        if pool.healthmonitor.is_some() {
            // First verdicts are published at once, and written down a second later.
            let took = |number: &&AssignedMember| record(number).is_some_and(Backend::takes_new);
            let took = assigned.members.iter().filter(took).map(AssignedMember::socket).collect();
            suppose_healthy(health.pools.entry(pool.id).or_default(), took);
        }
    }
}

fn follow(verdict: &mut Verdict, took_new: bool) {
    let status = if took_new { OperatingStatus::Online } else { OperatingStatus::Offline };
    if verdict.status != status {
        let reason = verdict.reason.take().filter(|_| !took_new);
        *verdict = Verdict { status, since: now().wall, reason, streak: 0, decided: None };
    }
}

/// The IP group of a listener, if its record names one.
fn ip_group(
    model: &Model,
    listener: &Listener,
    record: &Record,
    known: &mut BTreeMap<ResourceId, AssignedGroup>,
) {
    const LISTED: u16 = listener_flags::WHITELIST | listener_flags::BLACKLIST;
    let access = listener.ipgroup.as_ref().filter(|_| record.flags & LISTED != 0);
    let mut groups = model.ip_groups().iter();
    let group = access.and_then(|access| groups.find(|group| group.name == access.ipgroup));
    if let Some(group) = group.filter(|_| known.values().all(|other| other.id != record.group)) {
        let name = group.name.to_string();
        known.entry(group.id).or_insert(AssignedGroup { id: record.group, name });
    }
}

/// Takes over a number that no other has.
fn adopt(known: &mut BTreeMap<IpAddr, u16>, key: IpAddr, number: Option<u16>) {
    if let Some(number) = number.filter(|number| known.values().all(|other| other != number)) {
        known.entry(key).or_insert(number);
    }
}

fn observed_listener(observed: &Image, lb: &LoadBalancer, listener: &Listener) -> Option<Record> {
    let protocol = protocol_number(listener.protocol);
    if let Ports::One(port) = listener.ports() {
        let mut keys = lb.vips().map(|address| ListenerKey { address, port, protocol });
        return keys.find_map(|key| observed.listeners.get(&key).copied());
    }
    let mut vips = lb.vips().filter_map(|address| observed.vips.get(&address));
    vips.find_map(|vip| {
        let entry = |ports| RangeEntry { vip: vip.number, protocol, ports };
        let mut prefixes = listener.ports().prefixes().into_iter();
        prefixes.find_map(|ports| observed.ranges.get(&entry(ports)).copied())
    })
}

/// The numbers of a pool in its records; it is taken to be old.
fn assigned(record: &Record, pool: &PoolRecord) -> AssignedPool {
    let shape =
        |size, algorithm, cid: CidPart| Shape { size, algorithm, cid: (cid.offset, cid.length) };
    let ring = AssignedRing {
        base: record.ring_base,
        shape: shape(record.ring_size, record.algorithm, record.cid),
    };
    let former = AssignedRing {
        base: pool.former.base,
        shape: shape(pool.former.size, pool.former.algorithm, pool.former.cid),
    };
    AssignedPool {
        former: Some(former).filter(|ring| ring.shape.size > 0),
        former_since: coarse_seconds(),
        udp_hold_until: pool.udp_hold_until,
        idle_timeout: pool.idle_timeout,
        flows_since: pool.flows_since,
        ..AssignedPool::new(record.pool, ring, 0)
    }
}

/// The numbers of a listener in its record. Since when it serves another pool, the maps do not say.
fn numbers(lb: &LoadBalancer, listener: &Listener, record: &Record) -> AssignedListener {
    let (since, udp_hold_until) = (coarse_seconds(), record.former_hold_until);
    let former = FormerPool { pool: record.former_pool, since, udp_hold_until };
    AssignedListener {
        id: record.id,
        name: listener.name.to_string(),
        load_balancer: Some(lb.id),
        pool: record.pool,
        former: Some(former).filter(|former| former.pool != NO_POOL),
        moved: record.flags & listener_flags::MOVED != 0,
        // The maps do not say it.
        served: BTreeSet::new(),
        place: ListenerPlace::default(),
        embedding: None,
    }
}

/// The maps may say anything: numbers that contradict each other are not taken over.
fn fits(known: &Assignments, pool: &AssignedPool) -> bool {
    let ids = known.backend_ids();
    let mut regions: Vec<Region> = known.pools.values().flat_map(AssignedPool::regions).collect();
    regions.extend(pool.regions());
    regions.sort_by_key(|region| region.base);
    let apart = |pair: &[Region]| pair[0].base.saturating_add(pair[0].size) <= pair[1].base;
    regions.iter().all(|region| region.base.is_multiple_of(elb_common::ring::CHUNK))
        && regions.windows(2).all(apart)
        && known.pools.values().all(|other| other.id != pool.id)
        && pool.members.iter().all(|member| !ids.contains(member.id))
}

fn members(
    pool: &Pool,
    observed: &Image,
    maps: &Maps,
    assigned: &AssignedPool,
) -> Vec<AssignedMember> {
    let mut found: BTreeMap<SocketAddr, AssignedMember> = BTreeMap::new();
    let named: BTreeSet<u16> = assigned.regions().flat_map(|region| maps.named(region)).collect();
    let ports: HashMap<_, _> =
        pool.members.iter().rev().map(|member| (member.address, member.socket().port())).collect();
    for id in named {
        let Some(address) = observed.backends.get(&id).and_then(|b| address(pool, b)) else {
            continue;
        };
        let member = ports.get(&address);
        let port = member.copied().unwrap_or_default();
        let removed = member.is_none();
        let key = SocketAddr::new(address, port);
        found.entry(key).or_insert(AssignedMember { removed, ..AssignedMember::new(id, key) });
    }
    found.into_values().collect()
}

/// The address in a record. The mode does not show the family of an l2 backend; the pool's members
/// do.
fn address(pool: &Pool, backend: &Backend) -> Option<IpAddr> {
    let bytes: [u8; 16] = bytemuck::cast(backend.address);
    let v4 = IpAddr::from([bytes[0], bytes[1], bytes[2], bytes[3]]);
    match backend.mode {
        mode::IPIP_V4 | mode::GUE_V4 => Some(v4),
        mode::IPIP_V6 | mode::GUE_V6 => Some(bytes.into()),
        mode::L2 | mode::NAT | mode::FULLNAT if pool.forwarding.keeps_version() => {
            let is_v4 = pool.members.first().is_none_or(|member| member.address.is_ipv4());
            Some(if is_v4 { v4 } else { bytes.into() })
        }
        mode::NAT46 if pool.forwarding.embeds_clients() => Some(bytes.into()),
        _ => None,
    }
}

/// Members that own slots took new flows.
fn took_new(members: &[AssignedMember], maps: &Maps, region: Region) -> Vec<SocketAddr> {
    let (shares, _) = maps.shares(region);
    let owns = |member: &&AssignedMember| !member.removed && shares.contains_key(&member.id);
    members.iter().filter(owns).map(AssignedMember::socket).collect()
}

/// Those were healthy, unless something else is known of them.
fn suppose_healthy(known: &mut Vec<saved::SavedMember>, took_new: Vec<SocketAddr>) {
    let since = now().wall;
    let mut places: HashMap<_, _> =
        known.iter().enumerate().rev().map(|(place, known)| (known.member, place)).collect();
    for member in took_new {
        let online = Verdict {
            status: OperatingStatus::Online,
            since,
            reason: None,
            streak: 0,
            decided: None,
        };
        match places.get(&member) {
            Some(place) => drop(known[*place].verdict.get_or_insert(online)),
            None => {
                places.insert(member, known.len());
                let (verdict, history) = (Some(online), History::default());
                known.push(saved::SavedMember { member, verdict, history });
            }
        }
    }
}

#[cfg(test)]
mod tests;
