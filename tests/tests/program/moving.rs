//! Slots that are not settled: the kernel half of just-enough tracking. Which flows are recorded, when,
//! and whom a record, or the want of one, gives a packet to.

use elb_common::flow::{Flow, flow_flags};
use elb_common::names;
use elb_common::reason::Reason;

use crate::cases::{Case, Then, check_in};
use crate::frame::*;
use crate::kernel::{Kernel, now};
use crate::oracle::Oracle;
use crate::steps::{check_records, step, steps};
use crate::world::*;

use Then::{Because, To};

const C4: &str = "198.51.100.7";
const C6: &str = "2001:db8:c::7";

fn tcp4(client: u16, port: u16, flags: u8) -> Vec<u8> {
    tcp(C4, client, vip4(), port, flags, b"").frame()
}

fn udp4(client: u16, port: u16) -> Vec<u8> {
    udp(C4, client, vip4(), port, b"x").frame()
}

/// An error about a segment that a backend sent to the client.
fn about(client: u16, port: u16) -> Vec<u8> {
    let answer = tcp("192.0.2.10", port, C4.parse().unwrap(), client, ACK, b"");
    error("203.0.113.1", 3, 4, 1400, &answer.ip()).frame()
}

/// The only record of a kind.
#[track_caller]
fn only(found: &[(Vec<u8>, Flow)]) -> Flow {
    let [(_, flow)] = found else { panic!("one record, not {found:?}") };
    *flow
}

#[test]
fn tcp_new_flows_go_to_the_new_owner_old_ones_stay() {
    steps(vec![
        ("a packet of an older flow", tcp4(1, port::MOVING, ACK), To(id::FORMER)),
        ("a new flow", tcp4(2, port::MOVING, SYN), To(id::IN_V4)),
        ("its next packet", tcp4(2, port::MOVING, ACK), To(id::IN_V4)),
        ("its syn again", tcp4(2, port::MOVING, SYN), To(id::IN_V4)),
        ("the older flow", tcp4(1, port::MOVING, ACK), To(id::FORMER)),
        ("the older flow's port, reused", tcp4(1, port::MOVING, SYN), To(id::IN_V4)),
        ("is the new one's", tcp4(1, port::MOVING, ACK), To(id::IN_V4)),
        ("syn and ack is no new flow", tcp4(3, port::MOVING, SYN | ACK), To(id::FORMER)),
    ]);
}

/// One packet is no connection: it is remembered apart.
#[test]
fn the_second_packet_records_a_flow() {
    let at = port::MOVING;
    let (kernel, _) = steps(vec![
        ("syn", tcp4(1, at, SYN), To(id::IN_V4)),
        ("again", tcp4(1, at, SYN), To(id::IN_V4)),
    ]);
    assert_eq!(kernel.recorded(), [1, 0]);
    let (kernel, _) = steps(vec![
        ("syn", tcp4(1, at, SYN), To(id::IN_V4)),
        ("ack", tcp4(1, at, ACK), To(id::IN_V4)),
    ]);
    assert_eq!((kernel.recorded(), only(&kernel.flows()).flags), ([0, 1], 0));
    let (kernel, _) = steps(vec![("datagram", udp4(1, port::MOVING_RELEASED), To(id::IN_V4))]);
    assert_eq!(kernel.recorded(), [1, 0]);
    let (kernel, _) = steps(vec![
        ("datagram", udp4(1, port::MOVING_RELEASED), To(id::IN_V4)),
        ("another", udp4(1, port::MOVING_RELEASED), To(id::IN_V4)),
    ]);
    assert_eq!(kernel.recorded(), [0, 1]);
}

#[test]
fn a_connection_that_ends_as_it_begins_is_not_recorded() {
    let at = port::MOVING;
    for flags in [RST, RST | ACK, FIN | ACK] {
        let (kernel, _) = steps(vec![
            ("syn", tcp4(1, at, SYN), To(id::IN_V4)),
            ("the end", tcp4(1, at, flags), To(id::IN_V4)),
        ]);
        assert_eq!(kernel.recorded(), [1, 0]);
    }
}

