//! The kernel's main table, and what follows from it for clients: which next hop they are behind.

mod merge;

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use elb_common::addr::Mac;
use elb_common::client_hop::{ClientHop, hop_kind};
use elb_common::limits::MAX_CLIENT_ROUTES;

use self::merge::merged;
use super::client_hops::{ClientHops, KERNEL, of_kind};
use super::{Neighbor, Network};
use crate::model::ipgroup::Cidr;

/// Entries of each IP version that are in use at most: those before a change and those after it fit together.
pub const MOST_CLIENT_ROUTES: usize = MAX_CLIENT_ROUTES as usize / 2;

/// Where a route of the kernel's goes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ListedWay {
    /// To this host.
    Local,
    /// Nowhere: unreachable, prohibited, a black hole.
    Nowhere,
    /// Only the kernel knows.
    Other,
    /// By interfaces.
    Via {
        /// Its next hops, in the kernel's order.
        hops: Vec<RouteHop>,
        /// The route's MTU, where it has one.
        mtu: Option<u32>,
    },
}

/// One next hop of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RouteHop {
    /// The interface.
    pub ifindex: u32,
    /// The gateway; `None`: clients are neighbours.
    pub gateway: Option<IpAddr>,
}

/// Routes as the kernel lists them, in any order.
#[derive(Debug, Default)]
pub struct RouteListing {
    numbers: HashMap<Arc<ListedWay>, u32>,
    ways: Vec<Arc<ListedWay>>,
    routes: Vec<(Cidr, u32, u32)>,
}

/// The routes that the kernel would take: for each prefix one, in the order of prefixes, so that a wider one
/// comes before those within it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientTable {
    /// What routes have, each way once: many have the same.
    ways: Vec<Arc<ListedWay>>,
    routes: Vec<(Cidr, u32)>,
}

/// What is known of the ways back to clients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientWays {
    /// For the maps.
    pub hops: Arc<ClientHops>,
    /// How many entries of each IP version are too many: the kernel finds the way to some of their clients.
    pub left_out: [usize; 2],
    /// Routing rules by which the kernel may choose another table than the main one, in words.
    pub other_rules: Vec<String>,
}

impl RouteListing {
    /// One more route.
    pub fn add(&mut self, prefix: Cidr, metric: u32, way: ListedWay) {
        if !is_of_clients(prefix) {
            return;
        }
        let number = self.number(way);
        self.routes.push((prefix, metric, number));
    }

    fn number(&mut self, way: ListedWay) -> u32 {
        if let Some(number) = self.numbers.get(&way) {
            return *number;
        }
        let number = u32::try_from(self.ways.len()).unwrap_or(u32::MAX);
        let way = Arc::new(way);
        self.numbers.insert(way.clone(), number);
        self.ways.push(way);
        number
    }

    /// Of each prefix the route that the kernel takes: one to this host before all others, then that with the
    /// lowest metric. Nothing within a prefix of this host counts, since the kernel asks its table first.
    pub fn finish(mut self) -> ClientTable {
        let mut routes = std::mem::take(&mut self.routes);
        let is_own = |ways: &[Arc<ListedWay>], way: u32| *ways[way as usize] == ListedWay::Local;
        routes.sort_by_key(|(prefix, metric, way)| (*prefix, !is_own(&self.ways, *way), *metric));
        let mut taken: Vec<(Cidr, u32, u32)> = Vec::new();
        let mut own: Option<Cidr> = None;
        for (prefix, metric, way) in routes {
            if own.is_some_and(|own| own.covers(prefix)) {
                continue;
            }
            match taken.last_mut() {
                Some(last) if last.0 == prefix => {
                    if last.1 == metric
                        && let Some(both) = self.joined(last.2, way)
                    {
                        last.2 = self.number(both);
                    }
                }
                _ => {
                    own = is_own(&self.ways, way).then_some(prefix).or(own);
                    taken.push((prefix, metric, way));
                }
            }
        }
        let routes = taken.into_iter().map(|(prefix, _, way)| (prefix, way)).collect();
        ClientTable { ways: self.ways, routes }
    }

    /// Two routes of one metric: IPv6 lists the next hops of one as routes of their own.
    fn joined(&self, one: u32, other: u32) -> Option<ListedWay> {
        let of = |way: u32| match &*self.ways[way as usize] {
            ListedWay::Via { hops, mtu } if hops.iter().all(|hop| hop.gateway.is_some()) => {
                Some((hops, *mtu))
            }
            ListedWay::Via { .. } | ListedWay::Local | ListedWay::Nowhere | ListedWay::Other => {
                None
            }
        };
        let ((hops, mtu), (more, _)) = (of(one)?, of(other)?);
        Some(ListedWay::Via { hops: [&hops[..], &more[..]].concat(), mtu })
    }
}

