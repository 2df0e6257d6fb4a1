//! Pools that remember their clients: a client's new connections go to the member of its earlier ones.

use elb_common::backend::backend_flags;
use elb_common::client::{Client, ClientKey, Persistence};
use elb_common::flow::Stage;
use elb_common::listener::{algorithm, listener_flags as flags};
use elb_common::names;
use elb_common::reason::Reason;

use crate::both::{Both, everywhere, in_one_second, listener};
use crate::cases::Then::{self, Because, To};
use crate::frame::*;
use crate::kernel::now;
use crate::world::*;

const AT: u16 = port::SPREAD;
/// Of another pool.
const ELSEWHERE: u16 = port::IN_V4;
const CLIENT: &str = "198.51.100.7";
const CLIENT_V6: &str = "2001:db8:f::7";
const MEMBERS: [u16; 3] = [id::L2, id::IN_V4, id::IN_V6];
const TIME: u32 = 60;

/// Pools that take their members in turn, and remember clients by so many bits for [`TIME`].
fn remembering(algorithm: u16, bits: u32, bits_v6: u32) -> Both {
    Both::with(|memory| {
        everywhere(memory, AT, |listener| {
            (listener.algorithm, listener.flags) = (algorithm, flags::TRACKED);
        });
        for (vip, protocol) in [(vip4(), TCP), (vip6(), TCP), (vip4(), UDP), (vip6(), UDP)] {
            let pool = listener(memory, vip, AT, protocol).pool;
            memory.pools.get_mut(&pool).unwrap().persistence =
                Persistence::new(TIME, bits, bits_v6);
        }
    })
}

fn in_turn() -> Both {
    remembering(algorithm::ROUND_ROBIN, 32, 128)
}

/// A packet to the listener at [`AT`], of the family of the client.
fn segment(client: &str, port: u16, flags: u8) -> Vec<u8> {
    let vip = if client.contains(':') { vip6() } else { vip4() };
    tcp(client, port, vip, AT, flags, b"").frame()
}

fn datagram(client: &str, port: u16) -> Vec<u8> {
    let vip = if client.contains(':') { vip6() } else { vip4() };
    udp(client, port, vip, AT, b"x").frame()
}

/// Where a new connection goes, with both of its first packets.
#[track_caller]
fn connect(both: &mut Both, client: &str, port: u16) -> u16 {
    let [first, second] =
        [SYN, ACK].map(|flags| both.run("a connection", &segment(client, port, flags)));
    assert_eq!(first, second, "{client} port {port}");
    member(first)
}

#[track_caller]
fn member(then: Then) -> u16 {
    let To(id) = then else { panic!("{then:?}") };
    id
}

/// Members that a flow each of so many other clients gets.
fn others(both: &mut Both, clients: std::ops::Range<u8>) -> Vec<u16> {
    clients.map(|n| connect(both, &format!("198.51.101.{n}"), 1)).collect()
}

/// Lets so much time pass for what is known of clients.
fn pass(both: &mut Both, seconds: u32) {
    for (stage, name) in [(Stage::Opening, names::CLIENT_OPENINGS), (Stage::Live, names::CLIENTS)] {
        for (key, client) in both.kernel.entries::<ClientKey, Client>(name) {
            let client = Client { seen: client.seen - seconds, ..client };
            both.kernel.put(name, key, client);
            both.memory.written.get_mut().clients.stage(stage).insert(key, client);
        }
    }
}

/// Takes a flag of a member away, or gives it back.
fn set(both: &mut Both, id: u16, flag: u8, on: bool) {
    both.add(|memory| {
        let backend = memory.backends.get_mut(&id).unwrap();
        backend.flags = if on { backend.flags | flag } else { backend.flags & !flag };
    });
}

#[test]
fn connections_of_a_client_go_to_one_member_and_clients_are_balanced() {
    for algorithm in [algorithm::ROUND_ROBIN, algorithm::LEAST_CONNECTIONS] {
        let mut both = remembering(algorithm, 32, 128);
        for client in [CLIENT, CLIENT_V6] {
            let first = connect(&mut both, client, 1);
            others(&mut both, 1..3);
            for port in 2..40 {
                assert_eq!(connect(&mut both, client, port), first, "{client} port {port}");
            }
            let first = member(both.run("a datagram", &datagram(client, 1)));
            let more = both.all((2..20).map(|port| datagram(client, port)));
            assert!(more.iter().all(|then| *then == To(first)), "{first}: {more:?}");
        }
        let found = others(&mut both, 10..70);
        for id in MEMBERS {
            let count = found.iter().filter(|one| **one == id).count();
            assert!(count >= 10, "{id}: {count} of {found:?}");
        }
        both.check_records();
    }
}

/// Connections that open at once, before the second packet of any came.
#[test]
fn connections_that_open_at_once_go_to_one_member() {
    let syns: Vec<_> = (1..30).map(|port| segment(CLIENT, port, SYN)).collect();
    let (mut both, thens) = in_one_second(in_turn, &syns);
    assert!(thens.iter().all(|then| *then == thens[0]), "{thens:?}");
    let confirmed = both.all((1..30).map(|port| segment(CLIENT, port, ACK)));
    assert_eq!(confirmed, thens);
    both.check_records();
}

