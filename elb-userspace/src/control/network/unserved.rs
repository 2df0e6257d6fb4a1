//! Members whose packets would leave by an interface that the agent does not serve: the program can send
//! packets by those interfaces only that carry it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::{Network, Unreachable};

/// An interface without the program that is the way to members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnservedWay {
    /// Its name.
    pub interface: String,
    /// The members behind it.
    pub members: BTreeSet<IpAddr>,
    /// Interfaces with the program that are ports of it, if it is a bridge or a bond.
    pub ports: BTreeSet<String>,
    /// Whether it has ports, with the program or without.
    pub has_ports: bool,
}

impl Network {
    /// The interfaces that members are reached by and that are not served.
    pub fn unserved_ways(
        &self,
        members: impl IntoIterator<Item = IpAddr>,
        is_served: impl Fn(u32, &str) -> bool,
    ) -> Vec<UnservedWay> {
        let mut by_index: BTreeMap<u32, BTreeSet<IpAddr>> = BTreeMap::new();
        for member in members {
            if let Some(index) = self.leaves_by(member) {
                by_index.entry(index).or_default().insert(member);
            }
        }
        let served = |index: u32| {
            let link = self.links.get(&index)?;
            is_served(index, &link.name).then(|| link.name.clone())
        };
        let way = |(index, members)| {
            let interface = self.links.get(&index)?.name.clone();
            let ports = self.part_of.iter().filter(|(_, whole)| **whole == index);
            let has_ports = ports.clone().next().is_some();
            let ports = ports.filter_map(|(port, _)| served(*port)).collect();
            served(index).is_none().then_some(UnservedWay { interface, members, ports, has_ports })
        };
        by_index.into_iter().filter_map(way).collect()
    }

    /// The interface that packets to an address leave by, also while its next hop does not answer.
    fn leaves_by(&self, address: IpAddr) -> Option<u32> {
        match self.next_hop(address) {
            Ok(hop) => Some(hop.ifindex),
            Err(Unreachable::NoNeighbor { .. }) => self.hops(address).next().map(|hop| hop.0),
            Err(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use elb_common::addr::Mac;

    use super::super::{Link, Route};
    use super::*;

    fn address(n: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, n])
    }

    /// 10.0.0.11 by eth0 (2), .12 by eth1 (3), .13 by eth1 and silent, .14 without a route.
    fn network() -> Network {
        let mut network = Network::default();
        for (index, name) in [(2, "eth0"), (3, "eth1"), (4, "br1")] {
            let mac = Some(Mac::new([2, 0, 0, 0, 0, index]));
            let link = Link { name: name.to_owned(), mac, mtu: 1500 };
            network.links.insert(index.into(), link);
        }
        let via = |ifindex| Route::Via { ifindex, gateway: None, source: None, mtu: None };
        network.routes = [(11, via(2)), (12, via(3)), (13, via(3)), (14, Route::None)]
            .map(|(n, route)| (address(n), route))
            .into();
        for (index, n) in [(2, 11), (3, 12)] {
            network.neighbors.insert((index, address(n)), Mac::new([2, 0, 0, 0, 1, n]));
        }
        network
    }

    fn ways(network: &Network) -> Vec<UnservedWay> {
        network.unserved_ways([11, 12, 13, 14].map(address), |_, name| name == "eth0")
    }

    #[test]
    fn members_behind_another_interface_are_found_whether_they_answer_or_not() {
        let members = [12, 13].map(address).into();
        let way = UnservedWay {
            interface: "eth1".to_owned(),
            members,
            ports: BTreeSet::new(),
            has_ports: false,
        };
        assert_eq!(ways(&network()), [way]);
        let all = network().unserved_ways([11, 12].map(address), |index, _| index < 4);
        assert_eq!(all, []);
    }

    #[test]
    fn a_bridge_that_the_interface_was_moved_into_is_known_with_its_port() {
        let mut network = network();
        let by_bridge = Route::Via { ifindex: 4, gateway: None, source: None, mtu: None };
        for n in [11, 12, 13] {
            network.routes.insert(address(n), by_bridge);
        }
        network.stack(2, None, Some(4));
        let found = ways(&network);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].interface.as_str(), found[0].members.len()), ("br1", 3));
        assert_eq!(found[0].ports, ["eth0".to_owned()].into());
        network.stack(2, None, None);
        network.stack(3, None, Some(4));
        let found = ways(&network);
        assert!(found[0].ports.is_empty() && found[0].has_ports, "eth1 is not served: {found:?}");
    }
}
