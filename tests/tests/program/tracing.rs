//! Which packets `elb_traced` reports. That it forwards as `elb` does, and what it reports about each,
//! is checked with every case of this suite.

use elb_common::names;
use elb_common::path::peek::mapped;
use elb_common::reason::Reason;
use elb_common::trace::{Event, FORWARDED, Trace, trace_counter};

use crate::cases::EVERYTHING;
use crate::frame::*;
use crate::kernel::{Kernel, now};
use crate::world::*;

const WHOLE: [u64; 2] = [u64::MAX; 2];

fn kernel(trace: Trace) -> Kernel {
    let mut kernel = Kernel::with(names::TRACED_PROGRAM, &world(now()).memory());
    kernel.trace(trace);
    kernel
}

fn v4(text: &str) -> [u64; 2] {
    let address: std::net::Ipv4Addr = text.parse().unwrap();
    mapped(be32(address))
}

/// Packets by what becomes of them: to the backend in IPv4, on the segment, and nowhere.
fn packets() -> [Vec<u8>; 3] {
    let syn = |client, port| tcp(client, 7, vip4(), port, SYN, b"").frame();
    [
        syn("198.51.100.7", port::IN_V4),
        syn("198.51.100.200", port::L2),
        syn("203.0.113.9", port::EMPTY),
    ]
}

/// The reasons of the packets that are reported, in their order.
fn answered(trace: Trace, frames: &[Vec<u8>]) -> Vec<u32> {
    let mut kernel = kernel(trace);
    frames.iter().for_each(|frame| drop(kernel.run(frame)));
    events(&mut kernel).iter().map(|event| event.reason).collect()
}

fn events(kernel: &mut Kernel) -> Vec<Event> {
    let record = |bytes: &Vec<u8>| bytemuck::pod_read_unaligned(&bytes[..size_of::<Event>()]);
    kernel.events().iter().map(record).collect()
}

const NO_BACKEND: u32 = Reason::NoBackend as u32;

#[test]
fn nothing_unless_it_is_asked_for() {
    assert!(answered(Trace::default(), &packets()).is_empty());
    assert!(
        answered(Trace { until: now() - 1, ..EVERYTHING }, &packets()).is_empty(),
        "the lease is over"
    );
    assert_eq!(answered(Trace { until: now() + 60, ..EVERYTHING }, &packets()).len(), 3);
}

#[test]
fn by_address() {
    let vip = |vip| Trace { vip: v4(vip), vip_mask: WHOLE, ..EVERYTHING };
    assert_eq!(answered(vip("192.0.2.10"), &packets()).len(), 3);
    assert!(answered(vip("192.0.2.11"), &packets()).is_empty());

    let mask = bytemuck::cast([[255u8; 8], [255, 255, 255, 255, 255, 255, 255, 128]]);
    let net = Trace { client: v4("198.51.100.0"), client_mask: mask, ..EVERYTHING };
    assert_eq!(answered(net, &packets()).len(), 1, "198.51.100.0/25");

    let v6 = tcp("2001:db8:c::7", 7, vip6(), port::IN_V6, SYN, b"").tagged(&[5]);
    let client = bytemuck::cast("2001:db8:c::7".parse::<std::net::Ipv6Addr>().unwrap().octets());
    let client = Trace { client, client_mask: WHOLE, ..EVERYTHING };
    assert_eq!(answered(client, &[packets()[0].clone(), v6]), [FORWARDED]);
}

#[test]
fn arp_is_reported_by_the_address_asked_for() {
    let asked = Trace { vip: v4("192.0.2.10"), vip_mask: WHOLE, ..EVERYTHING };
    let request =
        |target: &str| arp(1, CLIENT_MAC, "198.51.100.7".parse().unwrap(), target.parse().unwrap());
    let frames = [request("192.0.2.10"), request("192.0.2.99")];
    assert_eq!(answered(asked, &frames), [Reason::ArpAnswered as u32]);
}

