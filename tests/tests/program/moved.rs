//! Listeners that change their pool: flows that are older than the change stay where they are. A record
//! is one of a listener and a pool, and counts for no other.

use elb_common::flow::{Flow, flow_flags};
use elb_common::listener::{Listener, NO_POOL, listener_flags as flags};
use elb_common::pool::Ring;

use crate::both::{Both, listener};
use crate::cases::Then::To;
use crate::frame::*;
use crate::kernel::now;
use crate::world::*;

const C4: &str = "198.51.100.7";
/// The listener that moves; its pool now is that of this port, with a settled ring.
const AT: u16 = port::L2;

fn tcp4(client: u16, port: u16, flags: u8) -> Vec<u8> {
    tcp(C4, client, vip4(), port, flags, b"").frame()
}

fn udp4(client: u16, port: u16) -> Vec<u8> {
    udp(C4, client, vip4(), port, b"x").frame()
}

/// The pool that the listener for TCP at a port has.
fn pool_of(port: u16) -> u16 {
    world(now()).tcp4(port).pool
}

/// Both listeners at [`AT`] served the pool of the one at `former` before.
fn moved(former: u16, change: impl Fn(&mut Listener)) -> Both {
    Both::with(|memory| {
        for protocol in [TCP, UDP] {
            let before = listener(memory, vip4(), former, protocol).pool;
            let listener = listener(memory, vip4(), AT, protocol);
            (listener.flags, listener.former_pool) = (flags::MOVED, before);
            change(listener);
        }
    })
}

/// No flow that is older than the move can live without a record.
fn forget_former(both: &mut Both) {
    both.add(|memory| {
        for protocol in [TCP, UDP] {
            listener(memory, vip4(), AT, protocol).former_pool = NO_POOL;
        }
    });
}

/// Backend, pool and flags of each record, by the client's port.
fn recorded(found: Vec<(Vec<u8>, Flow)>) -> Vec<(u16, u16, u16, u16)> {
    let port = |key: &[u8]| u16::from_be_bytes([key[8], key[9]]);
    let one = |(key, flow): (Vec<u8>, Flow)| (port(&key), flow.backend, flow.pool, flow.flags);
    let mut all: Vec<_> = found.into_iter().map(one).collect();
    all.sort_unstable();
    all
}

#[test]
fn older_connections_stay_with_the_pool_before() {
    let mut both = moved(port::IN_V6, |_| {});
    both.check(vec![
        ("an older connection", tcp4(1, AT, ACK), To(id::IN_V6)),
        ("a new one", tcp4(2, AT, SYN), To(id::L2)),
        ("its next packet", tcp4(2, AT, ACK), To(id::L2)),
        ("another", tcp4(3, AT, SYN), To(id::L2)),
        ("the older one", tcp4(1, AT, ACK), To(id::IN_V6)),
        ("another older one", tcp4(4, AT, ACK), To(id::IN_V6)),
    ]);
    let [now, before] = [AT, port::IN_V6].map(pool_of);
    let stray = flow_flags::STRAY;
    let live = vec![(1, id::IN_V6, before, 0), (2, id::L2, now, 0), (4, id::IN_V6, before, stray)];
    assert_eq!(recorded(both.kernel.flows()), live);
    assert_eq!(recorded(both.kernel.openings()), [(3, id::L2, now, 0)]);
    both.check_records();

    // Records of either pool count for as long as the listener is one that moved.
    forget_former(&mut both);
    both.check(vec![
        ("the older connection", tcp4(1, AT, ACK), To(id::IN_V6)),
        ("the new one", tcp4(2, AT, ACK), To(id::L2)),
        ("the one that waited", tcp4(3, AT, ACK), To(id::L2)),
        ("one without a record", tcp4(5, AT, ACK), To(id::L2)),
        ("the end of the older one", tcp4(1, AT, FIN | ACK), To(id::IN_V6)),
        ("its ports again", tcp4(1, AT, SYN), To(id::L2)),
    ]);
    both.check_records();
    both.add(|memory| listener(memory, vip4(), AT, TCP).flags = 0);
    both.check(vec![("a record of the pool before", tcp4(4, AT, ACK), To(id::L2))]);
}