/// Whether clients may have addresses of a prefix, or it is wider.
fn is_of_clients(prefix: Cidr) -> bool {
    let is_within = |address: Ipv6Addr, bits| {
        Cidr::of(address.into(), bits).is_some_and(|other| other.covers(prefix))
    };
    match prefix.address() {
        IpAddr::V4(address) => {
            let wide = prefix.bits();
            !(address.is_loopback() && wide >= 8 || address.is_multicast() && wide >= 4)
        }
        IpAddr::V6(_) => {
            let link_local = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0);
            let multicast = Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0);
            !(is_within(link_local, 10)
                || is_within(multicast, 8)
                || is_within(Ipv6Addr::LOCALHOST, 128))
        }
    }
}

/// What follows from a way, with what is known now.
#[derive(Clone, Debug)]
struct Found {
    hop: ClientHop,
    /// Interfaces that its addresses are neighbours on, and what fits there.
    on_link: Vec<(u32, u16)>,
}

/// A neighbour that may be a client.
pub type OnLink = (Neighbor, Mac);

/// One entry, and whether it is there for a neighbour.
type Entry = (Cidr, ClientHop, bool);

impl ClientTable {
    /// The gateways by interfaces that packets can be sent by.
    pub fn gateways(&self, known: &Network, carrying: &BTreeSet<u32>) -> BTreeSet<Neighbor> {
        let hops = self.ways.iter().filter_map(|way| match &**way {
            ListedWay::Via { hops, .. } => Some(hops),
            ListedWay::Local | ListedWay::Nowhere | ListedWay::Other => None,
        });
        let gateway = |hop: &RouteHop| Some((hop.ifindex, hop.gateway?));
        let gateways = hops.flatten().filter_map(gateway);
        gateways.filter(|(ifindex, _)| known.can_send_by(*ifindex, carrying)).collect()
    }

    /// Whether addresses of an interface's segment are reached directly.
    pub fn is_on_link(&self, ifindex: u32) -> bool {
        self.ways.iter().any(|way| match &**way {
            ListedWay::Via { hops, .. } => {
                hops.iter().any(|hop| hop.ifindex == ifindex && hop.gateway.is_none())
            }
            ListedWay::Local | ListedWay::Nowhere | ListedWay::Other => false,
        })
    }

    /// How clients are reached: by gateways that `known` has the Ethernet addresses of, and as these neighbours.
    pub fn ways(
        &self,
        known: &Network,
        carrying: &BTreeSet<u32>,
        neighbors: impl IntoIterator<Item = OnLink>,
    ) -> ClientWays {
        let found: Vec<Found> = self.ways.iter().map(|way| known.found(way, carrying)).collect();
        let mut neighbors: Vec<OnLink> = neighbors.into_iter().collect();
        neighbors.sort_unstable_by_key(|((ifindex, address), _)| (*address, *ifindex));
        let (mut defaults, entries) = self.entries(&found, known, &neighbors);
        let mut left_out = [0; 2];
        let mut routes = Vec::new();
        let v6 = entries.partition_point(|(prefix, ..)| prefix.address().is_ipv4());
        for (version, entries) in [&entries[..v6], &entries[v6..]].into_iter().enumerate() {
            let entries = merged(entries, defaults[version]);
            let kept = fit(&entries, &mut defaults[version], MOST_CLIENT_ROUTES);
            left_out[version] = entries.len().saturating_sub(MOST_CLIENT_ROUTES);
            routes.extend(kept.into_iter().map(|(prefix, hop, _)| (prefix, hop)));
        }
        let hops = Arc::new(ClientHops::new(defaults, routes.into_iter().collect()));
        ClientWays { hops, left_out, other_rules: Vec::new() }
    }

    /// The defaults, and what differs from the next wider entry, in the order of prefixes.
    fn entries(
        &self,
        found: &[Found],
        known: &Network,
        neighbors: &[OnLink],
    ) -> ([ClientHop; 2], Vec<Entry>) {
        let mut defaults = [ClientHop::default(); 2];
        let mut entries: Vec<Entry> = Vec::new();
        // The routes that the present prefix is within, the widest first.
        let mut around: Vec<(Cidr, &Found)> = Vec::new();
        let mut neighbors = neighbors.iter().peekable();
        let mut routes = self.routes.iter().peekable();
        loop {
            let host = neighbors.peek().map(|((_, address), _)| Cidr::host(*address));
            let next = routes.next_if(|(prefix, _)| host.is_none_or(|host| *prefix <= host));
            let Some(prefix) = next.map(|(prefix, _)| *prefix).or(host) else { break };
            while around.last().is_some_and(|(wider, _)| !wider.covers(prefix)) {
                around.pop();
            }
            let version = usize::from(prefix.address().is_ipv6());
            let above = around.last().copied();
            let hop_above = above.map_or(defaults[version], |(_, found)| found.hop);
            if let Some((_, way)) = next {
                let found = &found[*way as usize];
                match prefix.bits() {
                    0 => defaults[version] = found.hop,
                    _ if found.hop != hop_above => entries.push((prefix, found.hop, false)),
                    _ => {}
                }
                around.push((prefix, found));
            } else if let Some(((ifindex, _), mac)) = neighbors.next()
                && let Some(hop) = above.and_then(|(_, found)| known.by(*ifindex, *mac, found))
            {
                // In the place of a route to this address alone, it is not to be left out.
                let replaced = entries.pop_if(|(last, ..)| *last == prefix);
                entries.push((prefix, hop, replaced.is_none()));
            }
        }
        (defaults, entries)
    }
}

