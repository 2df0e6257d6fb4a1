//! `elb_probe`: a probe is rewritten as `elb` rewrites traffic, but goes where the agent says.

use std::net::IpAddr;

use elb_common::addr::Be16;
use elb_common::counter::Counter;
use elb_common::flow::{FlowKeyV4, FlowKeyV6, Ports};
use elb_common::names;
use elb_common::path::Memory;
use elb_common::reason::Reason;

use crate::frame::*;
use crate::kernel::{DROP, Kernel, PASS, REDIRECT, TX, now};
use crate::world::*;

const LB4: &str = "10.0.0.1";
const LB6: &str = "fd00::1";
const PORT: u16 = 40_000;
const ECHO: u16 = 0x1234;

/// A world in which a flow probes a backend.
fn probing(vip: IpAddr, ports: (u16, u16), protocol: u8, backend: u16) -> Memory {
    let mut memory = world(now()).memory();
    let ports = Ports { source: Be16::new(ports.0), destination: Be16::new(ports.1) };
    match vip {
        IpAddr::V4(vip) => {
            let key = FlowKeyV4::new(be32(LB4.parse().unwrap()), be32(vip), ports, protocol);
            memory.probes_v4.insert(key, backend);
        }
        IpAddr::V6(vip) => {
            let key = FlowKeyV6::new(be128(LB6.parse().unwrap()), be128(vip), ports, protocol);
            memory.probes_v6.insert(key, backend);
        }
    }
    memory
}

fn probe(memory: &Memory) -> Kernel {
    Kernel::with(names::PROBE_PROGRAM, memory)
}

/// Packets and bytes of all counters but those of reasons.
fn forwarded(kernel: &Kernel) -> Counter {
    let ids = 0..70;
    let counters = ids.flat_map(|id| {
        [names::LISTENER_COUNTERS, names::BACKEND_COUNTERS].map(|name| kernel.counter(name, id))
    });
    counters.sum()
}

fn not_forwarded(kernel: &Kernel) -> Vec<(&'static str, u64)> {
    let counters = Reason::ALL.iter().zip(kernel.reasons());
    let counted = counters.filter(|(_, counter)| counter.packets > 0);
    counted.map(|(reason, counter)| (reason.name(), counter.packets)).collect()
}

fn source(vip: IpAddr) -> &'static str {
    if vip.is_ipv4() { LB4 } else { LB6 }
}

/// The listener at each of these ports forwards to one backend, so `elb` says what is right.
#[test]
fn a_probe_is_rewritten_byte_for_byte_as_traffic_is() {
    for (port, backend, action) in [
        (port::L2, id::L2, TX),
        (port::IN_V4, id::IN_V4, TX),
        (port::IN_V6, id::IN_V6, TX),
        (port::GUE_V4, id::GUE_V4, TX),
        (port::GUE_V6, id::GUE_V6, TX),
        (port::REDIRECT, id::REDIRECT, REDIRECT),
    ] {
        for vip in [vip4(), vip6()] {
            for (protocol, frame) in [
                (TCP, tcp(source(vip), PORT, vip, port, SYN, b"").frame()),
                (TCP, tcp(source(vip), PORT, vip, port, ACK, b"GET /").frame()),
                (UDP, udp(source(vip), PORT, vip, port, b"").frame()),
            ] {
                let memory = probing(vip, (PORT, port), protocol, backend);
                let traffic = Kernel::new(&memory).run(&frame);
                let mut kernel = probe(&memory);
                let probed = kernel.run(&frame);
                assert_eq!(traffic.action, action, "{vip} {port}");
                assert_eq!(probed, traffic, "{vip} {port} {protocol}");
                assert_eq!(forwarded(&kernel), Counter::default());
                assert_eq!(not_forwarded(&kernel), []);
            }
        }
    }
}

/// Whatever the ring says.
#[test]
fn a_probe_goes_to_the_backend_that_is_probed() {
    let frame = tcp(LB4, PORT, vip4(), port::L2, SYN, b"").frame();
    let memory = probing(vip4(), (PORT, port::L2), TCP, id::FORMER);
    let ran = probe(&memory).run(&frame);
    assert_eq!((ran.action, &ran.bytes[..6]), (TX, &[2, 0, 0, 1, 0, 8][..]));
    assert_eq!(ran.bytes[30..34], [10, 0, 0, 18]);
}