#[test]
fn a_packet_of_an_older_flow_is_a_stray_until_the_next_comes() {
    let at = port::MOVING;
    let stray = || ("older flow", tcp4(1, at, ACK), To(id::FORMER));
    let (kernel, _) = steps(vec![stray()]);
    assert_eq!((kernel.recorded(), only(&kernel.flows()).flags), ([0, 1], flow_flags::STRAY));
    let (kernel, _) = steps(vec![stray(), ("again", tcp4(1, at, ACK), To(id::FORMER))]);
    assert_eq!((kernel.recorded(), only(&kernel.flows()).flags), ([0, 1], 0));
    let (kernel, _) = steps(vec![stray(), ("the end", tcp4(1, at, FIN | ACK), To(id::FORMER))]);
    assert_eq!((kernel.recorded(), only(&kernel.flows()).flags), ([0, 1], flow_flags::CLOSED));
}

/// What its client closed still has an answer to acknowledge; any host that opens the same ports again is new.
#[test]
fn a_closed_connection_is_served_until_another_takes_its_place() {
    let at = port::MOVING_BUSY;
    let older = || {
        vec![
            ("older flow", tcp4(1, at, ACK), To(id::BUSY)),
            ("its end", tcp4(1, at, FIN | ACK), To(id::BUSY)),
            ("the last acknowledgement", tcp4(1, at, ACK), To(id::BUSY)),
        ]
    };
    let (kernel, _) = steps(older());
    assert_eq!(only(&kernel.flows()).flags, flow_flags::CLOSED);
    let another = vec![
        ("the same ports", tcp4(1, at, SYN), To(id::IN_V4)),
        ("its next packet", tcp4(1, at, ACK), To(id::IN_V4)),
    ];
    let (kernel, _) = steps([older(), another].concat());
    assert_eq!((kernel.recorded(), only(&kernel.flows()).flags), ([0, 1], 0));
}

/// A SYN may be a repeated or a forged one: it takes no live connection away from its backend, unless
/// that takes no new flows.
#[test]
fn an_opening_segment_joins_a_connection_that_is_open() {
    let [busy, drained] = [(port::MOVING_BUSY, id::BUSY), (port::MOVING, id::FORMER)];
    let (kernel, _) = steps(vec![
        ("older flow", tcp4(1, busy.0, ACK), To(busy.1)),
        ("more of it", tcp4(1, busy.0, ACK), To(busy.1)),
        ("a syn of its ports", tcp4(1, busy.0, SYN), To(busy.1)),
        ("the flow", tcp4(1, busy.0, ACK), To(busy.1)),
    ]);
    assert_eq!(kernel.recorded(), [0, 1]);
    let (kernel, _) = steps(vec![
        ("older flow", tcp4(1, drained.0, ACK), To(drained.1)),
        ("a syn of its ports", tcp4(1, drained.0, SYN), To(id::IN_V4)),
    ]);
    assert_eq!(kernel.recorded(), [1, 0]);
}

#[test]
fn a_former_owner_that_is_gone_gets_nothing() {
    steps(vec![
        ("older flow", tcp4(1, port::MOVING_GONE, ACK), To(id::IN_V4)),
        ("new flow", tcp4(2, port::MOVING_GONE, SYN), To(id::IN_V4)),
        ("udp", udp4(3, port::MOVING_GONE), To(id::IN_V4)),
    ]);
}

#[test]
fn a_slot_with_exceptions_records_nothing_new() {
    let at = port::EXCEPTIONS;
    let (kernel, _) = steps(vec![
        ("older flow", tcp4(1, at, ACK), To(id::IN_V4)),
        ("new flow", tcp4(2, at, SYN), To(id::IN_V4)),
        ("its next packet", tcp4(2, at, ACK), To(id::IN_V4)),
        ("udp", udp4(3, at), To(id::IN_V4)),
        ("again", udp4(3, at), To(id::IN_V4)),
        ("without an owner", tcp4(1, port::NO_MEMBER, ACK), Because(Reason::NoBackend)),
        ("a new one", tcp4(2, port::NO_MEMBER, SYN), Because(Reason::NoBackend)),
    ]);
    assert_eq!(kernel.recorded(), [0, 0]);
}

