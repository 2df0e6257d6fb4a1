//! Floods cannot empty the flow tables: what listeners may record leaves room for the others, and single
//! packets record next to nothing.

use std::net::{IpAddr, SocketAddrV4};

use elb_common::addr::Be16;
use elb_common::flow::{FlowKeyV4, Ports};
use elb_common::limits::FLOWS_PER_OPENING;
use elb_common::listener::{algorithm, listener_flags as flags};
use elb_common::path::Memory;
use elb_common::room::BELIEVED;
use elb_tests::flood::{Flood, Segment, Stream};
use elb_tests_ebpf::bench::TURN;

use crate::both::listener;
use crate::frame::*;
use crate::kernel::{DROP, Kernel, TX, now};
use crate::world::*;

const C4: &str = "198.51.100.7";
/// Places in each flow table, and records that there is room for.
const PLACES: u32 = 1 << 17;
const ROOM: u32 = PLACES - PLACES / 16;
/// Connections that are recorded before a flood, and idle while it lasts.
const CONNECTIONS: u16 = 10_000;
/// Their listener.
const PROTECTED: u16 = port::MOVING;
/// Clients of each stream of a flood.
const SOURCES: u32 = 1 << 20;
/// Streams that come at once.
const STREAMS: u32 = 4;
/// Segments that a stream may be ahead of another.
const AHEAD: u64 = TURN as u64;
/// The listeners that are flooded. Their slots move: every flow is recorded, if it may be.
const FLOODED: [u16; 2] = [port::MOVING_RELEASED, port::MOVING_BUSY];

/// The world, with the connections of a listener.
struct Besieged {
    kernel: Kernel,
}

impl Besieged {
    fn new(change: impl FnOnce(&mut Memory)) -> Self {
        let mut memory = World { room: ROOM, ..world(now()) }.memory();
        change(&mut memory);
        let mut kernel = Kernel::with_flows(&memory, PLACES);
        for client in 1..=CONNECTIONS {
            kernel.run(&tcp4(client, PROTECTED, SYN));
            kernel.run(&tcp4(client, PROTECTED, ACK));
        }
        let besieged = Self { kernel };
        assert_eq!(besieged.lost(), 0, "before the flood");
        assert_eq!(besieged.records(), u64::from(CONNECTIONS));
        besieged
    }

    /// Each stream has [`SOURCES`] clients, each of which sends so many segments.
    fn flood(&self, streams: [Stream; STREAMS as usize], times: u32) {
        let mut flood = Flood::at(&self.kernel.program()).unwrap();
        let clients = SOURCES * STREAMS;
        let flooded = flood.streams(streams, clients, times).unwrap();
        println!("{flooded:?}: {} connections lost, {} records", self.lost(), self.records());
        assert!(flooded.segments >= u64::from(times) * u64::from(clients));
    }

    /// How many of the connections are not recorded any more.
    fn lost(&self) -> usize {
        let client = be32(C4.parse().unwrap());
        let key = |port: u16| {
            let ports = Ports { source: Be16::new(port), destination: Be16::new(PROTECTED) };
            FlowKeyV4::new(client, be32(vip()), ports, TCP)
        };
        (1..=CONNECTIONS).filter(|port| !self.kernel.is_recorded(key(*port))).count()
    }

    fn records(&self) -> u64 {
        self.kernel.table(0).records
    }

    /// Records and strays that a listener has.
    fn own(&self, port: u16) -> [u64; 2] {
        let state = self.kernel.listener_state(world(now()).tcp4_id(port));
        [state.records[0], state.strays[0]]
    }

    /// A client that the flood is not of opens a connection: whether it is recorded.
    fn connects(&mut self, port: u16) -> bool {
        let before = self.own(port)[0];
        for flags in [SYN, ACK] {
            assert_eq!(self.kernel.run(&tcp4(50_000, port, flags)).action, TX);
        }
        self.own(port)[0] == before + 1
    }
}

fn vip() -> std::net::Ipv4Addr {
    let IpAddr::V4(vip) = vip4() else { panic!("an IPv4 address") };
    vip
}

fn tcp4(client: u16, port: u16, flags: u8) -> Vec<u8> {
    tcp(C4, client, vip4(), port, flags, b"").frame()
}

