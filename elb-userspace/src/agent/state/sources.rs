//! Where packets in tunnels come from, as last known.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use crate::control::network::Network;

/// The source of packets to each member that is reached through a tunnel, as last known.
#[derive(Debug, Default)]
pub(in crate::agent) struct Sources(HashMap<IpAddr, IpAddr>);

impl Sources {
    /// Takes in where packets to `members` come from now. Returns how many members it changed for, by the
    /// source before and the source now.
    pub(in crate::agent) fn note(
        &mut self,
        members: impl IntoIterator<Item = IpAddr>,
        network: &Network,
    ) -> BTreeMap<(IpAddr, IpAddr), usize> {
        let (mut changed, mut last) = (BTreeMap::new(), HashMap::new());
        for member in members {
            let before = self.0.get(&member).copied();
            // While there is no way to it, what was known counts.
            let hop = network.next_hop(member).ok();
            let Some(now) = hop.and_then(|hop| hop.source).or(before) else { continue };
            if let Some(before) = before.filter(|before| *before != now) {
                *changed.entry((before, now)).or_default() += 1;
            }
            last.insert(member, now);
        }
        self.0 = last;
        changed
    }

    /// The addresses of one family that packets come from.
    pub(in crate::agent) fn like(&self, vip: IpAddr) -> BTreeSet<IpAddr> {
        self.0.values().copied().filter(|source| source.is_ipv4() == vip.is_ipv4()).collect()
    }
}

#[cfg(test)]
mod tests {
    use elb_common::addr::Mac;

    use super::*;
    use crate::control::network::{Link, Route};

    fn address(n: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, n])
    }

    fn from(source: u8) -> Network {
        let mac = Mac::new([2, 0, 0, 0, 0, 1]);
        let mut network = Network::default();
        network.links.insert(2, Link { name: "eth0".to_owned(), mac: Some(mac), mtu: 1500 });
        for member in [11, 12].map(address) {
            let source = Some(address(source));
            let route = Route::Via { ifindex: 2, gateway: None, source, mtu: None };
            network.routes.insert(member, route);
            network.neighbors.insert((2, member), mac);
        }
        network
    }

    #[test]
    fn another_source_is_seen_once_also_after_a_time_without_a_route() {
        let mut sources = Sources::default();
        let members = [11, 12].map(address);
        assert_eq!(sources.note(members, &from(2)), BTreeMap::new());
        assert_eq!(sources.note(members, &from(2)), BTreeMap::new());
        assert_eq!(sources.note(members, &Network::default()), BTreeMap::new());
        let changed = BTreeMap::from([((address(2), address(3)), 2)]);
        assert_eq!(sources.note(members, &from(3)), changed);
        assert_eq!(sources.note(members, &from(3)), BTreeMap::new());
        assert_eq!(sources.like(address(100)), [address(3)].into());
        assert_eq!(sources.like("fd00::1".parse().unwrap()), BTreeSet::new());
    }
}
