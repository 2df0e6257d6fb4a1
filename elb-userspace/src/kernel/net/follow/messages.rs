//! What netlink messages say, and the messages that ask.
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "netlink has hundreds of messages and attributes, of which a handful matter here"
)]

use std::net::IpAddr;

use elb_common::addr::Mac;
use rtnetlink::packet_route::link::{InfoKind, LinkAttribute, LinkInfo, LinkMessage};
use rtnetlink::packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourExtFlags, NeighbourFlags, NeighbourMessage,
    NeighbourState,
};
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteMetric, RouteType, RouteVia,
};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::control::network::{Link, Neighbor, Route};

/// What the kernel has on a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its Ethernet address, where the entry has one that may be used.
    pub(super) mac: Option<Mac>,
    pub(super) state: State,
}

/// How sure the kernel is of a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It is being asked for the first time, or again after it was silent.
    Asked,
    /// It was asked and did not answer.
    Silent,
    /// It answered, and that is not long ago.
    Known,
    /// It has an Ethernet address, and has not confirmed it lately: it answered at some time, or spoke without
    /// being asked. While it is asked whether that still holds, by the kernel or because a program set this state,
    /// nothing is known of it that was not known before.
    Unconfirmed,
    /// An administrator or another program made the entry: it is not asked for, nor is it to be
    /// changed.
    Fixed,
}

impl State {
    /// Whether the entry has an Ethernet address that may be used.
    pub(super) const fn has_address(self) -> bool {
        !matches!(self, Self::Asked | Self::Silent)
    }
}

/// An interface, and those that it has to do with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Interface {
    pub(super) link: Link,
    /// What a VLAN, macvlan or the like sits on.
    pub(super) sits_on: Option<u32>,
    /// The bridge or bond that it is a part of.
    pub(super) part_of: Option<u32>,
}

/// An interface and its index. Interfaces report their wireless and bridge sides without a name:
/// these are none.
pub(super) fn link(message: &LinkMessage) -> Option<(u32, Interface)> {
    let mut link = Link { name: String::new(), mac: None, mtu: 1500 };
    let (mut below, mut part_of, mut is_upper) = (None, None, false);
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
            LinkAttribute::Address(bytes) => link.mac = mac(bytes),
            LinkAttribute::Link(lower) => below = Some(*lower),
            LinkAttribute::Controller(upper) => part_of = Some(*upper),
            LinkAttribute::LinkInfo(info) => is_upper = info.iter().any(is_of_lower),
            _ => {}
        }
    }
    let is_named = !link.name.is_empty();
    let interface = Interface { link, sits_on: below.filter(|_| is_upper), part_of };
    is_named.then_some((message.header.index, interface))
}

/// Whether an interface of this kind takes frames that another one receives, under an address that may be its
/// own. The link of a pair or a tunnel is another end.
fn is_of_lower(info: &LinkInfo) -> bool {
    use InfoKind::{IpVlan, IpVtap, MacVlan, MacVtap, Vlan};
    matches!(info, LinkInfo::Kind(Vlan | MacVlan | MacVtap | IpVlan | IpVtap))
}

/// A neighbour and what is known of it; none for other entries, as those of bridges.
pub(super) fn neighbor(message: &NeighbourMessage) -> Option<(Neighbor, Entry)> {
    let (mut address, mut ethernet) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(v4)) => {
                address = Some(IpAddr::V4(*v4));
            }
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(v6)) => {
                address = Some(IpAddr::V6(*v6));
            }
            NeighbourAttribute::LinkLayerAddress(bytes) => ethernet = mac(bytes),
            _ => {}
        }
    }
    let state = match message.header.state {
        _ if message.header.flags.contains(NeighbourFlags::ExtLearned) => State::Fixed,
        NeighbourState::Failed => State::Silent,
        NeighbourState::Incomplete | NeighbourState::None => State::Asked,
        NeighbourState::Permanent | NeighbourState::Noarp => State::Fixed,
        NeighbourState::Reachable => State::Known,
        _ => State::Unconfirmed,
    };
    let entry = Entry { mac: ethernet.filter(|_| state.has_address()), state };
    Some(((message.header.ifindex, address?), entry))
}

fn mac(bytes: &[u8]) -> Option<Mac> {
    let bytes: [u8; 6] = bytes.try_into().ok()?;
    (bytes != [0; 6]).then(|| Mac::new(bytes))
}