impl Network {
    /// Whether packets can be sent by an interface: it carries the program, and what it sits on, or consists of,
    /// does not.
    fn can_send_by(&self, ifindex: u32, carrying: &BTreeSet<u32>) -> bool {
        let below = self.sits_on.get(&ifindex).is_some_and(|lower| carrying.contains(lower));
        let mut parts = self.part_of.iter().filter(|(_, whole)| **whole == ifindex);
        carrying.contains(&ifindex) && !below && !parts.any(|(part, _)| carrying.contains(part))
    }

    fn found(&self, way: &ListedWay, carrying: &BTreeSet<u32>) -> Found {
        let only = |hop| Found { hop, on_link: Vec::new() };
        let (hops, mtu) = match way {
            ListedWay::Local => return only(of_kind(hop_kind::LOCAL)),
            ListedWay::Nowhere => return only(of_kind(hop_kind::NONE)),
            ListedWay::Other => return only(KERNEL),
            ListedWay::Via { hops, mtu } => (hops, *mtu),
        };
        let fits = |ifindex: u32| {
            let link = self.links.get(&ifindex)?;
            let largest = mtu.into_iter().fold(link.mtu, u32::min);
            let largest = u16::try_from(largest).unwrap_or(u16::MAX);
            self.can_send_by(ifindex, carrying).then_some((link.mac?, largest))
        };
        let by_gateway = |hop: &RouteHop| {
            let neighbor = (hop.ifindex, hop.gateway?);
            let mac = self.neighbors.get(&neighbor).filter(|_| !self.silent.contains(&neighbor))?;
            let (source, largest) = fits(hop.ifindex)?;
            Some(known_hop(*mac, source, hop.ifindex, largest))
        };
        if let Some(hop) = hops.iter().find_map(by_gateway) {
            return only(hop);
        }
        let on_link = hops.iter().filter(|hop| hop.gateway.is_none());
        let on_link = on_link.filter_map(|hop| Some((hop.ifindex, fits(hop.ifindex)?.1)));
        Found { hop: KERNEL, on_link: on_link.collect() }
    }

    /// The way to a neighbour, if the route to it says that it is one on this interface.
    fn by(&self, ifindex: u32, mac: Mac, found: &Found) -> Option<ClientHop> {
        let (_, largest) = found.on_link.iter().find(|(other, _)| *other == ifindex)?;
        Some(known_hop(mac, self.links.get(&ifindex)?.mac?, ifindex, *largest))
    }
}

const fn known_hop(next_hop: Mac, source: Mac, ifindex: u32, largest: u16) -> ClientHop {
    ClientHop { next_hop, source, ifindex, largest, kind: hop_kind::KNOWN }
}

/// Of the entries of one IP version those that fit. What is left out is found by the kernel: neighbours first,
/// which are in a prefix that the kernel decides on anyway; then whole prefixes with all that is within them,
/// where the kernel decides by default.
fn fit(entries: &[Entry], default: &mut ClientHop, most: usize) -> Vec<Entry> {
    let Some(excess) = entries.len().checked_sub(most).filter(|excess| *excess > 0) else {
        return entries.to_vec();
    };
    let neighbors = entries.iter().filter(|(_, _, by_neighbor)| *by_neighbor).count();
    let mut room = neighbors.saturating_sub(excess);
    let has_room = |(_, _, by_neighbor): &&Entry| {
        !*by_neighbor || room.checked_sub(1).map(|less| room = less).is_some()
    };
    let entries: Vec<Entry> = entries.iter().filter(has_room).copied().collect();
    if entries.len() <= most {
        return entries;
    }
    *default = KERNEL;
    let (mut groups, mut rest) = (Vec::new(), &entries[..]);
    while let Some(((head, ..), _)) = rest.split_first() {
        let end = rest.iter().position(|(prefix, ..)| !head.covers(*prefix));
        let (group, after) = rest.split_at(end.unwrap_or(rest.len()));
        groups.push(group);
        rest = after;
    }
    groups.retain(|group| group.len() > 1 || group[0].1 != KERNEL);
    groups.sort_by_key(|group| group.len());
    let mut kept: Vec<Entry> = Vec::new();
    for group in groups {
        if kept.len() + group.len() > most {
            break;
        }
        kept.extend(group);
    }
    kept
}

#[cfg(test)]
mod tests;
