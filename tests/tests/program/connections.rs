//! Connections that are counted: which ones, what the counts limit, and whom they choose.

use elb_common::backend::backend_flags;
use elb_common::listener::{Listener, algorithm, listener_flags as flags};
use elb_common::reason::Reason;
use elb_common::ring::Slot;
use elb_common::room::BELIEVED;

use crate::both::{Both, in_one_second, listener};
use crate::cases::Then::{self, Because, To};
use crate::frame::*;
use crate::kernel::now;
use crate::world::*;

const C4: &str = "198.51.100.7";
const AT: u16 = port::SPREAD;
const FULL: Then = Because(Reason::ConnectionLimit);

/// A listener of a pool that takes its members in turn, and so records every connection.
fn tracked(change: impl Fn(&mut Listener)) -> Both {
    Both::with(|memory| {
        for protocol in [TCP, UDP] {
            let listener = listener(memory, vip4(), AT, protocol);
            listener.algorithm = algorithm::ROUND_ROBIN;
            listener.flags = flags::TRACKED | flags::LIMITED;
            change(listener);
        }
    })
}

fn limited(max_connections: u32) -> Both {
    tracked(|listener| listener.max_connections = max_connections)
}

fn tcp4(client: u16, flags: u8) -> Vec<u8> {
    tcp(C4, client, vip4(), AT, flags, b"").frame()
}

fn udp4(client: u16) -> Vec<u8> {
    udp(C4, client, vip4(), AT, b"x").frame()
}

/// Opens connections, and goes on with them.
fn connect(both: &mut Both, clients: std::ops::Range<u16>) -> Vec<[Then; 2]> {
    let handshake = |client| [SYN, ACK].map(|flags| both.run("tcp", &tcp4(client, flags)));
    clients.map(handshake).collect()
}

fn accepted(then: Then) -> bool {
    matches!(then, To(_))
}

fn counted(both: &Both) -> u64 {
    both.kernel.listener_state(world(now()).tcp4_id(AT)).connections
}

#[test]
fn no_more_connections_than_the_limit() {
    let mut both = limited(3);
    for (client, [first, second]) in connect(&mut both, 1..4).into_iter().enumerate() {
        assert!(accepted(first) && first == second, "connection {client}");
    }
    let mut run = |client, flags| both.run("tcp", &tcp4(client, flags));
    assert_eq!(run(4, SYN), FULL, "one more");
    assert!(accepted(run(1, ACK)), "a connection goes on");
    assert!(accepted(run(1, ACK | FIN)), "and ends");
    assert!(accepted(run(4, SYN)) && accepted(run(4, ACK)), "its place is free");
    assert_eq!(run(5, SYN), FULL, "but no other");
    assert!(accepted(run(2, RST)), "reset");
    assert!(accepted(run(2, RST)), "again, which counts once");
    assert!(accepted(run(5, SYN)) && accepted(run(5, ACK)), "its place is free");
    assert_eq!(run(6, SYN), FULL, "but no other");
    assert_eq!(counted(&both), 3);
    both.check_records();
}

/// Forged SYNs, and connections that the backend refuses, are none.
#[test]
fn what_only_opens_does_not_count() {
    let mut both = limited(3);
    for client in 100..300 {
        assert!(accepted(both.run("syn", &tcp4(client, SYN))), "{client}");
    }
    for client in 100..200 {
        assert!(accepted(both.run("reset", &tcp4(client, RST | ACK))), "{client}");
    }
    assert_eq!(counted(&both), 0);
    let shakes = connect(&mut both, 1..4);
    assert!(shakes.into_iter().all(|[first, second]| accepted(first) && first == second));
    assert_eq!(counted(&both), 3);
    both.check_records();
}

/// The record ends with the packet that finds its backend gone, and so does its place in the count: with
/// the last segment of the connection, too.
#[test]
fn a_connection_ends_with_its_backend() {
    for flags in [ACK, FIN | ACK, RST] {
        let mut both = limited(3);
        connect(&mut both, 1..4);
        assert_eq!(counted(&both), 3);
        both.add(|memory| {
            let serve = |flags: u8| flags & !(backend_flags::ESTABLISHED | backend_flags::NEW);
            memory.backends.values_mut().for_each(|backend| backend.flags = serve(backend.flags));
        });
        both.all((1..4).map(|client| tcp4(client, flags)));
        assert_eq!((counted(&both), both.kernel.recorded()), (0, [0, 0]));
        both.check_records();
    }
}