#[test]
fn an_echo_request_is_a_probe_by_its_identifier() {
    for (vip, kind, protocol) in [(vip4(), 8, 1), (vip6(), 128, 58)] {
        let [high, low] = ECHO.to_be_bytes();
        let frame = icmp(source(vip), vip, kind, &[high, low, 0, 1, 7, 7, 7]).frame();
        let memory = probing(vip, (ECHO, 0), protocol, id::IN_V4);
        let mut kernel = probe(&memory);
        let ran = kernel.run(&frame);
        assert_eq!((ran.action, &ran.bytes[30..34]), (TX, &[10, 0, 0, 12][..]));
        assert_eq!(ran.bytes[34..], after_a_hop(&frame)[14..]);
        let other = icmp(source(vip), vip, kind, &[high, low ^ 1, 0, 1]).frame();
        assert_eq!(kernel.run(&other).action, DROP);
        let answer = if vip.is_ipv4() { 0 } else { 129 };
        let reply = icmp(source(vip), vip, answer, &[high, low, 0, 1]).frame();
        assert_eq!(kernel.run(&reply).action, DROP);
        assert_eq!(not_forwarded(&kernel), [("not_a_probe", 2)]);
    }
}

#[test]
fn what_is_not_forwarded_has_a_reason() {
    let syn = || tcp(LB4, PORT, vip4(), port::L2, SYN, b"");
    let to = |backend| probing(vip4(), (PORT, port::L2), TCP, backend);
    let mut arp_frame = arp(1, CLIENT_MAC, [10, 0, 0, 9].into(), [10, 0, 0, 8].into());
    arp_frame.resize(60, 0);
    for (memory, frame, action, reason) in [
        (to(id::L2), tcp(LB4, 1, vip4(), port::L2, SYN, b"").frame(), DROP, "not_a_probe"),
        (to(id::L2), udp(LB4, PORT, vip4(), port::L2, b"").frame(), DROP, "not_a_probe"),
        (
            to(id::L2),
            tcp("10.0.0.2", PORT, vip4(), port::L2, SYN, b"").frame(),
            DROP,
            "not_a_probe",
        ),
        (to(id::MISSING), syn().frame(), DROP, "unknown_backend"),
        (to(id::NO_NEXT_HOP), syn().frame(), DROP, "no_next_hop"),
        (to(id::NO_DEVICE), syn().frame(), DROP, "no_device"),
        (to(id::IN_V4), syn().ttl(1).frame(), DROP, "ttl_expired"),
        (to(id::L2), syn().fragment(0x2000).frame(), DROP, "fragment"),
        (to(id::L2), arp_frame, PASS, "not_ip"),
    ] {
        let mut kernel = probe(&memory);
        let ran = kernel.run(&frame);
        assert_eq!((ran.action, not_forwarded(&kernel)), (action, vec![(reason, 1)]));
        assert!(action == DROP || ran.bytes == frame, "{reason}");
    }
}

/// No frame, however short or odd, is lost without a reason.
#[test]
fn every_cut_of_a_probe_is_forwarded_or_counted() {
    for (vip, ports, protocol, frame) in [
        (vip4(), (PORT, 80), TCP, tcp(LB4, PORT, vip4(), 80, SYN, b"ab").frame()),
        (vip6(), (PORT, 80), TCP, tcp(LB6, PORT, vip6(), 80, SYN, b"ab").frame()),
        (vip4(), (ECHO, 0), 1, icmp(LB4, vip4(), 8, &[0x12, 0x34, 0, 1]).frame()),
    ] {
        let mut kernel = probe(&probing(vip, ports, protocol, id::GUE_V6));
        for length in 14..=frame.len() {
            let before: u64 = kernel.reasons().iter().map(|counter| counter.packets).sum();
            let ran = kernel.run(&frame[..length]);
            let after: u64 = kernel.reasons().iter().map(|counter| counter.packets).sum();
            let went = u64::from(ran.action == TX);
            assert_eq!(after - before + went, 1, "{vip}, {length} bytes");
            assert!(length < frame.len() || went == 1);
        }
    }
}