/// The slots of a listener moved, and then converted: what was recorded meanwhile makes the exceptions.
#[test]
fn a_slot_with_exceptions_honours_records() {
    for at in [port::EXCEPTIONS, port::NO_MEMBER] {
        let (after, base) = (world(now()), slot_of(at) as usize);
        let mut before = after.clone();
        before.slots[base..base + 5].fill((id::IN_V4, id::BUSY));
        let mut kernel = Kernel::new(&before.memory());
        let mut oracle = Oracle::new(before);
        let run = |kernel: &mut Kernel, oracle: &mut Oracle, all: Vec<_>| {
            all.iter().for_each(|one| step(kernel, oracle, one));
            check_records(kernel, oracle);
        };
        let moving = vec![
            ("older flow", tcp4(1, at, ACK), To(id::BUSY)),
            ("another", tcp4(4, at, ACK), To(id::BUSY)),
            ("new flow", tcp4(2, at, SYN), To(id::IN_V4)),
            ("one that waits", tcp4(5, at, SYN), To(id::IN_V4)),
            ("its next packet", tcp4(2, at, ACK), To(id::IN_V4)),
        ];
        run(&mut kernel, &mut oracle, moving);
        kernel.fill(&after.memory());
        let (owner, _) = after.slots[base];
        oracle.world = after;
        let none = if owner == 0 { Because(Reason::NoBackend) } else { To(owner) };
        let with_exceptions = vec![
            ("the older flow", tcp4(1, at, ACK), To(id::BUSY)),
            ("a flow that is not recorded", tcp4(3, at, ACK), none),
            ("the new flow", tcp4(2, at, ACK), To(id::IN_V4)),
            ("the one that waited", tcp4(5, at, ACK), To(id::IN_V4)),
            ("one that opens", tcp4(6, at, SYN), none),
            ("its next packet", tcp4(6, at, ACK), none),
            ("the end of the other older one", tcp4(4, at, RST), To(id::BUSY)),
            ("its ports again", tcp4(4, at, SYN), none),
            ("its next packet", tcp4(4, at, ACK), none),
        ];
        run(&mut kernel, &mut oracle, with_exceptions);
        assert_eq!(kernel.recorded(), [0, 3], "the older, the new, and the one that waited");
    }
}

#[test]
fn without_a_present_owner_only_older_flows_live() {
    let (kernel, _) = steps(vec![
        ("older flow", tcp4(1, port::MOVING_EMPTY, ACK), To(id::FORMER)),
        ("new flow", tcp4(2, port::MOVING_EMPTY, SYN), Because(Reason::NoBackend)),
        ("its next packet", tcp4(2, port::MOVING_EMPTY, ACK), To(id::FORMER)),
    ]);
    assert_eq!(kernel.recorded(), [0, 2], "a flow without a backend is not recorded");
}

#[test]
fn udp_is_held_for_the_former_owner_and_then_released() {
    steps(vec![
        ("within the window", udp4(1, port::MOVING), To(id::FORMER)),
        ("again", udp4(1, port::MOVING), To(id::FORMER)),
        ("after the window", udp4(2, port::MOVING_RELEASED), To(id::IN_V4)),
        ("again", udp4(2, port::MOVING_RELEASED), To(id::IN_V4)),
    ]);
}

#[test]
fn ipv6_flows_have_their_own_tables() {
    let tcp6 = |client, flags| tcp(C6, client, vip6(), port::MOVING, flags, b"").frame();
    let (kernel, _) = steps(vec![
        ("older flow", tcp6(1, ACK), To(id::FORMER)),
        ("new flow", tcp6(2, SYN), To(id::IN_V4)),
        ("another", tcp6(3, SYN), To(id::IN_V4)),
        ("its next packet", tcp6(2, ACK), To(id::IN_V4)),
    ]);
    let lengths = |found: Vec<(Vec<u8>, Flow)>| {
        found.into_iter().map(|(key, _)| key.len()).collect::<Vec<_>>()
    };
    assert_eq!((lengths(kernel.openings()), lengths(kernel.flows())), (vec![40], vec![40, 40]));
    assert_eq!([0, 1].map(|version| kernel.table(version).records), [0, 2]);
}

