use std::collections::BTreeMap;

use std::net::SocketAddr;

use elb_common::backend::Backend;
use elb_common::flow::{FlowKeyV4, FlowKeyV6, flow_flags};
use elb_common::listener::{Listener, Vip};
use elb_common::pool::Pool;
use proptest::prelude::*;

use super::*;
use crate::assign::{AssignedMember, AssignedPool, AssignedRing};
use crate::ring::shape::Shape;

const NOW: u32 = 10_000;
const VIP: [u8; 4] = [192, 0, 2, 10];
const VIP6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10];

/// Listener 3 on port 80 and on ports 1000 to 1001 counts its connections, 4 on any other one does
/// not. Backend 7 serves, 8 is cut; flows live for 60 seconds.
fn register() -> Register {
    let ring = AssignedRing { base: 0, shape: Shape::default() };
    let mut pool = AssignedPool::new(0, ring, 0);
    let member = |id| AssignedMember::new(id, ([10, 0, 0, 1], 80).into());
    pool.members = vec![member(7), member(8)];
    let mut assignments = Assignments::default();
    assignments.adopt("pool", pool);
    let backend = |flags| Backend { flags, ..Backend::default() };
    let tracked = Listener { id: 3, flags: listener_flags::TRACKED, ..Listener::default() };
    let untracked = Listener { id: 4, ..Listener::default() };
    let mut image = Image {
        pools: BTreeMap::from([(0, Pool { idle_timeout: 60, ..Pool::default() })]),
        backends: BTreeMap::from([(7, backend(backend_flags::ESTABLISHED)), (8, backend(0))]),
        ..Image::default()
    };
    for (vip, address) in [(1, IpAddr::from(VIP)), (2, IpAddr::from(VIP6))] {
        image.vips.insert(address, Vip { flags: 0, number: vip });
        image.listeners.insert(ListenerKey { address, port: 80, protocol: 6 }, tracked);
        let ranges = [(PortPrefix { port: 1000, bits: 15 }, tracked), (PortPrefix::ANY, untracked)];
        for (ports, listener) in ranges {
            image.ranges.insert(RangeEntry { vip, protocol: 6, ports }, listener);
        }
    }
    Register::new(&assignments, &image, NOW)
}

fn key(destination: SocketAddr) -> Key {
    let source = SocketAddr::new(destination.ip(), 40_000);
    Key::new(source, destination, 6)
}

fn open(backend: u16) -> Flow {
    Flow { backend, flags: flow_flags::OPEN, seen: NOW }
}

#[test]
fn records_live_as_long_as_packets_honour_them() {
    let register = register();
    let fate = |backend, seen| register.fate(Flow { backend, flags: 0, seen });
    assert_eq!(fate(7, NOW - 60), Fate::Lives);
    assert_eq!(fate(7, NOW - 61), Fate::Over);
    assert_eq!(fate(7, NOW + 1), Fate::Lives, "it came after the census began");
    assert_eq!(fate(8, NOW), Fate::Over, "its member is cut");
    assert_eq!(fate(9, NOW), Fate::Unknown);
    assert_eq!(fate(9, NOW - LONGEST - 1), Fate::Over);
}

#[test]
fn connections_count_for_the_listener_that_they_came_to() {
    let register = register();
    assert!(register.counts());
    let mut census = Census::default();
    let v4 = |port| key((VIP, port).into());
    census.count(&register, &v4(80), open(7));
    census.count(&register, &v4(80), Flow { flags: 0, ..open(7) });
    census.count(&register, &v4(443), open(7));
    census.count(&register, &key((VIP6, 80).into()), open(7));
    census.count(&register, &v4(1001), open(7));
    census.count(&register, &v4(1002), open(7));
    census.count(&register, &Key::V4(FlowKeyV4::connection(1, 3)), open(7));
    census.count(&register, &Key::V6(FlowKeyV6::connection(1, 4)), open(7));
    assert_eq!((census.flows(7), census.flows(8)), (8, 0));
    assert_eq!((census.open_by_backend(7), census.open_by_listener(3)), (4, 4));
    assert_eq!(census.open_by_listener(4), 0);
}

#[test]
fn what_two_censuses_agree_on_is_mended() {
    let mut drift = Drift::default();
    assert_eq!(drift.mend(5, 100, 100, 90), 0);
    assert_eq!(drift.mend(5, 100, 100, 93), -7);
    assert_eq!(drift.mend(5, 93, 93, 93), 0);
    assert_eq!(drift.mend(5, 93, 93, 95), 0);
    assert_eq!(drift.mend(5, 93, 93, 92), 0, "once too many, once too few: that is traffic");
    assert_eq!(drift.mend(5, 93, 93, 90), -1);
    // Less than none is none, and mended like anything else.
    let mut drift = Drift::default();
    let below = 0u64.wrapping_sub(4);
    assert_eq!([drift.mend(0, below, below, 0), drift.mend(0, below, below, 0)], [0, 4]);
    // Connections that open during the census are found by half of it, as far as anybody knows.
    let mut drift = Drift::default();
    assert_eq!([drift.mend(0, 100, 120, 110), drift.mend(0, 120, 140, 130)], [0, 0]);
}

proptest! {
    /// Without traffic a count is right after two censuses, whatever it was.
    #[test]
    fn a_count_is_right_after_two_censuses(count: u32, open: u32, id in 0u16..99) {
        let mut drift = Drift::default();
        let mut count = u64::from(count);
        for _ in 0..2 {
            count = count.wrapping_add_signed(drift.mend(id, count, count, open));
        }
        prop_assert_eq!(count, u64::from(open));
        prop_assert_eq!(drift.mend(id, count, count, open), 0);
    }
}
