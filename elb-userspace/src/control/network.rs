//! How a member is reached: route, interface, and the next hop's Ethernet address.
//!
//! What is known of the kernel is a [`Network`], which decides without I/O; `kernel::net::follow` fills it.

mod above;
pub mod client_hops;
pub mod client_routes;
mod unserved;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use elb_common::addr::Mac;
use serde::Serialize;
use thiserror::Error;

pub use self::client_routes::ClientWays;
pub use self::unserved::UnservedWay;

/// Everything that a frame to a member needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextHop {
    /// Interface the frame leaves by.
    pub ifindex: u32,
    /// Ethernet address of the next hop.
    pub mac: Mac,
    /// Ethernet address of that interface.
    pub source_mac: Mac,
    /// The address this host has towards the member.
    pub source: Option<IpAddr>,
    /// Largest IP packet on the way that this host knows of.
    pub mtu: u16,
    /// Whether the member is on the interface's segment, and not behind a gateway.
    pub on_link: bool,
}

/// Why a member cannot be reached.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize)]
#[serde(rename_all = "snake_case", tag = "why")]
pub enum Unreachable {
    /// The kernel was not asked yet.
    #[error("the route is not known yet")]
    Unknown,
    /// There is no route.
    #[error("there is no route to {address}; see `ip route get {address}`")]
    NoRoute {
        /// The member.
        address: IpAddr,
    },
    /// The member is this host.
    #[error("{address} is an address of the load balancer itself, which cannot be its own member")]
    Local {
        /// The member.
        address: IpAddr,
    },
    /// The route leaves by an interface that is down or has no Ethernet address.
    #[error("the route to {address} leaves by interface {ifindex}, which is no Ethernet interface")]
    NoEthernet {
        /// The member.
        address: IpAddr,
        /// The interface.
        ifindex: u32,
    },
    /// The neighbour does not answer.
    #[error(
        "{neighbor} does not answer ARP or neighbour solicitations on {interface}; see `ip neigh`"
    )]
    NoNeighbor {
        /// The gateway, or the member itself.
        neighbor: IpAddr,
        /// The interface's name.
        interface: String,
    },
}

/// An interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its name.
    pub name: String,
    /// Its Ethernet address, if it has one.
    pub mac: Option<Mac>,
    /// Its MTU.
    pub mtu: u32,
}

/// The way to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// The address is this host's.
    Local,
    /// There is none.
    None,
    /// By an interface.
    Via {
        /// The interface.
        ifindex: u32,
        /// The gateway; `None`: the address is a neighbour.
        gateway: Option<IpAddr>,
        /// The source address that the kernel would choose.
        source: Option<IpAddr>,
        /// The route's MTU, where it has one.
        mtu: Option<u32>,
    },
}

/// Addresses that ways are looked for to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WantedAddresses {
    /// Of members: route and neighbour.
    pub members: BTreeSet<IpAddr>,
    /// Virtual ones: the route only, to know where answers from them may come in.
    pub vips: BTreeSet<IpAddr>,
    /// Whether ways to clients are looked for, whatever addresses these have: by these interfaces, which carry
    /// the program.
    pub clients: Option<BTreeSet<u32>>,
}

/// A neighbour: an address on the segment of an interface.
pub type Neighbor = (u32, IpAddr);

/// Where frames to a member went when they last got there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastHop {
    /// The interface.
    pub ifindex: u32,
    /// Ethernet address of the next hop.
    pub mac: Mac,
}

/// What the kernel reported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// Interfaces by index.
    pub links: HashMap<u32, Link>,
    /// Ethernet addresses of neighbours in use: the last one known, even where the neighbour stopped
    /// answering, since health checks judge that better.
    pub neighbors: HashMap<Neighbor, Mac>,
    /// Neighbours in use that were asked and do not answer.
    pub silent: HashSet<Neighbor>,
    /// Routes to the addresses that are watched.
    pub routes: HashMap<IpAddr, Route>,
    /// All next hops of a route that has several, where the one that the kernel chose is silent.
    pub alternatives: HashMap<IpAddr, Vec<Neighbor>>,
    /// Where members were last reached. It stays until a better way is known, also across a restart.
    pub last_hops: HashMap<IpAddr, LastHop>,
    /// Largest packet on the way to a member, as a router on it said.
    pub path_mtus: HashMap<IpAddr, u32>,
    /// The interface that each VLAN, macvlan or the like sits on.
    pub sits_on: HashMap<u32, u32>,
    /// The bridge or bond that each interface is a part of.
    pub part_of: HashMap<u32, u32>,
    /// The ways back to clients, where they are followed and were listed.
    pub clients: Option<Arc<ClientWays>>,
}

