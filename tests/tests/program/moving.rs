//! Slots that change their owner: the kernel half of just-enough tracking.

use elb_common::reason::Reason;

use crate::cases::{Case, EVERYTHING, Then, check_in};
use crate::frame::*;
use crate::kernel::{Kernel, PROGRAMS, now};
use crate::oracle::Oracle;
use crate::world::*;

use Then::{Because, To};

const C4: &str = "198.51.100.7";
const C6: &str = "2001:db8:c::7";

/// Runs steps in order, with both programs, last with the one that tells nothing; the host comparison
/// of `check_in` has no memory of flows, so this compares with the oracle, which has.
fn steps(steps: Vec<(&str, Vec<u8>, Then)>) -> (Kernel, Oracle) {
    let [plain, traced] = PROGRAMS;
    let [_, last] = [traced, plain].map(|program| {
        let world = world(now());
        let mut kernel = Kernel::with(program, &world.memory());
        kernel.trace(EVERYTHING);
        let mut oracle = Oracle::new(world);
        steps.iter().for_each(|one| step(&mut kernel, &mut oracle, one));
        let recorded = kernel.flows();
        assert_eq!(recorded.len(), oracle.flows.len());
        (kernel, oracle)
    });
    last
}

fn step(kernel: &mut Kernel, oracle: &mut Oracle, (name, frame, then): &(&str, Vec<u8>, Then)) {
    let (expected, ran) = (oracle.expect(frame), kernel.run(frame));
    assert_eq!((ran.action, &ran.bytes), (expected.action, &expected.bytes), "{name}");
    let seen = match (expected.reason, expected.backend) {
        (Some(reason), _) => Because(reason),
        (None, Some(id)) => To(id),
        (None, None) => unreachable!("the oracle decides"),
    };
    assert_eq!(seen, *then, "{name}");
}

fn tcp4(client: u16, port: u16, flags: u8) -> Vec<u8> {
    tcp(C4, client, vip4(), port, flags, b"").frame()
}

fn udp4(client: u16, port: u16) -> Vec<u8> {
    udp(C4, client, vip4(), port, b"x").frame()
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

#[test]
fn a_former_owner_that_is_gone_gets_nothing() {
    steps(vec![
        ("older flow", tcp4(1, port::MOVING_GONE, ACK), To(id::IN_V4)),
        ("new flow", tcp4(2, port::MOVING_GONE, SYN), To(id::IN_V4)),
        ("udp", udp4(3, port::MOVING_GONE), To(id::IN_V4)),
    ]);
}

#[test]
fn a_slot_that_moved_back_serves_all() {
    let (kernel, _) = steps(vec![
        ("older flow", tcp4(1, port::MOVING_BACK, ACK), To(id::IN_V4)),
        ("new flow", tcp4(2, port::MOVING_BACK, SYN), To(id::IN_V4)),
    ]);
    let base = slot_of(port::MOVING_BACK);
    assert!((base..base + 5).all(|slot| kernel.slot_seen(slot) == 0), "nobody older was served");
}

#[test]
fn without_a_present_owner_only_older_flows_live() {
    let (kernel, _) = steps(vec![
        ("older flow", tcp4(1, port::MOVING_EMPTY, ACK), To(id::FORMER)),
        ("new flow", tcp4(2, port::MOVING_EMPTY, SYN), Because(Reason::NoBackend)),
    ]);
    assert!(kernel.flows().is_empty(), "a flow without a backend is not recorded");
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
fn ipv6_flows_have_their_own_table() {
    let tcp6 = |client, flags| tcp(C6, client, vip6(), port::MOVING, flags, b"").frame();
    let (kernel, _) = steps(vec![
        ("older flow", tcp6(1, ACK), To(id::FORMER)),
        ("new flow", tcp6(2, SYN), To(id::IN_V4)),
        ("its next packet", tcp6(2, ACK), To(id::IN_V4)),
    ]);
    let [(key, flow)] = &kernel.flows()[..] else { panic!("one flow") };
    assert_eq!((key.len(), flow.backend), (40, id::IN_V4));
    assert!(flow.seen.abs_diff(now()) < 5);
}

/// What the agent settles by: when a former owner was last needed.
#[test]
fn the_slot_notes_when_a_former_owner_served() {
    let (kernel, _) = steps(vec![
        ("older flow", tcp4(1, port::MOVING, ACK), To(id::FORMER)),
        ("new flow", tcp4(2, port::MOVING_RELEASED, SYN), To(id::IN_V4)),
    ]);
    let noted = |port| {
        let base = slot_of(port);
        (base..base + 5).map(|slot| kernel.slot_seen(slot)).max().unwrap()
    };
    assert!(noted(port::MOVING).abs_diff(now()) < 5);
    assert_eq!(noted(port::MOVING_RELEASED), 0);
}

/// The point of it all: a settled ring never touches the flow tables, whoever floods it.
#[test]
fn a_settled_ring_records_nothing() {
    let mut kernel = Kernel::new(&world(now()).memory());
    for client in 1..5000 {
        kernel.run(&tcp4(client, port::SPREAD, SYN));
        kernel.run(&udp4(client, port::IN_V4));
    }
    assert!(kernel.flows().is_empty());
}

#[test]
fn counters_on_moving_slots() {
    check_in(
        world(now()),
        vec![
            Case("older flow", tcp4(1, port::MOVING, ACK), To(id::FORMER)),
            Case("new flow", tcp4(2, port::MOVING, SYN), To(id::IN_V4)),
            Case("udp", udp4(3, port::MOVING), To(id::FORMER)),
            Case("nobody", tcp4(2, port::MOVING_EMPTY, SYN), Because(Reason::NoBackend)),
        ],
    );
}

fn slot_of(port: u16) -> u32 {
    let world = world(now());
    let found = |l: &&ListenerSpec| (l.port, l.protocol, l.address) == (port, TCP, vip4());
    world.listeners.iter().find(found).unwrap().ring_base
}