/// Anyone can forge one: it goes where the flow's packets go, and nothing is recorded, promoted, or
/// kept alive by it.
#[test]
fn an_error_about_a_flow_changes_no_record() {
    let at = port::MOVING_BUSY;
    let (kernel, _) = steps(vec![
        ("about an older flow", about(1, at), To(id::BUSY)),
        ("a new flow", tcp4(2, at, SYN), To(id::IN_V4)),
        ("about that", about(2, at), To(id::IN_V4)),
        ("a stray", tcp4(3, at, ACK), To(id::BUSY)),
        ("about that", about(3, at), To(id::BUSY)),
        ("the end of another", tcp4(4, at, ACK), To(id::BUSY)),
        ("it", tcp4(4, at, RST), To(id::BUSY)),
        ("about that", about(4, at), To(id::BUSY)),
    ]);
    assert_eq!(kernel.recorded(), [1, 2]);
}

/// Each record of both stages, as old as it may be, is as old after an error about its flow.
#[test]
fn an_error_about_a_flow_refreshes_nothing() {
    let at = port::MOVING_BUSY;
    let (mut kernel, mut oracle) = steps(vec![
        ("a new flow", tcp4(2, at, SYN), To(id::IN_V4)),
        ("a stray", tcp4(3, at, ACK), To(id::BUSY)),
    ]);
    let age = |kernel: &mut Kernel| {
        for (name, all) in
            [(names::OPENINGS_V4, kernel.openings()), (names::FLOWS_V4, kernel.flows())]
        {
            for (key, flow) in all {
                let key: [u64; 2] = bytemuck::pod_read_unaligned(&key);
                kernel.record(name, key, Flow { seen: flow.seen - 20, ..flow });
            }
        }
        [kernel.openings(), kernel.flows()]
    };
    let before = age(&mut kernel);
    step(&mut kernel, &mut oracle, &("about the new one", about(2, at), To(id::IN_V4)));
    step(&mut kernel, &mut oracle, &("about the stray", about(3, at), To(id::BUSY)));
    assert_eq!([kernel.openings(), kernel.flows()], before);
    // What is the flows' own does.
    step(&mut kernel, &mut oracle, &("the new one", tcp4(2, at, SYN), To(id::IN_V4)));
    step(&mut kernel, &mut oracle, &("the stray", tcp4(3, at, ACK), To(id::BUSY)));
    assert_ne!(kernel.openings(), before[0]);
    check_records(&kernel, &oracle);
}

/// Whether a slot needs its records, sweeps show, which cannot be flooded.
#[test]
fn packets_do_not_note_who_served_them() {
    let (kernel, _) = steps(vec![
        ("older flow", tcp4(1, port::MOVING, ACK), To(id::FORMER)),
        ("new flow", tcp4(2, port::MOVING, SYN), To(id::IN_V4)),
        ("its next packet", tcp4(2, port::MOVING, ACK), To(id::IN_V4)),
        ("with exceptions", tcp4(2, port::EXCEPTIONS, ACK), To(id::IN_V4)),
    ]);
    let slots = world(now()).slots.len() as u32;
    assert!((0..slots).all(|slot| kernel.slot_seen(slot) == 0));
}

/// The point of it all: a settled ring never touches the flow tables, however it is flooded.
#[test]
fn a_settled_ring_records_nothing() {
    let mut kernel = Kernel::new(&world(now()).memory());
    for client in 1..5000 {
        kernel.run(&tcp4(client, port::SPREAD, SYN));
        kernel.run(&tcp4(client, port::SPREAD, ACK));
        kernel.run(&udp4(client, port::IN_V4));
    }
    assert_eq!(kernel.recorded(), [0, 0]);
}

#[test]
fn counters_on_moving_slots() {
    check_in(
        world(now()),
        vec![
            Case("older flow", tcp4(1, port::MOVING, ACK), To(id::FORMER)),
            Case("new flow", tcp4(2, port::MOVING, SYN), To(id::IN_V4)),
            Case("udp", udp4(3, port::MOVING), To(id::FORMER)),
            Case("no member", tcp4(2, port::MOVING_EMPTY, SYN), Because(Reason::NoBackend)),
        ],
    );
}

/// The first slot of the listener for TCP at this port.
fn slot_of(port: u16) -> u32 {
    world(now()).tcp4(port).ring_base
}