/// Any host can send first packets: a client is not among those that had a connection by them.
#[test]
fn first_packets_alone_push_out_no_client() {
    let mut both = in_turn();
    connect(&mut both, CLIENT, 1);
    both.all((0..200).map(|n| segment(&format!("203.0.113.{n}"), 1, SYN)));
    let known = |name| both.kernel.entries::<ClientKey, Client>(name).len();
    assert_eq!([known(names::CLIENTS), known(names::CLIENT_OPENINGS)], [1, 201]);
    both.check_records();
}

#[test]
fn a_client_is_forgotten_when_it_was_away_for_the_time() {
    let mut both = in_turn();
    let first = connect(&mut both, CLIENT, 1);
    pass(&mut both, TIME / 2);
    others(&mut both, 1..3);
    assert_eq!(connect(&mut both, CLIENT, 2), first);
    // The second half begins anew with that connection.
    pass(&mut both, TIME - 2);
    others(&mut both, 3..5);
    assert_eq!(connect(&mut both, CLIENT, 3), first);
    pass(&mut both, TIME + 1);
    let turns: Vec<_> = (10..20)
        .map(|port| {
            pass(&mut both, TIME + 1);
            connect(&mut both, CLIENT, port)
        })
        .collect();
    assert!(MEMBERS.iter().all(|id| turns.contains(id)), "in turn again: {turns:?}");
    both.check_records();
}

/// A client with an open connection is not away, whatever the connection's age.
#[test]
fn packets_of_a_connection_keep_its_client_known() {
    for last in [ACK, FIN | ACK] {
        let mut both = in_turn();
        let first = connect(&mut both, CLIENT, 1);
        others(&mut both, 1..3);
        for _ in 0..5 {
            pass(&mut both, TIME - 5);
            crate::both::wait_for_second();
            assert_eq!(both.run("goes on", &segment(CLIENT, 1, last)), To(first));
        }
        assert_eq!(connect(&mut both, CLIENT, 2), first);
        both.check_records();
    }
}

/// The setting may be younger than the connection, or its member may have been away for a moment.
#[test]
fn a_client_whose_connection_goes_on_is_known_again() {
    let mut both = in_turn();
    let first = connect(&mut both, CLIENT, 1);
    others(&mut both, 1..3);
    pass(&mut both, TIME + 1);
    crate::both::wait_for_second();
    assert_eq!(both.run("goes on", &segment(CLIENT, 1, ACK)), To(first));
    for port in 2..6 {
        assert_eq!(connect(&mut both, CLIENT, port), first);
        others(&mut both, port as u8 + 10..port as u8 + 11);
    }
    both.check_records();
}

/// A member's slots go to another one, and it takes no new connections.
fn drain(both: &mut Both, id: u16) {
    set(both, id, backend_flags::NEW, false);
    both.add(|memory| {
        let other = MEMBERS.into_iter().find(|other| *other != id).unwrap();
        for slot in &mut memory.slots {
            if slot.cur() == id {
                *slot = elb_common::ring::Slot::new(other, 0);
            }
        }
    });
}

/// It opened there while that was right.
#[test]
fn a_connection_at_a_drained_member_does_not_call_its_client_back() {
    let mut both = in_turn();
    let first = connect(&mut both, CLIENT, 1);
    assert_eq!(both.run("opens", &segment(CLIENT, 2, SYN)), To(first));
    drain(&mut both, first);
    let second = connect(&mut both, CLIENT, 3);
    assert_ne!(second, first);
    assert_eq!(both.run("goes on", &segment(CLIENT, 2, ACK)), To(first));
    for port in 4..8 {
        others(&mut both, port as u8..port as u8 + 1);
        assert_eq!(connect(&mut both, CLIENT, port), second);
    }
    both.check_records();
}

/// A connection to a former member keeps no client there.
#[test]
fn a_member_that_takes_no_connections_loses_its_clients() {
    let drained = backend_flags::NEW;
    let gone = backend_flags::NEW | backend_flags::ESTABLISHED;
    for flag in [drained, gone] {
        let mut both = in_turn();
        let first = connect(&mut both, CLIENT, 1);
        drain(&mut both, first);
        set(&mut both, first, flag, false);
        let second = connect(&mut both, CLIENT, 2);
        assert_ne!(second, first);
        for port in 3..20 {
            others(&mut both, port as u8..port as u8 + 1);
            assert_eq!(connect(&mut both, CLIENT, port), second);
        }
        if flag == drained {
            crate::both::wait_for_second();
            assert_eq!(both.run("goes on there", &segment(CLIENT, 1, ACK)), To(first));
        }
        // The client stays where it is when the member is back.
        set(&mut both, first, flag, true);
        assert_eq!(connect(&mut both, CLIENT, 30), second);
        both.check_records();
    }
}

