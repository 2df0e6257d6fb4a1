//! Tests of `network`.

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
    for n in [1, 11, 12, 14, 15, 99] {
        assert_eq!(network.missing_neighbor(address(n)), None);
    }
}

#[test]
fn the_last_next_hop_stays_until_a_better_one_is_known() {
    let mut network = network();
    let (old, new) = (Mac::new([2, 0, 0, 0, 0, 7]), Mac::new([2, 0, 0, 0, 0, 8]));
    network.last_hops.insert(address(13), LastHop { ifindex: 2, mac: old });
    assert_eq!(network.next_hop(address(13)).unwrap().mac, old);
    assert!(network.missing_neighbor(address(13)).is_some(), "it is still asked for");
    assert!(network.doubt(address(13)).unwrap().contains("10.0.0.13 does not answer"));
    network.neighbors.insert((2, address(13)), new);
    assert_eq!(network.next_hop(address(13)).unwrap().mac, new);
    assert_eq!(network.doubt(address(13)), None);
    network.silent.insert((2, address(13)));
    assert_eq!(network.next_hop(address(13)).unwrap().mac, new);
    assert!(network.doubt(address(13)).is_some());
    network.routes.insert(address(13), Route::None);
    let gone = Unreachable::NoRoute { address: address(13) };
    assert_eq!(network.next_hop(address(13)), Err(gone), "no route is no doubt");
}

#[test]
fn of_several_gateways_one_that_answers_is_taken() {
    let mut network = network();
    let second = (2, address(253));
    network.alternatives.insert(address(11), vec![(2, address(254)), second]);
    network.neighbors.insert(second, Mac::new([2, 0, 0, 0, 0, 253]));
    let taken = |network: &Network| network.next_hop(address(11)).unwrap().mac.bytes()[5];
    assert_eq!(taken(&network), 254, "the kernel's choice");
    network.silent.insert((2, address(254)));
    assert_eq!(taken(&network), 253);
    assert_eq!(network.doubt(address(11)), None);
    network.silent.insert(second);
    assert_eq!(taken(&network), 254, "none answers");
    assert!(network.doubt(address(11)).is_some());
}

#[test]
fn the_narrowest_link_decides() {
    let mut network = network();
    network.path_mtus.insert(address(11), 1380);
    network.path_mtus.insert(address(12), 1450);
    assert_eq!(network.next_hop(address(11)).unwrap().mtu, 1380);
    assert_eq!(network.next_hop(address(12)).unwrap().mtu, 1400, "its route's");
}