/// The way that a route message says.
pub(super) fn route(message: &RouteMessage) -> Route {
    match message.header.kind {
        RouteType::Unicast => {}
        RouteType::Local => return Route::Local,
        _ => return Route::None,
    }
    let (mut found, mut source, mut mtu) = (None, None, None);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Oif(index) => found = Some(*index),
            RouteAttribute::PrefSource(address) => source = ip(address),
            RouteAttribute::Metrics(metrics) => {
                mtu = metrics.iter().find_map(|metric| match metric {
                    RouteMetric::Mtu(mtu) => Some(*mtu),
                    _ => None,
                });
            }
            _ => {}
        }
    }
    let gateway = gateway(&message.attributes);
    found.map_or(Route::None, |ifindex| Route::Via { ifindex, gateway, source, mtu })
}

/// All next hops of a route that has several.
pub(super) fn next_hops(message: &RouteMessage, address: IpAddr) -> Vec<Neighbor> {
    let several = message.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::MultiPath(hops) => Some(hops),
        _ => None,
    });
    let hop = |ifindex, attributes| (ifindex, gateway(attributes).unwrap_or(address));
    let hops = several.into_iter().flatten();
    hops.map(|one| hop(one.interface_index, &one.attributes)).collect()
}

fn gateway(attributes: &[RouteAttribute]) -> Option<IpAddr> {
    attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Gateway(address) => ip(address),
        RouteAttribute::Via(RouteVia::Inet6(address)) => Some(IpAddr::V6(*address)),
        RouteAttribute::Via(RouteVia::Inet(address)) => Some(IpAddr::V4(*address)),
        _ => None,
    })
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(v4) => Some(IpAddr::V4(*v4)),
        RouteAddress::Inet6(v6) => Some(IpAddr::V6(*v6)),
        _ => None,
    }
}

/// Asks which way the kernel takes to an address.
pub(super) fn ask_route(address: IpAddr) -> RouteNetlinkMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family(address);
    message.header.destination_prefix_length = if address.is_ipv4() { 32 } else { 128 };
    message.attributes.push(RouteAttribute::Destination(RouteAddress::from(address)));
    RouteNetlinkMessage::GetRoute(message)
}

/// Asks for the whole route to an address, with all its next hops.
pub(super) fn ask_next_hops(address: IpAddr) -> RouteNetlinkMessage {
    let mut message = ask_route(address);
    if let RouteNetlinkMessage::GetRoute(route) = &mut message {
        route.header.flags |= RouteFlags::FibMatch;
    }
    message
}

/// Lets the kernel resolve a neighbour, as if it had a packet for it, and keep it resolved from then
/// on (Linux 5.16 and later; older ones only resolve it). Never for one whose entry is fixed: the
/// kernel would take it for a usual one from then on.
pub(super) fn keep_neighbor(neighbor: Neighbor) -> RouteNetlinkMessage {
    let mut message = neighbor_message(neighbor, NeighbourState::None);
    message.header.flags |= NeighbourFlags::Use;
    message.attributes.push(NeighbourAttribute::ExtFlags(NeighbourExtFlags::Managed));
    RouteNetlinkMessage::NewNeighbour(message)
}

/// Lets the kernel ask a neighbour that it knows whether its Ethernet address is still the same. It
/// is no longer kept resolved.
pub(super) fn verify_neighbor(neighbor: Neighbor) -> RouteNetlinkMessage {
    RouteNetlinkMessage::NewNeighbour(neighbor_message(neighbor, NeighbourState::Probe))
}

/// Leaves a neighbour that is no longer used to the kernel.
pub(super) fn leave_neighbor(neighbor: Neighbor) -> RouteNetlinkMessage {
    RouteNetlinkMessage::NewNeighbour(neighbor_message(neighbor, NeighbourState::Stale))
}

fn neighbor_message((ifindex, address): Neighbor, state: NeighbourState) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = family(address);
    message.header.ifindex = ifindex;
    message.header.state = state;
    let destination = match address {
        IpAddr::V4(v4) => NeighbourAddress::Inet(v4),
        IpAddr::V6(v6) => NeighbourAddress::Inet6(v6),
    };
    message.attributes.push(NeighbourAttribute::Destination(destination));
    message
}

const fn family(address: IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}