fn stream(port: u16, segment: Segment) -> Stream {
    (SocketAddrV4::new(vip(), port), segment)
}

/// Opening segments for both listeners, and others.
fn of_two_kinds() -> [Stream; STREAMS as usize] {
    let [one, two] = FLOODED;
    [
        stream(one, Segment::Opening),
        stream(two, Segment::Opening),
        stream(one, Segment::Acknowledgement),
        stream(two, Segment::Acknowledgement),
    ]
}

/// A flood of opening segments records nothing.
#[test]
fn first_packets_by_the_million_are_no_connections() {
    let mut besieged = Besieged::new(|_| {});
    let [one, two] = FLOODED.map(|port| stream(port, Segment::Opening));
    besieged.flood([one, two, one, two], 2);
    assert_eq!((besieged.lost(), besieged.records()), (0, CONNECTIONS.into()));
    let openings = besieged.kernel.openings().len();
    assert!(openings <= (PLACES / FLOWS_PER_OPENING) as usize, "{openings}");
    assert!(openings > 1000, "{openings}: the flood is none");
    assert!(besieged.connects(PROTECTED) && besieged.connects(FLOODED[0]));
}

/// Two listeners flooded at once, with segments of both kinds.
#[test]
fn floods_of_two_listeners_flush_no_connection_of_a_third() {
    let mut besieged = Besieged::new(|_| {});
    besieged.flood(of_two_kinds(), 1);
    assert_eq!(besieged.lost(), 0);
    // Of what is free, a listener's strays may take a quarter: a sixth each.
    let share = (u64::from(ROOM) - u64::from(CONNECTIONS)) / 6;
    for port in FLOODED {
        let [records, strays] = besieged.own(port);
        assert_eq!(records, strays, "none was promoted");
        assert!(strays.abs_diff(share) < AHEAD, "{strays} strays of {share}");
    }
    assert!(FLOODED.into_iter().all(|port| besieged.connects(port)));
    assert!(besieged.connects(PROTECTED));
    assert!(besieged.own(port::MOVING_GONE) == [0, 0] && besieged.connects(port::MOVING_GONE));
}

/// Their clients come again and again: strays become flows, while there is room.
#[test]
fn floods_that_repeat_themselves_flush_no_connection_of_a_third() {
    let mut besieged = Besieged::new(|_| {});
    besieged.flood(of_two_kinds(), 4);
    assert_eq!(besieged.lost(), 0);
    let share = (u64::from(ROOM) - u64::from(CONNECTIONS)) * 2 / 5;
    for port in FLOODED {
        let [records, _] = besieged.own(port);
        assert!(records < share + AHEAD, "{records} records of {share}");
    }
    assert!(besieged.connects(PROTECTED) && besieged.connects(port::MOVING_GONE));
}

/// Nor do they use up how many connections a listener may have.
#[test]
fn floods_do_not_reach_the_limit_of_connections() {
    let at = port::SPREAD;
    let mut besieged = Besieged::new(|memory| {
        let listener = listener(memory, vip4(), at, TCP);
        (listener.algorithm, listener.max_connections) = (algorithm::ROUND_ROBIN, 2);
        listener.flags = flags::TRACKED | flags::LIMITED;
    });
    let [syns, acks] = [Segment::Opening, Segment::Acknowledgement].map(|kind| stream(at, kind));
    besieged.flood([syns, acks, syns, acks], 2);
    assert_eq!((besieged.lost(), besieged.own(at)), (0, [0, 0]));
    assert!(besieged.connects(at));
    for flags in [SYN, ACK] {
        assert_eq!(besieged.kernel.run(&tcp4(50_001, at, flags)).action, TX);
    }
    assert_eq!(besieged.kernel.run(&tcp4(50_002, at, SYN)).action, DROP, "the limit is two");
}

/// What the room is for: where no one sweeps and counts, a flood flushes the table.
#[test]
fn a_flood_of_a_table_without_room_flushes_connections() {
    let mut besieged = Besieged::new(|_| {});
    besieged.kernel.set_swept(now() - BELIEVED - 10);
    let [one, two] = FLOODED.map(|port| stream(port, Segment::Acknowledgement));
    besieged.flood([one, two, one, two], 1);
    assert!(besieged.lost() > usize::from(CONNECTIONS) / 2);
}
