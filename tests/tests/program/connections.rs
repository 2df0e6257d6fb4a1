//! Connections that are counted: which ones, what the counts limit, and whom they choose.

use elb_common::backend::backend_flags;
use elb_common::listener::{Listener, algorithm, listener_flags as flags};
use elb_common::reason::Reason;
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
