//! Tests of `vip_probes`.

use elb_common::addr::Mac;

use super::*;
use crate::control::network::Link;

fn address(n: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, n])
}

/// Member 11 by interface 2; the virtual address 100 by `route`.
fn network(route: Option<Route>) -> Network {
    let mut network = Network::default();
    let mac = Mac::new([2, 0, 0, 0, 0, 1]);
    network.links.insert(2, Link { name: "eth0".into(), mac: Some(mac), mtu: 1500 });
    network.neighbors.insert((2, address(11)), mac);
    network.routes.insert(address(11), by(2));
    network.routes.extend(route.map(|route| (address(100), route)));
    network
}

fn by(ifindex: u32) -> Route {
    Route::Via { ifindex, gateway: None, source: Some(address(1)), mtu: None }
}

#[test]
fn answers_must_get_in() {
    let chosen = |route, filter: [u8; 2]| {
        let of = |interface: &str| if interface == "all" { filter[0] } else { filter[1] };
        source(&network(route), address(11), address(100), of)
    };
    let refused = |needed| {
        let (vip, interface) = (address(100), "eth0".to_owned());
        Err(NoVipPath::ReversePath { vip, interface, needed })
    };
    for filter in [[0, 0], [1, 0], [0, 2]] {
        assert_eq!(chosen(Some(by(2)), filter), Ok(address(1)));
        let local = Err(NoVipPath::Local { vip: address(100) });
        assert_eq!(chosen(Some(Route::Local), filter), local);
    }
    for route in [Some(by(3)), Some(Route::None), None] {
        assert_eq!(chosen(route, [0, 0]), Ok(address(1)));
    }
    assert_eq!(chosen(Some(by(3)), [2, 1]), Ok(address(1)));
    assert_eq!(chosen(Some(by(3)), [0, 1]), refused("2"));
    assert_eq!(chosen(Some(Route::None), [0, 2]), refused("0"));
    assert_eq!(chosen(Some(Route::None), [1, 0]), refused("0"));
}

#[test]
fn no_way_to_the_member_is_no_way_to_probe() {
    let none = source(&Network::default(), address(11), address(100), |_| 0);
    assert_eq!(none, Err(NoVipPath::Unreachable));
}
