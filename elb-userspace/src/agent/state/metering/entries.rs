//! Which maps the agent writes, and how full they are.

use std::net::IpAddr;

use elb_common::limits;
use elb_common::names::*;
use elb_common::ring::CHUNK;

use crate::control::assign::Assignments;
use crate::control::plan::{Command, Image};
use crate::kernel::bpf::Capacity;

/// Every map that [`map_of`] names: the series of each is there before its first write.
pub(super) const WRITTEN: [&str; 28] = [
    DEVMAP,
    INTERFACES,
    MORE_MACS,
    BACKEND_COUNTERS,
    BACKENDS,
    POOLS,
    SERVER_IDS,
    RINGS,
    LISTENER_COUNTERS,
    GROUPS_V4,
    GROUPS_V6,
    LISTENER_POOLS,
    LISTENERS_V4,
    LISTENERS_V6,
    PORT_RANGES,
    REPLIES_V4,
    REPLIES_V6,
    MEMBER_BITS,
    CLIENT_ROUTES_V4,
    CLIENT_ROUTES_V6,
    CLIENT_ROUTE_BITS,
    CLIENT_DEFAULTS,
    VIP_BITS,
    VIPS_V4,
    VIPS_V6,
    BINDINGS_V4,
    SNAT,
    LISTENER_ENDPOINTS,
];

/// The map that a command writes first of all.
pub(super) const fn map_of(command: &Command) -> &'static str {
    match command {
        Command::PutDevice(_) | Command::RemoveDevice(_) => DEVMAP,
        Command::PutInterface(..) | Command::RemoveInterface(_) => INTERFACES,
        Command::PutMac(_) | Command::RemoveMac(_) => MORE_MACS,
        Command::ResetBackendCounter(_) => BACKEND_COUNTERS,
        Command::PutBackend(..) => BACKENDS,
        Command::PutPool(..) => POOLS,
        Command::PutServer(..) | Command::RemoveServer(_) => SERVER_IDS,
        Command::WriteRing(_) | Command::ClearRing(_) => RINGS,
        Command::ResetListenerCounter(_) => LISTENER_COUNTERS,
        Command::AddToGroup(_, network) | Command::RemoveFromGroup(_, network) => {
            if network.address().is_ipv4() { GROUPS_V4 } else { GROUPS_V6 }
        }
        Command::PutListenerPool(..) => LISTENER_POOLS,
        Command::PutListener(key, _) | Command::RemoveListener(key) => match key.address {
            IpAddr::V4(_) => LISTENERS_V4,
            IpAddr::V6(_) => LISTENERS_V6,
        },
        Command::PutRange(..) | Command::RemoveRange(_) => PORT_RANGES,
        Command::PutClientRoute(prefix, _) | Command::RemoveClientRoute(prefix) => {
            if prefix.address().is_ipv4() { CLIENT_ROUTES_V4 } else { CLIENT_ROUTES_V6 }
        }
        Command::PutReply(key, _) | Command::RemoveReply(key) => match key.address {
            IpAddr::V4(_) => REPLIES_V4,
            IpAddr::V6(_) => REPLIES_V6,
        },
        Command::PutMemberBits(..) => MEMBER_BITS,
        Command::PutClientBits(..) => CLIENT_ROUTE_BITS,
        Command::PutClientDefault(..) => CLIENT_DEFAULTS,
        Command::PutVipBits(..) => VIP_BITS,
        Command::ClearBindings => BINDINGS_V4,
        Command::PutSnat(_) => SNAT,
        Command::PutEndpoint(..) => LISTENER_ENDPOINTS,
        Command::PutVip(IpAddr::V4(_), _) | Command::RemoveVip(IpAddr::V4(_)) => VIPS_V4,
        Command::PutVip(IpAddr::V6(_), _) | Command::RemoveVip(IpAddr::V6(_)) => VIPS_V6,
    }
}

/// Maps, entries in use, and how many there may be.
pub(in crate::agent) fn entries(
    image: &Image,
    assigned: &Assignments,
    capacity: Capacity,
) -> Vec<(&'static str, usize, u32)> {
    let listeners =
        |is_v4| image.listeners.keys().filter(|key| key.address.is_ipv4() == is_v4).count();
    let replies = |is_v4| image.replies.keys().filter(|key| key.address.is_ipv4() == is_v4).count();
    let vips = |is_v4| image.vips.keys().filter(|vip| vip.is_ipv4() == is_v4).count();
    let clients =
        |is_v4| image.clients.routes.keys().filter(|one| one.address().is_ipv4() == is_v4).count();
    let regions = assigned.pools.values().flat_map(|pool| pool.regions());
    let slots: u32 = regions.map(|region| region.size.next_multiple_of(CHUNK)).sum();
    vec![
        (LISTENERS_V4, listeners(true), capacity.listeners),
        (LISTENERS_V6, listeners(false), capacity.listeners),
        (LISTENER_POOLS, image.listener_pools.len(), capacity.listeners),
        (PORT_RANGES, image.ranges.len(), limits::MAX_PORT_RANGES),
        (VIPS_V4, vips(true), limits::MAX_VIPS),
        (VIPS_V6, vips(false), limits::MAX_VIPS),
        (CLIENT_ROUTES_V4, clients(true), limits::MAX_CLIENT_ROUTES),
        (CLIENT_ROUTES_V6, clients(false), limits::MAX_CLIENT_ROUTES),
        (POOLS, image.pools.len(), limits::MAX_POOLS),
        (BACKENDS, image.backends.len(), capacity.backends),
        (SERVER_IDS, image.servers.len(), limits::MAX_SERVER_IDS),
        (REPLIES_V4, replies(true), capacity.backends),
        (REPLIES_V6, replies(false), capacity.backends),
        (INTERFACES, image.interfaces.len(), limits::MAX_INTERFACES),
        (MORE_MACS, image.more_macs.len(), limits::MAX_MORE_MACS),
        (RINGS, slots as usize, capacity.chunks.saturating_mul(CHUNK)),
    ]
}