/// All that open at once find the limit with their second packet.
#[test]
fn the_limit_holds_for_connections_that_open_at_once() {
    let mut both = limited(3);
    assert!(both.all((1..9).map(|client| tcp4(client, SYN))).into_iter().all(accepted));
    let second = both.all((1..9).map(|client| tcp4(client, ACK)));
    assert!(second[..3].iter().copied().all(accepted), "{second:?}");
    assert_eq!(second[3..], [FULL; 5]);
    assert_eq!(both.run("again", &tcp4(4, ACK)), FULL);
    assert!(accepted(both.run("the end of one", &tcp4(1, FIN | ACK))));
    assert!(accepted(both.run("the next takes its place", &tcp4(4, ACK))));
    assert_eq!(counted(&both), 3);
    both.check_records();
}

#[test]
fn datagrams_are_limited_where_their_flows_are_recorded() {
    let mut both = limited(2);
    let mut run = |client| both.run("udp", &udp4(client));
    assert!([1, 2, 3, 4].into_iter().all(|client| accepted(run(client))), "questions");
    assert!(accepted(run(1)) && accepted(run(2)));
    assert_eq!([run(3), run(5)], [FULL; 2]);
    assert!(accepted(run(1)) && accepted(run(2)), "recorded flows go on");
    both.check_records();

    let frames = [1, 2, 3, 1].map(udp4);
    let (_, thens) = in_one_second(|| tracked(|listener| listener.cps = 2), &frames);
    assert!(accepted(thens[0]) && accepted(thens[1]) && accepted(thens[3]), "{thens:?}");
    assert_eq!(thens[2], Because(Reason::RateLimited));
}

/// Without an agent no one takes closed connections out of the count: it shuts no client out then.
#[test]
fn a_count_that_is_not_corrected_limits_nothing() {
    let mut both = limited(3);
    connect(&mut both, 1..4);
    assert_eq!(both.run("one more", &tcp4(4, SYN)), FULL);
    both.swept(BELIEVED - 10);
    assert_eq!(both.run("swept not long ago", &tcp4(4, SYN)), FULL);
    both.swept(BELIEVED + 2);
    let shakes = connect(&mut both, 4..9);
    assert!(shakes.into_iter().all(|[first, second]| accepted(first) && first == second));
    both.swept(0);
    assert_eq!(both.run("swept now", &tcp4(9, SYN)), FULL);
    both.check_records();
}

/// Members that may have so many connections, in the order of their ids, of a pool with this algorithm.
fn of_members(algorithm: u16, most: [u32; 3], weights: [u32; 3]) -> Both {
    Both::with(|memory| {
        for protocol in [TCP, UDP] {
            let listener = listener(memory, vip4(), AT, protocol);
            listener.algorithm = algorithm;
            listener.flags = flags::TRACKED | flags::MEMBER_LIMITS | flags::RESET;
        }
        for (id, (most, weight)) in MEMBERS.into_iter().zip(most.into_iter().zip(weights)) {
            let backend = memory.backends.get_mut(&id).unwrap();
            (backend.max_connections, backend.weight) = (most, weight);
        }
    })
}

const MEMBERS: [u16; 3] = [id::L2, id::IN_V4, id::IN_V6];
const ALL_FULL: Then = Because(Reason::MemberLimitAnswered);

fn open(both: &Both) -> [u64; 3] {
    MEMBERS.map(|id| both.kernel.backend_state(id).connections)
}

/// A member at its limit is passed over, whatever its weight; where all are at theirs, new connections are
/// refused as `no_member` says; what ends makes room for one.
#[test]
fn no_member_has_more_connections_than_it_may() {
    for algorithm in [algorithm::ROUND_ROBIN, algorithm::LEAST_CONNECTIONS] {
        for (most, weights) in [([2, 3, 4], [1, 1, 1]), ([2, 3, 4], [100, 7, 1])] {
            let mut both = of_members(algorithm, most, weights);
            let shakes = connect(&mut both, 1..10);
            let went: Vec<_> = shakes.iter().map(|[first, _]| *first).collect();
            assert!(shakes.iter().all(|[first, second]| accepted(*first) && first == second));
            assert_eq!(open(&both), [2, 3, 4], "{algorithm}: {went:?}");
            assert_eq!(both.run("one more", &tcp4(10, SYN)), ALL_FULL, "{algorithm}");
            assert_eq!(both.run("and a datagram", &udp4(10)), ALL_FULL, "{algorithm}");
            assert_eq!(both.run("a connection goes on", &tcp4(5, ACK)), went[4]);
            for (client, to) in (1..10).zip(&went).filter(|(client, _)| client % 2 == 0) {
                assert_eq!(both.run("the end of one", &tcp4(client, FIN | ACK)), *to);
                let [first, second] = connect(&mut both, 100 + client..101 + client)[0];
                assert_eq!([first, second], [*to, *to], "{algorithm}: its place is taken");
                assert_eq!(both.run("but no other", &tcp4(11, SYN)), ALL_FULL);
            }
            assert_eq!(open(&both), [2, 3, 4]);
            both.check_records();
        }
    }
}