#[test]
fn a_full_member_gets_no_connection_of_its_clients() {
    let mut both = in_turn();
    both.add(|memory| {
        listener(memory, vip4(), AT, TCP).flags |= flags::MEMBER_LIMITS;
        for id in MEMBERS {
            memory.backends.get_mut(&id).unwrap().max_connections = 3;
        }
    });
    let went: Vec<_> = (1..10).map(|port| connect(&mut both, CLIENT, port)).collect();
    let [first, second, third] = [went[0], went[3], went[6]];
    assert_eq!(went, [[first; 3], [second; 3], [third; 3]].concat());
    assert!(first != second && second != third && first != third, "{went:?}");
    let then = both.run("one more", &segment(CLIENT, 10, SYN));
    assert_eq!(then, Because(Reason::MemberLimit));
    both.check_records();
}

#[test]
fn pools_know_their_own_clients_and_listeners_of_a_pool_the_same() {
    let mut both = in_turn();
    both.add(|memory| {
        let (ring, pool) = {
            let spread = listener(memory, vip4(), AT, TCP);
            ((spread.ring_base, spread.ring_size), spread.pool)
        };
        let other = listener(memory, vip4(), ELSEWHERE, TCP);
        (other.algorithm, other.flags) = (algorithm::ROUND_ROBIN, flags::TRACKED);
        (other.ring_base, other.ring_size) = ring;
        let theirs = other.pool;
        let record = memory.pools[&pool];
        memory.pools.insert(theirs, record);
    });
    let elsewhere = |both: &mut Both, port| {
        let frames = [SYN, ACK].map(|flags| tcp(CLIENT, port, vip4(), ELSEWHERE, flags, b""));
        member(frames.map(|frame| both.run("elsewhere", &frame.frame()))[0])
    };
    let here = connect(&mut both, CLIENT, 1);
    // Its own turns begin with the same slot.
    both.kernel.set(names::POOL_STATES, pool_of(&mut both.memory, ELSEWHERE).into(), {
        elb_common::pool::PoolState { turn: 1, ..Default::default() }
    });
    let theirs = pool_of(&mut both.memory, ELSEWHERE);
    both.memory.written.get_mut().turns.insert(theirs, 1);
    let there = elsewhere(&mut both, 1);
    assert_ne!(here, there);
    for port in 2..10 {
        assert_eq!(connect(&mut both, CLIENT, port), here);
        assert_eq!(elsewhere(&mut both, port), there);
    }
    // Two listeners of one pool.
    both.add(|memory| {
        let pool = listener(memory, vip4(), AT, TCP).pool;
        let other = listener(memory, vip4(), ELSEWHERE, TCP);
        other.pool = pool;
        let id = other.id;
        let own = listener(memory, vip4(), AT, TCP).id;
        let served = memory.listener_pools[&own];
        memory.listener_pools.insert(id, served);
    });
    for port in 20..30 {
        assert_eq!(elsewhere(&mut both, port), here);
    }
    both.check_records();
}

fn pool_of(memory: &mut elb_common::path::Memory, port: u16) -> u16 {
    listener(memory, vip4(), port, TCP).pool
}

#[test]
fn a_network_may_be_one_client() {
    let mut both = remembering(algorithm::ROUND_ROBIN, 24, 64);
    for (near, far) in [
        (["198.51.100.7", "198.51.100.200"], "198.51.107.7"),
        (["2001:db8:f::7", "2001:db8:f::a:b:c:d"], "2001:db8:f:1::7"),
    ] {
        let [first, second] = near.map(|client| connect(&mut both, client, 1));
        assert_eq!(first, second);
        let more: Vec<_> = (2..5).map(|port| connect(&mut both, far, port)).collect();
        assert!(more.iter().all(|id| *id != first && *id == more[0]), "{first} {more:?}");
    }
    both.check_records();
}

/// A sweep forgets who was away and whose member takes nothing, in the kernel as on the host: the number of a
/// member may be another's afterwards.
#[test]
fn sweeps_forget_clients() {
    let mut both = in_turn();
    let clients = ["203.0.113.1", "203.0.113.2", "203.0.113.3", "203.0.113.4"];
    let went = clients.map(|client| connect(&mut both, client, 1));
    both.run("one packet", &segment("203.0.113.9", 1, SYN));
    let known = |both: &Both| {
        both.check_records();
        let count = |name| both.kernel.entries::<ClientKey, Client>(name).len();
        [count(names::CLIENTS), count(names::CLIENT_OPENINGS)]
    };
    let sweep = |both: &mut Both| {
        both.memory.now = now();
        both.kernel.sweep(both.memory.now, 10);
        both.memory.sweep(10);
    };
    sweep(&mut both);
    assert_eq!(known(&both), [4, 5]);
    set(&mut both, went[0], backend_flags::NEW, false);
    sweep(&mut both);
    let left = went.iter().filter(|id| **id != went[0]).count();
    assert_eq!(known(&both)[0], left);
    pass(&mut both, TIME + 1);
    sweep(&mut both);
    assert_eq!(known(&both), [0, 0]);
}