impl Network {
    /// How to reach an address.
    ///
    /// # Errors
    /// See [`Unreachable`].
    pub fn next_hop(&self, address: IpAddr) -> Result<NextHop, Unreachable> {
        let route = self.routes.get(&address).ok_or(Unreachable::Unknown)?;
        let (ifindex, source, route_mtu) = match *route {
            Route::Local => return Err(Unreachable::Local { address }),
            Route::None => return Err(Unreachable::NoRoute { address }),
            Route::Via { ifindex, source, mtu, .. } => (ifindex, source, mtu),
        };
        let link = self.links.get(&ifindex).filter(|link| link.mac.is_some());
        let link = link.ok_or(Unreachable::NoEthernet { address, ifindex })?;
        let neighbor = route.neighbor(address).map_or(address, |(_, neighbor)| neighbor);
        let on_link = neighbor == address;
        let interface = || link.name.clone();
        let LastHop { ifindex, mac } = self
            .resolved(address)
            .or_else(|| self.last_hop(address))
            .ok_or_else(|| Unreachable::NoNeighbor { neighbor, interface: interface() })?;
        let way = self.links.get(&ifindex).and_then(|link| Some((link.mac?, link.mtu)));
        let (source_mac, link_mtu) = way.ok_or(Unreachable::NoEthernet { address, ifindex })?;
        let learned = self.path_mtus.get(&address).copied();
        let mtu = route_mtu.into_iter().chain(learned).fold(link_mtu, u32::min);
        let mtu = u16::try_from(mtu).unwrap_or(u16::MAX);
        Ok(NextHop { ifindex, mac, source_mac, source, mtu, on_link })
    }

    /// The next hop to an address whose Ethernet address is known: the first that answers, or else
    /// the first.
    pub fn resolved(&self, address: IpAddr) -> Option<LastHop> {
        let known = |neighbor: &Neighbor| self.neighbors.contains_key(neighbor);
        let mut all = self.hops(address).filter(known);
        let first = all.next()?;
        let answers = |neighbor: &Neighbor| !self.silent.contains(neighbor);
        let best = [first].into_iter().chain(all).find(answers).unwrap_or(first);
        Some(LastHop { ifindex: best.0, mac: self.neighbors[&best] })
    }

    /// Where the address was last reached, if that interface is still there.
    fn last_hop(&self, address: IpAddr) -> Option<LastHop> {
        let has_ethernet =
            |hop: &&LastHop| self.links.get(&hop.ifindex).is_some_and(|link| link.mac.is_some());
        self.last_hops.get(&address).filter(has_ethernet).copied()
    }

    /// The neighbours that may be the next hop to an address: the kernel's choice first.
    pub fn hops(&self, address: IpAddr) -> impl Iterator<Item = Neighbor> + '_ {
        let chosen = self.routes.get(&address).and_then(|route| route.neighbor(address));
        let others = self.alternatives.get(&address).into_iter().flatten().copied();
        let ethernet = |(ifindex, _): &Neighbor| {
            self.links.get(ifindex).is_some_and(|link| link.mac.is_some())
        };
        let others = others.filter(move |other| Some(*other) != chosen);
        chosen.into_iter().chain(others).filter(ethernet)
    }

    /// The neighbour whose Ethernet address is missing on the way to an address.
    pub fn missing_neighbor(&self, address: IpAddr) -> Option<Neighbor> {
        let first = self.hops(address).next()?;
        self.resolved(address).is_none().then_some(first)
    }

    /// Whether the kernel has said all that it will say soon of the way to an address.
    pub fn is_resolved(&self, address: IpAddr) -> bool {
        self.routes.contains_key(&address) && self.missing_neighbor(address).is_none()
    }

    /// What is wrong with a next hop that is used all the same: it does not answer.
    pub fn doubt(&self, address: IpAddr) -> Option<String> {
        self.next_hop(address).ok()?;
        let (ifindex, neighbor) = self.hops(address).next()?;
        let is_sure = match self.resolved(address) {
            None => false,
            Some(_) => self
                .hops(address)
                .any(|hop| self.neighbors.contains_key(&hop) && !self.silent.contains(&hop)),
        };
        let interface = self.links.get(&ifindex).map_or("", |link| link.name.as_str());
        (!is_sure).then(|| {
            format!(
                "{neighbor} does not answer ARP or neighbour solicitations on {interface}; packets \
                 still go to its last known Ethernet address"
            )
        })
    }
}

impl Route {
    /// The next hop to `address` by this route.
    pub fn neighbor(&self, address: IpAddr) -> Option<Neighbor> {
        match *self {
            Self::Local | Self::None => None,
            Self::Via { ifindex, gateway, .. } => Some((ifindex, gateway.unwrap_or(address))),
        }
    }
}

#[cfg(test)]
mod tests;
