//! Who may open flows, how many, and at which ports: IP groups, limits, ranges. Each packet runs in
//! the kernel and on the host, which must agree, and the table says what on.

use std::net::IpAddr;

use elb_common::addr::Be16;
use elb_common::admission::{GROUP_FIXED_BITS, GroupKeyV4, GroupKeyV6};
use elb_common::listener::{
    Listener, ListenerKeyV4, RANGE_FIXED_BITS, RangeKey, listener_flags as flags, vip_flags,
};
use elb_common::path::Memory;
use elb_common::reason::Reason;

use crate::both::{Both, everywhere, in_one_second, listener, wait_for_second};
use crate::cases::Then::{self, Because, To};
use crate::frame::*;
use crate::kernel::now;
use crate::world::*;

const C4: &str = "198.51.100.7";
const C6: &str = "2001:db8:c::7";
const DENIED: Then = Because(Reason::AccessDenied);
/// The id of a group that no other test data has.
const GROUP: u16 = 7;

fn add_network(memory: &mut Memory, group: u16, address: &str, bits: u32) {
    let bits = GROUP_FIXED_BITS + bits;
    match address.parse().unwrap() {
        IpAddr::V4(a) => memory.groups_v4.push((bits, GroupKeyV4::new(group, be32(a)))),
        IpAddr::V6(a) => memory.groups_v6.push((bits, GroupKeyV6::new(group, be128(a)))),
    }
}

fn tcp4(from: &str, port: u16, flags: u8) -> Vec<u8> {
    tcp(from, 40_000, vip4(), port, flags, b"").frame()
}

fn tcp6(from: &str, port: u16, flags: u8) -> Vec<u8> {
    tcp(from, 40_000, vip6(), port, flags, b"").frame()
}

fn udp4(from: &str, client: u16, port: u16) -> Vec<u8> {
    udp(from, client, vip4(), port, b"x").frame()
}

fn udp6(from: &str, client: u16, port: u16) -> Vec<u8> {
    udp(from, client, vip6(), port, b"x").frame()
}

/// A list with networks of both versions, at a listener whose ring is settled.
fn listed(list: u16, networks: &[(&str, u32)]) -> Both {
    Both::with(|memory| {
        everywhere(memory, port::IN_V4, |listener| {
            listener.flags |= list;
            listener.group = GROUP;
        });
        for (address, bits) in networks {
            add_network(memory, GROUP, address, *bits);
        }
        // Of other groups and of listeners without one, no one asks.
        add_network(memory, GROUP + 1, "0.0.0.0", 0);
        add_network(memory, GROUP - 1, "::", 0);
    })
}

const NETWORKS: [(&str, u32); 4] =
    [("198.51.100.0", 24), ("203.0.113.9", 32), ("2001:db8:c::", 48), ("2001:db8:d::9", 128)];

#[test]
fn a_whitelist_lets_its_members_open_flows() {
    let at = port::IN_V4;
    listed(flags::WHITELIST, &NETWORKS).check(vec![
        ("in a network", tcp4(C4, at, SYN), To(id::IN_V4)),
        ("its first address", tcp4("198.51.100.0", at, SYN), To(id::IN_V4)),
        ("its last address", tcp4("198.51.100.255", at, SYN), To(id::IN_V4)),
        ("before it", tcp4("198.51.99.255", at, SYN), DENIED),
        ("after it", tcp4("198.51.101.0", at, SYN), DENIED),
        ("an address", tcp4("203.0.113.9", at, SYN), To(id::IN_V4)),
        ("its neighbour", tcp4("203.0.113.8", at, SYN), DENIED),
        ("v6 in a network", tcp6(C6, at, SYN), To(id::IN_V4)),
        ("v6 next to it", tcp6("2001:db8:b:ffff::1", at, SYN), DENIED),
        ("v6 address", tcp6("2001:db8:d::9", at, SYN), To(id::IN_V4)),
        ("v6 neighbour", tcp6("2001:db8:d::8", at, SYN), DENIED),
        ("udp in", udp4(C4, 1, at), To(id::IN_V4)),
        ("udp out", udp4("192.0.2.99", 1, at), DENIED),
        ("udp v6 in", udp6(C6, 1, at), To(id::IN_V4)),
        ("udp v6 out", udp6("2001:db8:e::1", 1, at), DENIED),
        ("another listener", tcp4("192.0.2.99", port::L2, SYN), To(id::L2)),
    ]);
}