/// Its slots were moving: what is older than that, too, is with the owner before.
#[test]
fn older_connections_find_the_oldest_owner_of_the_pool_before() {
    moved(port::MOVING, |_| {}).check(vec![
        ("an older connection", tcp4(1, AT, ACK), To(id::FORMER)),
        ("a new one", tcp4(2, AT, SYN), To(id::L2)),
    ]);
    moved(port::MOVING_GONE, |_| {}).check(vec![(
        "its owner is gone",
        tcp4(1, AT, ACK),
        To(id::L2),
    )]);
    // The pool had another ring before, too.
    let ring = |port| {
        let world = world(now());
        let spec = world.tcp4(port);
        Ring { base: spec.ring_base, size: spec.ring_size, ..Ring::default() }
    };
    let mut both = moved(port::IN_V6, |_| {});
    both.add(|memory| {
        memory.pools.get_mut(&pool_of(port::IN_V6)).unwrap().former = ring(port::GUE_V4);
    });
    both.check(vec![("older than both rings", tcp4(1, AT, ACK), To(id::GUE_V4))]);
}

/// Datagrams do not say whether they begin a flow, so they are held for a while, and then go on.
#[test]
fn datagrams_follow_the_listener_after_a_while() {
    let mut both = moved(port::IN_V6, |listener| listener.former_hold_until = now() + 3600);
    let [new, before] = [AT, port::IN_V6].map(|at| {
        let is = |l: &&ListenerSpec| (l.port, l.protocol, l.address) == (at, UDP, vip4());
        world(now()).listeners.iter().find(is).unwrap().pool
    });
    both.check(vec![
        ("within the time", udp4(1, AT), To(id::IN_V6)),
        ("again", udp4(1, AT), To(id::IN_V6)),
    ]);
    assert_eq!(recorded(both.kernel.flows()), [(1, id::IN_V6, before, 0)]);
    both.add(|memory| listener(memory, vip4(), AT, UDP).former_hold_until = now() - 1);
    both.check(vec![
        ("a recorded flow", udp4(1, AT), To(id::IN_V6)),
        ("another", udp4(2, AT), To(id::L2)),
        ("its next", udp4(2, AT), To(id::L2)),
    ]);
    let live = [(1, id::IN_V6, before, 0), (2, id::L2, new, 0)];
    assert_eq!(recorded(both.kernel.flows()), live);
    both.check_records();
    forget_former(&mut both);
    both.check(vec![
        ("a record of the pool before counts no more", udp4(1, AT), To(id::L2)),
        ("one of this pool does", udp4(2, AT), To(id::L2)),
    ]);
}

/// An error about an older connection reaches its backend, and makes no record.
#[test]
fn errors_find_older_connections() {
    let mut both = moved(port::IN_V6, |_| {});
    let answer = tcp("192.0.2.10", AT, C4.parse().unwrap(), 1, ACK, b"");
    let about = error("203.0.113.1", 3, 4, 1400, &answer.ip()).frame();
    both.check(vec![("about it", about, To(id::IN_V6))]);
    assert_eq!(both.kernel.recorded(), [0, 0]);
}

/// A flow that is recorded, at a listener whose slots move.
fn recorded_flow() -> Both {
    let mut both = Both::with(|_| {});
    both.check(vec![
        ("first", tcp4(1, port::MOVING, SYN), To(id::IN_V4)),
        ("second", tcp4(1, port::MOVING, ACK), To(id::IN_V4)),
        ("opening", tcp4(2, port::MOVING, SYN), To(id::IN_V4)),
    ]);
    both
}

/// A listener that takes another's place at an address has no flows yet.
#[test]
fn records_of_another_listener_do_not_count() {
    let mut both = recorded_flow();
    both.add(|memory| listener(memory, vip4(), port::MOVING, TCP).id = 3);
    both.check(vec![
        ("the recorded flow", tcp4(1, port::MOVING, ACK), To(id::FORMER)),
        ("the one that opens", tcp4(2, port::MOVING, ACK), To(id::FORMER)),
    ]);
}

#[test]
fn records_of_another_pool_do_not_count() {
    let mut both = recorded_flow();
    both.add(|memory| {
        listener(memory, vip4(), port::MOVING, TCP).pool = pool_of(port::MOVING_BUSY);
    });
    both.check(vec![
        ("the recorded flow", tcp4(1, port::MOVING, ACK), To(id::FORMER)),
        ("the one that opens", tcp4(2, port::MOVING, ACK), To(id::FORMER)),
    ]);
}

/// Ids of backends are given to others, and a ring that was emptied has no past.
#[test]
fn records_from_before_a_mark_do_not_count() {
    let mut both = recorded_flow();
    both.add(|memory| {
        memory.pools.get_mut(&pool_of(port::MOVING)).unwrap().flows_since = now() + 100;
    });
    both.check(vec![
        ("the recorded flow", tcp4(1, port::MOVING, ACK), To(id::FORMER)),
        ("the one that opens", tcp4(2, port::MOVING, ACK), To(id::FORMER)),
    ]);
}