#[test]
fn by_what_becomes_of_it() {
    let dropped = Trace { reasons: 1 << NO_BACKEND, ..EVERYTHING };
    assert_eq!(answered(dropped, &packets()), [NO_BACKEND]);
    let other = Trace { reasons: 1 << Reason::NotVip as u32, ..EVERYTHING };
    assert!(answered(other, &packets()).is_empty());
}

#[test]
fn by_member() {
    let word = |last| u64::from_ne_bytes([10, 0, 0, last, 0, 0, 0, 0]);
    let member = |last| Trace { member: [word(last), 0], ..EVERYTHING };
    let mut kernel = kernel(member(12));
    packets().iter().for_each(|frame| drop(kernel.run(frame)));
    let backends: Vec<_> = events(&mut kernel).iter().map(|event| event.backend).collect();
    assert_eq!(backends, [u32::from(id::IN_V4)]);
    assert!(answered(member(99), &packets()).is_empty());
}

#[test]
fn a_part_by_chance() {
    let mut kernel = kernel(Trace { sample: 10, snap: 14, ..EVERYTHING });
    let frame = &packets()[0];
    let mut count = 0;
    for _ in 0..20 {
        (0..1_000).for_each(|_| drop(kernel.run(frame)));
        count += events(&mut kernel).len();
    }
    // 2,000 are expected, give or take 42 (one standard deviation).
    assert!((1_700..2_300).contains(&count), "{count} of 20,000");
}

#[test]
fn no_more_bytes_than_were_asked_for() {
    let mut kernel = kernel(Trace { snap: 33, ..EVERYTHING });
    let ran = kernel.run(&packets()[0]);
    let events = kernel.events();
    let event: Event = bytemuck::pod_read_unaligned(&events[0][..size_of::<Event>()]);
    assert_eq!((event.received, event.received_bytes), (packets()[0].len() as u32, 33));
    assert_eq!((event.sent, event.sent_bytes), (ran.bytes.len() as u32, 33));
    let copies = &events[0][size_of::<Event>()..];
    assert_eq!((&copies[..33], &copies[33..66]), (&packets()[0][..33], &ran.bytes[..33]));
}

#[test]
fn what_is_beyond_the_limit_is_counted() {
    let mut kernel = kernel(Trace { limit: 5, ..EVERYTHING });
    let seconds = now();
    (0..100).for_each(|_| drop(kernel.run(&packets()[0])));
    let seconds = u64::from(now() - seconds + 1);
    let answered = events(&mut kernel).len() as u64;
    assert!((5..=5 * seconds).contains(&answered), "{answered} events in {seconds} seconds");
    assert_eq!(kernel.traced(trace_counter::MATCHED), 100);
    assert_eq!(kernel.traced(trace_counter::LIMITED), 100 - answered);
    assert_eq!(kernel.traced(trace_counter::FULL), 0);
}

#[test]
fn what_finds_no_room_is_counted_and_forwarded_all_the_same() {
    let mut kernel = kernel(EVERYTHING);
    let frame = tcp("198.51.100.7", 7, vip4(), port::IN_V4, ACK, &[7; 1400]).frame();
    let before = kernel.counter(names::BACKEND_COUNTERS, u32::from(id::IN_V4)).packets;
    (0..1_000).for_each(|_| drop(kernel.run(&frame)));
    let answered = events(&mut kernel).len() as u64;
    assert!((1..1_000).contains(&answered), "{answered} events of 3 kB in 1 MiB");
    assert_eq!(kernel.traced(trace_counter::FULL), 1_000 - answered);
    let forwarded = kernel.counter(names::BACKEND_COUNTERS, u32::from(id::IN_V4)).packets;
    assert_eq!(forwarded - before, 1_000);
    kernel.run(&frame);
    assert_eq!(events(&mut kernel).len(), 1, "there is room again");
}