#[test]
fn a_blacklist_keeps_its_members_from_opening_flows() {
    let at = port::IN_V4;
    listed(flags::BLACKLIST, &NETWORKS).check(vec![
        ("in a network", tcp4(C4, at, SYN), DENIED),
        ("next to it", tcp4("198.51.101.0", at, SYN), To(id::IN_V4)),
        ("an address", tcp4("203.0.113.9", at, SYN), DENIED),
        ("its neighbour", tcp4("203.0.113.8", at, SYN), To(id::IN_V4)),
        ("v6 in a network", tcp6(C6, at, SYN), DENIED),
        ("v6 next to it", tcp6("2001:db8:b:ffff::1", at, SYN), To(id::IN_V4)),
        ("v6 address", tcp6("2001:db8:d::9", at, SYN), DENIED),
        ("udp in", udp4(C4, 1, at), DENIED),
        ("udp out", udp4("192.0.2.99", 1, at), To(id::IN_V4)),
        ("udp v6 in", udp6(C6, 1, at), DENIED),
    ]);
}

#[test]
fn an_empty_whitelist_lets_no_client_in_and_an_empty_blacklist_all() {
    for (list, then) in [(flags::WHITELIST, DENIED), (flags::BLACKLIST, To(id::IN_V4))] {
        listed(list, &[]).check(vec![
            ("tcp", tcp4(C4, port::IN_V4, SYN), then),
            ("tcp v6", tcp6(C6, port::IN_V4, SYN), then),
            ("udp", udp4(C4, 1, port::IN_V4), then),
            ("udp v6", udp6(C6, 1, port::IN_V4), then),
        ]);
    }
}

#[test]
fn a_network_of_all_addresses_is_of_one_version() {
    listed(flags::WHITELIST, &[("0.0.0.0", 0)]).check(vec![
        ("v4", tcp4("203.0.113.200", port::IN_V4, SYN), To(id::IN_V4)),
        ("v6", tcp6(C6, port::IN_V4, SYN), DENIED),
    ]);
}

/// Whether or not a client is refused, connections that exist go on, and what answers a probe is no connection.
#[test]
fn segments_of_connections_are_not_judged() {
    listed(flags::WHITELIST, &[]).check(vec![
        ("data", tcp4(C4, port::IN_V4, ACK), To(id::IN_V4)),
        ("the end", tcp4(C4, port::IN_V4, ACK | FIN), To(id::IN_V4)),
        ("reset", tcp4(C4, port::IN_V4, RST), To(id::IN_V4)),
        ("syn and ack", tcp4(C4, port::IN_V4, SYN | ACK), To(id::IN_V4)),
        ("v6 data", tcp6(C6, port::IN_V4, ACK), To(id::IN_V4)),
        ("echo requests", echo(C4, vip4(), b"ping").frame(), Because(Reason::EchoAnswered)),
        ("the first segment", tcp4(C4, port::IN_V4, SYN), DENIED),
    ]);
}

