//! Room for records: who gets it, who does not, and what becomes of flows that find none.

use elb_common::backend::backend_flags;
use elb_common::listener::{algorithm, listener_flags as flags};
use elb_common::reason::Reason;
use elb_common::room::BELIEVED;

use crate::both::{Both, listener};
use crate::cases::Then::{self, Because, To};
use crate::frame::*;
use crate::kernel::{Kernel, now};
use crate::steps::{check_records, follow};
use crate::world::*;

const C4: &str = "198.51.100.7";
const C6: &str = "2001:db8:c::7";
/// Records that there is room for.
const ROOM: u32 = 120;
/// Slots that move from a backend that takes new flows, and from one that does not.
const WELCOME: u16 = port::MOVING_BUSY;
const DRAINED: u16 = port::MOVING;

fn small() -> World {
    World { room: ROOM, ..world(now()) }
}

fn tcp4(client: u16, port: u16, flags: u8) -> Vec<u8> {
    tcp(C4, client, vip4(), port, flags, b"").frame()
}

fn handshakes(clients: std::ops::Range<u16>, port: u16) -> Vec<Vec<u8>> {
    clients.flat_map(|client| [SYN, ACK].map(|flags| tcp4(client, port, flags))).collect()
}

fn each(clients: std::ops::Range<u16>, port: u16, flags: u8) -> Vec<Vec<u8>> {
    clients.map(|client| tcp4(client, port, flags)).collect()
}

/// Records and strays of the listener for TCP at a port.
fn own(kernel: &Kernel, port: u16) -> [u64; 2] {
    let state = kernel.listener_state(world(now()).tcp4_id(port));
    [state.records[0], state.strays[0]]
}

fn refused(kernel: &Kernel, port: u16) -> u64 {
    kernel.listener_state(world(now()).tcp4_id(port)).refused
}

#[test]
fn one_listener_gets_half_of_the_room() {
    let (kernel, _, thens) = follow(&small(), &handshakes(1..101, WELCOME));
    assert_eq!(own(&kernel, WELCOME), [60 + 12, 12]);
    assert_eq!(thens[..120], [To(id::IN_V4); 120]);
    assert_eq!(thens[120..], [To(id::BUSY); 80], "the way of packets without a record");
    // Their next packets are strays, of which few find room.
    assert_eq!(refused(&kernel, WELCOME), 40 + 28);
}

#[test]
fn two_listeners_get_a_third_each() {
    let (one, two) = (handshakes(1..101, WELCOME), handshakes(1..101, DRAINED));
    let turns = one.chunks(2).zip(two.chunks(2)).flat_map(|(a, b)| [a, b].concat());
    let (kernel, ..) = follow(&small(), &turns.collect::<Vec<_>>());
    let connections = |port| own(&kernel, port)[0] - own(&kernel, port)[1];
    assert_eq!([WELCOME, DRAINED].map(connections), [40, 40]);
}

/// What was let in is not turned away a packet later, as long as half as much is free.
#[test]
fn flows_that_opened_at_once_get_two_thirds() {
    let frames = [each(1..121, WELCOME, SYN), each(1..121, WELCOME, ACK)].concat();
    let (kernel, _, thens) = follow(&small(), &frames);
    assert_eq!((own(&kernel, WELCOME), kernel.recorded()), ([80, 0], [40, 80]));
    assert!(thens.iter().all(|then| *then == To(id::IN_V4)), "each stays where it opened");
    assert_eq!(refused(&kernel, WELCOME), 40);
    // The next packets of the refused ones find no room either, which is counted once.
    let again = [frames, each(81..121, WELCOME, ACK), each(81..121, WELCOME, ACK)].concat();
    let (kernel, _, thens) = follow(&small(), &again);
    assert_eq!(refused(&kernel, WELCOME), 40);
    assert!(thens.iter().all(|then| *then == To(id::IN_V4)), "each stays where it opened");
}

