//! How a member is reached: route, interface, and the next hop's Ethernet address.
//!
//! What the kernel told is kept in a [`Network`]; it decides without I/O. [`netlink`] fills it.

mod above;
pub mod netlink;

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use elb_common::addr::Mac;
use serde::Serialize;
use thiserror::Error;

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
    /// Largest IP packet on the way, as far as this host knows.
    pub mtu: u16,
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
pub struct Wanted {
    /// Of members: route and neighbour.
    pub members: BTreeSet<IpAddr>,
    /// Virtual ones: the route only, to know where answers from them may come in.
    pub vips: BTreeSet<IpAddr>,
}

/// What the kernel told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// Interfaces by index.
    pub links: HashMap<u32, Link>,
    /// Ethernet addresses of neighbours, by interface and address: the last one known, even where
    /// the neighbour stopped answering, since health checks judge that better.
    pub neighbors: HashMap<(u32, IpAddr), Mac>,
    /// Routes to the addresses that are watched.
    pub routes: HashMap<IpAddr, Route>,
    /// The interface that each VLAN, macvlan or the like sits on.
    pub sits_on: HashMap<u32, u32>,
    /// The bridge or bond that each interface is a part of.
    pub part_of: HashMap<u32, u32>,
}

impl Network {
    /// How to reach an address.
    ///
    /// # Errors
    /// See [`Unreachable`].
    pub fn next_hop(&self, address: IpAddr) -> Result<NextHop, Unreachable> {
        let route = self.routes.get(&address).ok_or(Unreachable::Unknown)?;
        let (ifindex, gateway, source, route_mtu) = match *route {
            Route::Local => return Err(Unreachable::Local { address }),
            Route::None => return Err(Unreachable::NoRoute { address }),
            Route::Via { ifindex, gateway, source, mtu } => (ifindex, gateway, source, mtu),
        };
        let link = self.links.get(&ifindex);
        let ethernet = link.and_then(|link| Some((link, link.mac?)));
        let (link, source_mac) = ethernet.ok_or(Unreachable::NoEthernet { address, ifindex })?;
        let neighbor = gateway.unwrap_or(address);
        let mac = self.neighbors.get(&(ifindex, neighbor)).copied();
        let interface = || link.name.clone();
        let mac =
            mac.ok_or_else(|| Unreachable::NoNeighbor { neighbor, interface: interface() })?;
        let mtu = route_mtu.map_or(link.mtu, |mtu| mtu.min(link.mtu));
        let mtu = u16::try_from(mtu).unwrap_or(u16::MAX);
        Ok(NextHop { ifindex, mac, source_mac, source, mtu })
    }

    /// Whether a neighbour is the next hop to one of the addresses.
    pub fn uses(&self, neighbor: (u32, IpAddr)) -> bool {
        self.routes.iter().any(|(address, route)| match route {
            Route::Via { ifindex, gateway, .. } => {
                neighbor == (*ifindex, gateway.unwrap_or(*address))
            }
            Route::Local | Route::None => false,
        })
    }

    /// The neighbour whose Ethernet address is missing on the way to an address.
    pub fn missing_neighbor(&self, address: IpAddr) -> Option<(u32, IpAddr)> {
        match self.routes.get(&address)? {
            Route::Local | Route::None => None,
            Route::Via { ifindex, gateway, .. } => {
                let key = (*ifindex, gateway.unwrap_or(address));
                let ethernet = self.links.get(ifindex)?.mac.is_some();
                (ethernet && !self.neighbors.contains_key(&key)).then_some(key)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network() -> Network {
        let mac = |n| Mac::new([2, 0, 0, 0, 0, n]);
        let mut network = Network::default();
        let link = |name: &str, mac, mtu| Link { name: name.into(), mac, mtu };
        network.links.insert(2, link("eth0", Some(mac(2)), 1500));
        network.links.insert(3, link("tun0", None, 1400));
        network.neighbors.insert((2, address(254)), mac(254));
        let via =
            |ifindex, gateway, mtu| Route::Via { ifindex, gateway, source: Some(address(1)), mtu };
        network.routes.insert(address(11), via(2, Some(address(254)), None));
        network.routes.insert(address(12), via(2, Some(address(254)), Some(1400)));
        network.routes.insert(address(13), via(2, None, None));
        network.routes.insert(address(14), via(3, None, None));
        network.routes.insert(address(15), Route::None);
        network.routes.insert(address(1), Route::Local);
        network
    }

    fn address(n: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, n])
    }

    #[test]
    fn each_way_that_a_member_is_reached_or_not() {
        let network = network();
        let hop = network.next_hop(address(11)).unwrap();
        assert_eq!((hop.ifindex, hop.mtu, hop.source), (2, 1500, Some(address(1))));
        assert_eq!(hop.mac.bytes()[5], 254);
        assert_eq!(network.next_hop(address(12)).unwrap().mtu, 1400);
        let why = |n| network.next_hop(address(n)).unwrap_err();
        let neighbor = address(13);
        assert_eq!(why(13), Unreachable::NoNeighbor { neighbor, interface: "eth0".into() });
        assert_eq!(why(14), Unreachable::NoEthernet { address: address(14), ifindex: 3 });
        assert_eq!(why(15), Unreachable::NoRoute { address: address(15) });
        assert_eq!(why(1), Unreachable::Local { address: address(1) });
        assert_eq!(why(99), Unreachable::Unknown);
    }

    #[test]
    fn only_a_missing_neighbour_is_asked_for() {
        let network = network();
        assert_eq!(network.missing_neighbor(address(13)), Some((2, address(13))));
        assert!(network.uses((2, address(254))) && !network.uses((2, address(253))));
        for n in [1, 11, 12, 14, 15, 99] {
            assert_eq!(network.missing_neighbor(address(n)), None);
        }
    }
}