/// On moving slots flows are recorded: those go on that began before a client was refused.
#[test]
fn a_recorded_flow_of_datagrams_goes_on() {
    let at = port::MOVING_RELEASED;
    let mut both = Both::with(|memory| {
        everywhere(memory, at, |listener| {
            listener.flags |= flags::BLACKLIST;
            listener.group = GROUP;
        });
    });
    both.check(vec![
        ("first", udp4(C4, 1, at), To(id::IN_V4)),
        ("v6 first", udp6(C6, 1, at), To(id::IN_V4)),
        ("a connection", tcp4(C4, at, SYN), To(id::IN_V4)),
    ]);
    both.add(|memory| {
        add_network(memory, GROUP, C4, 32);
        add_network(memory, GROUP, C6, 128);
    });
    both.check(vec![
        ("recorded", udp4(C4, 1, at), To(id::IN_V4)),
        ("another", udp4(C4, 2, at), DENIED),
        ("v6 recorded", udp6(C6, 1, at), To(id::IN_V4)),
        ("v6 another", udp6(C6, 2, at), DENIED),
        ("the connection", tcp4(C4, at, ACK), To(id::IN_V4)),
        ("its port, opened anew", tcp4(C4, at, SYN), DENIED),
        ("who is not listed", udp4("192.0.2.99", 1, at), To(id::IN_V4)),
    ]);
}

fn syns(clients: std::ops::Range<u16>, port: u16) -> Vec<Vec<u8>> {
    clients.map(|client| tcp(C4, client, vip4(), port, SYN, b"").frame()).collect()
}

#[test]
fn the_101st_connection_of_a_second_is_dropped() {
    let at = port::IN_V4;
    let limited = || {
        Both::with(|memory| {
            let listener = listener(memory, vip4(), at, TCP);
            (listener.flags, listener.cps) = (flags::LIMITED, 100);
        })
    };
    let others = [tcp4(C4, at, ACK), tcp6(C6, at, SYN), udp4(C4, 1, at)];
    let frames = [syns(1000..1102, at), others.to_vec()].concat();
    let (mut both, thens) = in_one_second(limited, &frames);
    assert_eq!(thens[..100], [To(id::IN_V4); 100]);
    assert_eq!(thens[100..102], [Because(Reason::RateLimited); 2]);
    assert_eq!(thens[102..], [To(id::IN_V4); 3], "segments and other listeners");
    wait_for_second();
    assert_eq!(both.run("the next second", &tcp4(C4, at, SYN)), To(id::IN_V4));
}

/// As many as the flavor Small I has (V3 acceptance 88): all of them at one second on the host, whose clock stands
/// still; the last ones in the kernel. Connections that exist pay nothing.
#[test]
fn the_10_001st_connection_of_a_second_is_dropped_and_others_go_on() {
    const CPS: u32 = 10_000;
    let at = port::IN_V4;
    let limited = || {
        Both::with(|memory| {
            let listener = listener(memory, vip4(), at, TCP);
            (listener.flags, listener.cps) = (flags::LIMITED, CPS);
        })
    };
    let host = limited();
    let thens: Vec<_> = syns(1000..11_002, at).iter().map(|frame| host.on_host(frame)).collect();
    assert_eq!(thens.iter().filter(|then| **then == To(id::IN_V4)).count(), CPS as usize);
    assert_eq!(thens[CPS as usize..], [Because(Reason::RateLimited); 2]);
    assert_eq!(host.on_host(&tcp4(C4, at, ACK)), To(id::IN_V4));

    let in_kernel = |_| {
        let mut both = limited();
        let number = listener(&mut both.memory, vip4(), at, TCP).id;
        let second = wait_for_second();
        both.opened(number, CPS - 1, second);
        let frames = [syns(1000..1003, at), vec![tcp4(C4, at, ACK)]].concat();
        let thens = both.all(frames);
        (now() == second).then_some(thens)
    };
    let limit = Because(Reason::RateLimited);
    let thens = (0..10).find_map(in_kernel).expect("a second in ten is enough for four packets");
    assert_eq!(thens, [To(id::IN_V4), limit, limit, To(id::IN_V4)]);
}