/// Only one of many has room.
#[test]
fn the_one_with_room_is_found_among_heavier_ones() {
    let mut both = of_members(algorithm::ROUND_ROBIN, [1, 1, 0], [100, 100, 1]);
    let shakes = connect(&mut both, 1..41);
    assert!(shakes.into_iter().all(|[first, second]| accepted(first) && first == second));
    assert_eq!(open(&both), [1, 1, 38]);
    both.check_records();
}

/// The others share what one without room does not take: none gets all that would have been its own.
#[test]
fn turns_of_a_full_member_are_shared_by_the_others() {
    let mut both = of_members(algorithm::ROUND_ROBIN, [1, 0, 0], [1, 1, 1]);
    both.add(|memory| {
        let base = listener(memory, vip4(), AT, TCP).ring_base as usize;
        for (slot, id) in memory.slots[base..base + 4093].iter_mut().zip(MEMBERS.iter().cycle()) {
            *slot = Slot::new(*id, 0);
        }
    });
    connect(&mut both, 1..42);
    let [first, second, third] = open(&both);
    assert_eq!((first, second + third), (1, 40));
    assert!(second.abs_diff(third) <= 10, "{second} and {third}");
    both.check_records();
}

/// First packets alone fill no member: they spread a burst, and a flood of them refuses no client. What
/// they open is let in up to the limit, and the rest waits until one ends.
#[test]
fn first_packets_fill_no_member() {
    for algorithm in [algorithm::ROUND_ROBIN, algorithm::LEAST_CONNECTIONS] {
        let syns: Vec<_> = (1..31).map(|client| tcp4(client, SYN)).collect();
        let start = || of_members(algorithm, [1, 2, 3], [1, 1, 1]);
        let (mut both, thens) = in_one_second(start, &syns);
        assert!(thens.iter().copied().all(accepted), "{algorithm}: {thens:?}");
        let first = MEMBERS.map(|id| thens[..6].iter().filter(|to| **to == To(id)).count());
        assert_eq!(first, [1, 2, 3], "{algorithm}: a burst is spread by what each may have");
        assert_eq!(open(&both), [0, 0, 0]);
        let second = both.all((1..31).map(|client| tcp4(client, ACK)));
        assert_eq!(open(&both), [1, 2, 3], "{algorithm}");
        assert_eq!(second.iter().filter(|then| **then == ALL_FULL).count(), 24, "{second:?}");
        both.check_records();
    }
}

/// Without an agent no one takes closed connections out of the count.
#[test]
fn a_count_that_is_not_corrected_fills_no_member() {
    let mut both = of_members(algorithm::ROUND_ROBIN, [1, 1, 1], [1, 1, 1]);
    connect(&mut both, 1..4);
    assert_eq!(both.run("one more", &tcp4(4, SYN)), ALL_FULL);
    both.swept(BELIEVED + 2);
    let shakes = connect(&mut both, 4..9);
    assert!(shakes.into_iter().all(|[first, second]| accepted(first) && first == second));
    both.swept(0);
    assert_eq!(both.run("swept now", &tcp4(9, SYN)), ALL_FULL);
    both.check_records();
}

/// A burst is spread as it comes, before its connections are known to live.
#[test]
fn the_least_connections_are_found_within_a_burst() {
    let weighted = || {
        Both::with(|memory| {
            let listener = listener(memory, vip4(), AT, TCP);
            listener.algorithm = algorithm::LEAST_CONNECTIONS;
            listener.flags = flags::TRACKED;
            for (id, weight) in [(id::L2, 1), (id::IN_V4, 2), (id::IN_V6, 3)] {
                memory.backends.get_mut(&id).unwrap().weight = weight;
            }
        })
    };
    let shares = |thens: &[Then]| {
        [id::L2, id::IN_V4, id::IN_V6].map(|id| thens.iter().filter(|to| **to == To(id)).count())
    };
    let syns: Vec<_> = (1..61).map(|client| tcp4(client, SYN)).collect();
    let (mut both, thens) = in_one_second(weighted, &syns);
    assert_eq!(shares(&thens), [10, 20, 30]);
    let confirmed = both.all((1..61).map(|client| tcp4(client, ACK)));
    assert_eq!(confirmed, thens, "each stays where it opened");
    let open = |id| both.kernel.backend_state(id).connections;
    assert_eq!([id::L2, id::IN_V4, id::IN_V6].map(open), [10, 20, 30]);
    // The connections of one end: it gets the next ones.
    let of_first = (1..61).zip(&thens).filter(|(_, to)| **to == To(id::L2));
    let ends: Vec<_> = of_first.map(|(client, _)| tcp4(client, FIN | ACK)).collect();
    both.all(ends);
    crate::both::wait_for_second();
    let next = both.all((101..108).map(|client| tcp4(client, SYN)));
    assert_eq!(shares(&next), [7, 0, 0]);
    both.check_records();
}
