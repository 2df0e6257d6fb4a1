//! Which Ethernet addresses an interface takes frames for: its own, and those of the interfaces on top of it;
//! and which virtual addresses are this host's own.

use std::collections::BTreeSet;
use std::net::IpAddr;

use elb_common::addr::Mac;

use super::{Network, Route};

impl Network {
    /// Notes what an interface sits on, and what it is a part of.
    pub fn stack(&mut self, index: u32, sits_on: Option<u32>, part_of: Option<u32>) {
        for (map, found) in [(&mut self.sits_on, sits_on), (&mut self.part_of, part_of)] {
            map.remove(&index);
            map.extend(found.map(|other| (index, other)));
        }
    }

    /// Ethernet addresses of the interfaces on top of one, other than its own.
    pub fn macs_above(&self, index: u32) -> BTreeSet<Mac> {
        let (mut found, mut todo) = (BTreeSet::from([index]), vec![index]);
        while let Some(lower) = todo.pop() {
            let on_it = self.sits_on.iter().filter(|(_, on)| **on == lower).map(|(upper, _)| upper);
            let above = on_it.chain(self.part_of.get(&lower));
            todo.extend(above.copied().filter(|upper| found.insert(*upper)));
        }
        let own = self.links.get(&index).and_then(|link| link.mac);
        let macs = found.iter().filter_map(|index| self.links.get(index)?.mac);
        macs.filter(|mac| Some(*mac) != own).collect()
    }

    /// Whether an address is this host's. What is not known yet may be: packets that no listener wants are
    /// then left to the kernel.
    pub fn may_be_own(&self, address: IpAddr) -> bool {
        matches!(self.routes.get(&address), None | Some(Route::Local))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Link;
    use super::*;

    fn network(macs: &[(u32, u8)]) -> Network {
        let link = |n| Link { name: format!("if{n}"), mac: Some(mac(n)), mtu: 1500 };
        let links = macs.iter().map(|(index, n)| (*index, link(*n))).collect();
        Network { links, ..Network::default() }
    }

    fn mac(n: u8) -> Mac {
        Mac::new([2, 0, 0, 0, 0, n])
    }

    #[test]
    fn what_is_on_top_counts_whatever_is_between() {
        // 2 is a port of bridge 5, on which VLAN 6 is; macvlan 7 is on 2 itself; 9 is on 3.
        let mut network = network(&[(2, 2), (3, 3), (5, 5), (6, 6), (7, 7), (9, 9)]);
        network.stack(5, None, None);
        network.stack(2, None, Some(5));
        network.stack(6, Some(5), None);
        network.stack(7, Some(2), None);
        network.stack(9, Some(3), None);
        assert_eq!(network.macs_above(2), [5, 6, 7].map(mac).into());
        assert_eq!(network.macs_above(3), [mac(9)].into());
        assert_eq!(network.macs_above(7), BTreeSet::new());
        // A message about the bridge, or about what stays, takes nothing away.
        network.stack(5, None, None);
        network.stack(7, Some(2), None);
        assert_eq!(network.macs_above(2), [5, 6, 7].map(mac).into());
        // It leaves the bridge.
        network.stack(2, None, None);
        assert_eq!(network.macs_above(2), [mac(7)].into());
    }

    #[test]
    fn an_equal_address_is_its_own() {
        let mut network = network(&[(2, 2), (8, 2)]);
        network.stack(8, Some(2), None);
        assert_eq!(network.macs_above(2), BTreeSet::new());
    }

    #[test]
    fn an_address_is_own_until_it_is_known_not_to_be() {
        let mut network = Network::default();
        let address = IpAddr::from([10, 0, 0, 1]);
        assert!(network.may_be_own(address));
        network.routes.insert(address, Route::None);
        assert!(!network.may_be_own(address));
        network.routes.insert(address, Route::Local);
        assert!(network.may_be_own(address));
    }
}