/// Listeners for 1000 to 1010, for 1008 and for the rest of the ports of an address.
fn ranged() -> Both {
    Both::with(|memory| {
        let entry = |vip: IpAddr, protocol: u8, port: u16, bits: u32, to: Listener| {
            let number = match vip {
                IpAddr::V4(_) => 100,
                IpAddr::V6(_) => 101,
            };
            let key = RangeKey::new(number, Be16::new(port), protocol);
            (RANGE_FIXED_BITS + bits, key, to)
        };
        for (vip, protocol) in [(vip4(), TCP), (vip6(), TCP), (vip4(), UDP)] {
            let to = *listener(memory, vip, port::IN_V4, protocol);
            for (port, bits) in [(1000, 13), (1008, 15), (1010, 16)] {
                memory.ranges.push(entry(vip, protocol, port, bits, to));
            }
            let off = Listener { flags: flags::DISABLED, ..to };
            memory.ranges.push(entry(vip, protocol, 2000, 12, off));
        }
        let any = *listener(memory, vip6(), port::L2, TCP);
        memory.ranges.push(entry(vip6(), TCP, 0, 0, any));
        let IpAddr::V4(a) = vip4() else { panic!("an IPv4 address") };
        let exact = *listener(memory, vip4(), port::L2, TCP);
        memory.listeners_v4.insert(ListenerKeyV4::new(be32(a), Be16::new(1008), TCP), exact);
        let v4 = memory.vips_v4.get_mut(&be32(a)).unwrap();
        (v4.number, v4.flags) = (100, v4.flags | vip_flags::RANGES_TCP | vip_flags::RANGES_UDP);
        let IpAddr::V6(a) = vip6() else { panic!("an IPv6 address") };
        let v6 = memory.vips_v6.get_mut(&be128(a)).unwrap();
        (v6.number, v6.flags) = (101, v6.flags | vip_flags::RANGES_TCP);
    })
}

#[test]
fn a_range_has_its_first_and_its_last_port() {
    let closed = Because(Reason::ClosedPortAnswered);
    ranged().check(vec![
        ("before", tcp4(C4, 999, SYN), closed),
        ("first", tcp4(C4, 1000, SYN), To(id::IN_V4)),
        ("within", tcp4(C4, 1007, SYN), To(id::IN_V4)),
        ("data", tcp4(C4, 1007, ACK), To(id::IN_V4)),
        ("a port with a listener of its own", tcp4(C4, 1008, SYN), To(id::L2)),
        ("after that", tcp4(C4, 1009, SYN), To(id::IN_V4)),
        ("last", tcp4(C4, 1010, SYN), To(id::IN_V4)),
        ("after", tcp4(C4, 1011, SYN), closed),
        ("udp first", udp4(C4, 1, 1000), To(id::IN_V4)),
        ("udp last", udp4(C4, 1, 1010), To(id::IN_V4)),
        ("udp after", udp4(C4, 1, 1011), closed),
        ("no ranges of udp", udp6(C6, 1, 1000), closed),
        ("another address", tcp(C4, 1, any4(), 1000, SYN, b"").frame(), To(id::IN_V4)),
    ]);
}

#[test]
fn any_port_takes_what_ranges_leave() {
    ranged().check(vec![
        ("before", tcp6(C6, 999, SYN), To(id::L2)),
        ("first", tcp6(C6, 1000, SYN), To(id::IN_V4)),
        ("last", tcp6(C6, 1010, SYN), To(id::IN_V4)),
        ("after", tcp6(C6, 1011, SYN), To(id::L2)),
        ("the first of all", tcp6(C6, 0, SYN), To(id::L2)),
        ("the last of all", tcp6(C6, 65_535, SYN), To(id::L2)),
        ("a port with a listener of its own", tcp6(C6, port::IN_V6, SYN), To(id::IN_V6)),
    ]);
}

/// Its packets do not fall through to a wider range.
#[test]
fn a_disabled_listener_drops_the_packets_of_its_ports() {
    let off = Because(Reason::Disabled);
    ranged().check(vec![
        ("one port", tcp4(C4, port::DISABLED, SYN), off),
        ("a connection", tcp4(C4, port::DISABLED, ACK), off),
        ("a range", tcp4(C4, 2015, SYN), off),
        ("a range within any port", tcp6(C6, 2000, SYN), off),
        ("udp", udp4(C4, 1, 2000), off),
    ]);
}
