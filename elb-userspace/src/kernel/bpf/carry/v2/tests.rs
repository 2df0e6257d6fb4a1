//! Tests of `v2`.

use std::net::SocketAddr;

use elb_common::flow::{FlowKeyV4, FlowKeyV6};

use super::*;

fn listener_of(id: u16, pool: u16) -> Listener {
    Listener { id, pool, ..Listener::zeroed() }
}

/// 192.0.2.10 (number 7) with port 80 and the ports 4096 to 8191, [2001:db8::10]:443/udp.
fn register() -> Register {
    let mut register = Register::default();
    let v4 = [192, 0, 2, 10];
    register.vips.insert(v4.to_vec(), 7);
    let exact = [&v4[..], &[0, 80, 6, 0]].concat();
    register.listeners.insert(exact, listener_of(1, 11));
    let [a, b, c, d] = 7u32.to_ne_bytes();
    let ports = u64::from_be_bytes([a, b, c, d, 6, 0, 0x10, 0]);
    register.ranges.insert((ports, 52), listener_of(2, 12));
    let v6: std::net::Ipv6Addr = "2001:db8::10".parse().unwrap();
    let exact = [&v6.octets()[..], &[1, 187, 17, 0, 0, 0, 0, 0]].concat();
    register.listeners.insert(exact, listener_of(3, 13));
    register
}

fn found(source: &str, destination: &str, protocol: u8) -> Option<(u16, u16)> {
    let [source, destination]: [SocketAddr; 2] =
        [source, destination].map(|text| text.parse().unwrap());
    let flow = Flow { backend: 5, flags: OPEN, seen: 99 };
    let record = register().flow(&Key::new(source, destination, protocol), flow)?;
    assert_eq!((record.backend, record.seen, record.since), (5, 99, 99));
    assert!(record.is_counted());
    Some((record.listener, record.pool))
}

#[test]
fn a_flow_is_of_the_listener_that_it_came_to() {
    let tcp = |port: u16| found("10.0.0.1:1000", &format!("192.0.2.10:{port}"), 6);
    assert_eq!(tcp(80), Some((1, 11)));
    assert_eq!([4096, 8191].map(tcp), [Some((2, 12)); 2]);
    assert_eq!([4095, 8192].map(tcp), [None; 2]);
    assert_eq!(found("10.0.0.1:1000", "192.0.2.10:80", 17), None);
    assert_eq!(found("[2001:db8::1]:1000", "[2001:db8::10]:443", 17), Some((3, 13)));
    let flow = Flow { backend: 5, flags: 0, seen: 99 };
    let ids = [Key::V4(FlowKeyV4::connection(8, 2)), Key::V6(FlowKeyV6::connection(8, 3))];
    let found = ids.map(|key| register().flow(&key, flow).map(|record| record.listener));
    assert_eq!(found, [Some(2), Some(3)]);
}

#[test]
fn layout() {
    assert_eq!(size_of::<Flow>(), 8);
    assert_eq!(size_of::<Listener>(), 32);
    assert_eq!(size_of::<Pool>(), 24);
}