/// When room is made, a connection that was refused is recorded with its next packet.
#[test]
fn a_refused_flow_is_recorded_when_there_is_room() {
    let world = small();
    let frames = [each(1..121, WELCOME, SYN), each(1..121, WELCOME, ACK)].concat();
    let (mut kernel, mut oracle, _) = follow(&world, &frames);
    oracle.world.room *= 2;
    for version in [0, 1] {
        let table = kernel.table(version);
        let larger = elb_common::room::FlowTable { room: 2 * ROOM, ..table };
        kernel.set(elb_common::names::FLOW_TABLES, version as u32, larger);
    }
    for frame in each(81..121, WELCOME, ACK) {
        assert_eq!(kernel.run(&frame).bytes, oracle.expect(&frame).bytes);
    }
    check_records(&kernel, &oracle);
    assert_eq!(kernel.recorded(), [0, 120]);
}

/// Any host can send a segment of no connection.
#[test]
fn strays_get_a_fifth_and_leave_the_rest() {
    let flood = each(1..201, WELCOME, ACK);
    let (kernel, _, thens) = follow(&small(), &flood);
    assert_eq!((own(&kernel, WELCOME), refused(&kernel, WELCOME)), ([24, 24], 176));
    assert_eq!(thens, [To(id::BUSY); 200]);
    // A connection of the same listener finds room, and others do.
    let more = [handshakes(1000..1010, WELCOME), handshakes(1000..1100, DRAINED)].concat();
    let (kernel, ..) = follow(&small(), &[flood.clone(), more].concat());
    assert_eq!(own(&kernel, WELCOME), [34, 24]);
    assert_eq!(own(&kernel, DRAINED)[0] - own(&kernel, DRAINED)[1], 43);
    // Of two that are flooded each gets a sixth.
    let turns = flood.into_iter().zip(each(1..201, DRAINED, ACK)).flat_map(|(a, b)| [a, b]);
    let (kernel, ..) = follow(&small(), &turns.collect::<Vec<_>>());
    assert_eq!([WELCOME, DRAINED].map(|port| own(&kernel, port)), [[20, 20]; 2]);
}

/// Nor does it help to send each segment twice.
#[test]
fn strays_that_are_repeated_fill_no_table() {
    let twice =
        |port| (1..201).flat_map(move |client| [ACK; 2].map(|flags| tcp4(client, port, flags)));
    let (kernel, _, thens) = follow(&small(), &twice(WELCOME).collect::<Vec<_>>());
    assert_eq!((own(&kernel, WELCOME), refused(&kernel, WELCOME)), ([80, 0], 240));
    assert_eq!(thens, [To(id::BUSY); 400]);
    let (kernel, ..) = follow(
        &small(),
        &twice(WELCOME).zip(twice(DRAINED)).flat_map(|(a, b)| [a, b]).collect::<Vec<_>>(),
    );
    assert_eq!([WELCOME, DRAINED].map(|port| own(&kernel, port)[0]), [48; 2]);
}

/// Its next packet is a stray of the present owner, where the former one is gone.
#[test]
fn a_stray_ends_with_its_backend() {
    let mut both = Both::with(|_| {});
    assert_eq!(both.all(each(1..6, WELCOME, ACK)), [To(id::BUSY); 5]);
    both.add(|memory| {
        memory.backends.get_mut(&id::BUSY).unwrap().flags &= !backend_flags::ESTABLISHED;
    });
    assert_eq!(both.all(each(1..4, WELCOME, ACK)), [To(id::IN_V4); 3]);
    assert_eq!(own(&both.kernel, WELCOME), [5, 5]);
    assert_eq!(both.all(each(1..4, WELCOME, FIN)), [To(id::IN_V4); 3]);
    assert_eq!(own(&both.kernel, WELCOME), [5, 2]);
    both.check_records();
}

#[test]
fn versions_have_rooms_of_their_own() {
    let tcp6 =
        |client| [SYN, ACK].map(|flags| tcp(C6, client, vip6(), WELCOME, flags, b"").frame());
    let both = [handshakes(1..101, WELCOME), (1..101).flat_map(tcp6).collect()].concat();
    let (kernel, ..) = follow(&small(), &both);
    assert_eq!([0, 1].map(|version| kernel.table(version).records), [60 + 12; 2]);
}

