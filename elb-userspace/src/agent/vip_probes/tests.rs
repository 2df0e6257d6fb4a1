//! Tests of `vip_probes`.

use std::time::Duration;

use elb_common::addr::{Be16, Be32, Mac};
use elb_common::backend::{Backend, Translation};
use elb_common::listener::{Listener, ListenerEndpoint};
use elb_common::reply::Reply;

use super::*;
use crate::control::network::Link;
use crate::model::monitor::HealthCheck;

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
        source(&network(route), address(11), (address(100), AnswersFrom::Vip), of)
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
    let none = source(&Network::default(), address(11), (address(100), AnswersFrom::Vip), |_| 0);
    assert_eq!(none, Err(NoVipPath::Unreachable));
}

/// Member 11 at port 8080 is backend 7, with `nat`, and its answers are those of 100, port 80.
fn translating(port: u16) -> Image {
    let mut image = Image::default();
    let mut backend = Backend { mode: mode::NAT, ..Backend::default() };
    let translation = Translation { port: Be16::new(port), ..Translation::default() };
    backend.outer_source = translation.to_words();
    image.backends.insert(7, backend);
    let member = ListenerKey { address: address(11), port: 8080, protocol: Flow::TCP };
    let vip = Be128::from_raw([u32::from_ne_bytes([10, 0, 0, 100]), 0, 0, 0]);
    image.replies.insert(member, Reply { vip, port: Be16::new(80), ..Reply::default() });
    image
}

fn asking(port: u16, check: HealthCheck) -> ProbeSpec {
    ProbeSpec {
        target: SocketAddr::new(address(11), port),
        source: None,
        timeout: Duration::from_secs(1),
        check,
        vips: Vec::new(),
        routing: None,
        default_host: address(100),
        names: None,
    }
}

#[test]
fn where_answers_are_translated_probes_ask_at_the_listeners_port() {
    let at = |vip, port| SocketAddr::new(address(vip), port);
    let asked = |image: &Image, spec: &ProbeSpec, vip| {
        translated(image, (7, None), spec, at(vip, spec.target.port()))
    };
    let spec = asking(8080, HealthCheck::Tcp);
    assert_eq!(asked(&translating(8080), &spec, 100), Ok(at(100, 80)));
    // A listener for every port leaves it as it is.
    assert_eq!(asked(&translating(0), &spec, 100), Ok(at(100, 80)));
    // Another virtual address of the same members, another port, and what is no connection.
    let untranslated = Err(NoVipPath::Untranslated);
    assert_eq!(asked(&translating(8080), &spec, 101), untranslated);
    assert_eq!(asked(&translating(8081), &spec, 100), untranslated);
    assert_eq!(asked(&translating(8080), &asking(8081, HealthCheck::Tcp), 100), untranslated);
    assert_eq!(
        asked(&translating(8080), &asking(8080, HealthCheck::UdpConnect), 100),
        untranslated
    );
    // Without translation it is the member's port.
    let mut image = translating(8080);
    image.backends.insert(7, Backend { mode: mode::L2, ..Backend::default() });
    assert_eq!(asked(&image, &spec, 101), Ok(at(101, 8080)));
}

/// Member 2001:db8::11 by interface 2; the virtual address 100 by `route`.
#[test]
fn answers_that_are_translated_to_ipv4_must_get_in() {
    let member: IpAddr = "2001:db8::11".parse().unwrap();
    let chosen = |route, back, strict: u8| {
        let mut network = network(route);
        network.neighbors.insert((2, member), Mac::new([2, 0, 0, 0, 0, 1]));
        network.routes.insert(member, by(2));
        source(&network, member, (address(100), back), |_| strict)
    };
    for strict in [0, 1, 2] {
        assert_eq!(chosen(Some(by(2)), AnswersFrom::Vip, strict), Ok(address(1)));
        // By a tunnel the member answers in its own packets.
        assert_eq!(chosen(Some(by(3)), AnswersFrom::Member, strict), Ok(address(1)));
    }
    assert_eq!(chosen(Some(by(3)), AnswersFrom::Vip, 2), Ok(address(1)));
    let (vip, interface) = (address(100), "eth0".to_owned());
    let refused = Err(NoVipPath::ReversePath { vip, interface, needed: "2" });
    assert_eq!(chosen(Some(by(3)), AnswersFrom::Vip, 1), refused);
    assert_eq!(chosen(None, AnswersFrom::Vip, 0), Err(NoVipPath::NoSource { vip }));
}

/// The member's endpoint may stand for a virtual IPv6 address: what it answers says which listener it is for.
#[test]
fn where_answers_name_their_listener_probes_ask_at_its_port() {
    let member: IpAddr = "2001:db8::11".parse().unwrap();
    let image = |port: u16| {
        let mut image = translating(port);
        image.backends.get_mut(&7).unwrap().mode = mode::NAT46;
        let key = ListenerKey { address: member, port: 8080, protocol: Flow::TCP };
        image.replies = [(key, Reply { port: Be16::new(443), ..Reply::default() })].into();
        for (n, port, pool) in [(1, 80, 4), (2, 81, 5), (3, 8080, 5)] {
            let key = ListenerKey { address: address(100), port, protocol: Flow::TCP };
            image.listeners.insert(key, Listener { id: n, pool, ..Listener::default() });
            let endpoint = ListenerEndpoint::v4(Be32::from_raw(1), Be16::new(port), Some([1, 2]));
            image.endpoints.insert(n, endpoint);
        }
        image
    };
    let mut spec = asking(8080, HealthCheck::Tcp);
    spec.target.set_ip(member);
    let asked = |image: &Image, pool, vip| {
        translated(image, (7, pool), &spec, SocketAddr::new(address(vip), 8080))
    };
    let at = |port| Ok(SocketAddr::new(address(100), port));
    let untranslated = Err(NoVipPath::Untranslated);
    assert_eq!(asked(&image(8080), Some(4), 100), at(80));
    assert_eq!(asked(&image(8080), Some(5), 100), at(81));
    // With the port of its own, the member is asked there.
    assert_eq!(asked(&image(0), Some(5), 100), at(8080));
    for (pool, vip) in [(Some(6), 100), (None, 100), (Some(4), 101)] {
        assert_eq!(asked(&image(8080), pool, vip), untranslated);
    }
    let mut gone = image(8080);
    gone.endpoints.clear();
    assert_eq!(asked(&gone, Some(4), 100), untranslated, "members see no client there");
    let mut gone = image(8080);
    gone.replies.values_mut().for_each(|reply| reply.flags |= reply_flags::ENDED);
    assert_eq!(asked(&gone, Some(4), 100), untranslated);
}