/// Its former owner serves a new flow that finds no room, if it takes new flows, or is gone; otherwise
/// the flow would break with the next change.
#[test]
fn a_flow_without_room_goes_where_it_can_stay() {
    for (at, then) in [
        (WELCOME, To(id::BUSY)),
        (port::MOVING_GONE, To(id::IN_V4)),
        (DRAINED, Because(Reason::NoRecord)),
    ] {
        let (kernel, _, thens) =
            follow(&small(), &[handshakes(1..61, at), each(61..81, at, SYN)].concat());
        assert_eq!(thens[..120], [To(id::IN_V4); 120], "{at}");
        assert_eq!(thens[120..], [then; 20], "{at}");
        assert_eq!((own(&kernel, at), refused(&kernel, at)), ([60, 0], 20), "{at}");
    }
}

/// A pool that chooses for each connection anew serves none that it could not keep where it is.
#[test]
fn pools_that_record_everything_refuse_what_they_cannot_record() {
    let at = port::SPREAD;
    let none = Because(Reason::NoRecord);
    let world = || {
        Both::with(|memory| {
            memory.written.get_mut().tables.iter_mut().for_each(|table| table.room = ROOM);
            for protocol in [TCP, UDP] {
                let listener = listener(memory, vip4(), at, protocol);
                (listener.algorithm, listener.flags) = (algorithm::ROUND_ROBIN, flags::TRACKED);
            }
        })
    };
    let is_served = |then: &Then| matches!(then, To(_));
    let mut both = world();
    assert!(both.all(handshakes(1..61, at)).iter().all(is_served));
    assert_eq!(both.all(each(61..71, at, SYN)), [none; 10], "at the first packet");
    assert!(both.all(each(1..61, at, ACK)).iter().all(is_served), "recorded ones go on");
    assert_eq!(refused(&both.kernel, at), 10);
    both.check_records();

    let mut both = world();
    assert!(both.all(each(1..121, at, SYN)).iter().all(is_served));
    let second = both.all(each(1..121, at, ACK));
    assert!(second[..80].iter().all(is_served));
    assert_eq!(second[80..], [none; 40], "at the second");
    assert_eq!(both.all(each(81..121, at, ACK)), [none; 40], "and at those after it");
    assert_eq!(refused(&both.kernel, at), 40, "which is counted once");
    both.check_records();

    let datagrams = |clients: std::ops::Range<u16>| {
        clients.map(|client| udp(C4, client, vip4(), at, b"x").frame()).collect::<Vec<_>>()
    };
    let mut both = world();
    assert!(both.all(datagrams(1..61)).iter().all(is_served));
    assert!(both.all(datagrams(1..61)).iter().all(is_served));
    assert_eq!(both.all(datagrams(61..71)), [none; 10]);
    both.check_records();
}

/// Without an agent no one makes room: the least recently used record does.
#[test]
fn without_sweeps_nothing_is_refused() {
    let mut both = Both::with(|memory| {
        memory.written.get_mut().tables.iter_mut().for_each(|table| table.room = 10);
    });
    let busy = To(id::BUSY);
    assert_eq!(both.all(handshakes(1..6, WELCOME)), [To(id::IN_V4); 10]);
    both.swept(BELIEVED - 10);
    assert_eq!(both.run("one more", &tcp4(6, WELCOME, SYN)), busy);
    both.swept(BELIEVED + 2);
    assert_eq!(both.all(handshakes(7..27, WELCOME)), [To(id::IN_V4); 40]);
    assert_eq!(both.all(each(100..110, WELCOME, ACK)), [busy; 10]);
    assert_eq!(both.kernel.recorded(), [0, 35]);
    both.swept(0);
    assert_eq!(both.run("one more", &tcp4(30, WELCOME, SYN)), busy);
    both.check_records();
}
