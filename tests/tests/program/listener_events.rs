//! What is counted of a listener apart from what it forwards: connections opened, resets by clients, and
//! packets dropped, by reason. Both programs count, and so does the same code on the host.

use elb_common::counter::{LISTENER_DROPS, ListenerEvents, OTHER_DROPS, drop_place};
use elb_common::path::{Frame, process};
use elb_common::reason::Reason;

use crate::frame::*;
use crate::kernel::{Kernel, PROGRAMS, now};
use crate::world::*;

const C4: &str = "198.51.100.7";
const C6: &str = "2001:db8:c::7";

fn events(edit: impl FnOnce(&mut ListenerEvents)) -> ListenerEvents {
    let mut events = ListenerEvents::default();
    edit(&mut events);
    events
}

fn opened() -> ListenerEvents {
    events(|events| events.opened = 1)
}

fn dropped(reason: Reason) -> ListenerEvents {
    events(|events| events.add_dropped(reason))
}

fn tcp4(port: u16, flags: u8) -> Vec<u8> {
    tcp(C4, 40_000, vip4(), port, flags, b"").frame()
}

/// Packets for ports of the IPv4 address, and of the IPv6 one where it says so, with what each counts.
fn cases() -> Vec<(&'static str, Vec<u8>, ListenerEvents)> {
    let no_next_hop = ListenerEvents { opened: 1, ..dropped(Reason::NoNextHop) };
    let v6 = |flags| tcp(C6, 40_000, vip6(), port::IN_V6, flags, b"").frame();
    let large = tcp(C4, 1, vip4(), port::NARROW, ACK, &[7; 1400]).frame();
    vec![
        ("a connection", tcp4(port::L2, SYN), opened()),
        ("a connection of IPv6", v6(SYN), opened()),
        ("a segment", tcp4(port::L2, ACK), ListenerEvents::default()),
        ("the end of a connection", tcp4(port::L2, FIN | ACK), ListenerEvents::default()),
        ("a reset", tcp4(port::L2, RST), events(|events| events.resets = 1)),
        ("a reset of IPv6", v6(RST | ACK), events(|events| events.resets = 1)),
        ("neither opens nor closes", tcp4(port::L2, SYN | ACK), ListenerEvents::default()),
        ("says both", tcp4(port::L2, SYN | RST), events(|events| events.resets = 1)),
        ("a datagram", udp(C4, 5000, vip4(), port::L2, b"q").frame(), ListenerEvents::default()),
        ("no member", tcp4(port::EMPTY, SYN), dropped(Reason::NoBackend)),
        ("disabled", tcp4(port::DISABLED, ACK), dropped(Reason::Disabled)),
        ("no next hop", tcp4(port::NO_NEXT_HOP, SYN), no_next_hop),
        (
            "no way out",
            tcp4(port::NO_DEVICE, ACK),
            events(|events| events.dropped[OTHER_DROPS] = 1),
        ),
        ("an unknown backend", tcp4(port::MISSING, ACK), dropped(Reason::UnknownBackend)),
        (
            "no hop left",
            tcp(C4, 1, vip4(), port::L2, ACK, b"").ttl(1).frame(),
            dropped(Reason::TtlExpired),
        ),
        ("too big, and its sender cannot be informed", large, dropped(Reason::TooBig)),
    ]
}

/// All that was counted of all listeners.
fn counted(kernel: &Kernel, world: &World) -> ListenerEvents {
    (0..world.listeners.len() as u32).map(|id| kernel.listener_events(id)).sum()
}

fn listener_of(world: &World, frame: &[u8]) -> u32 {
    let memory = world.memory();
    let mut buffer = [0u16; 2048];
    let mut host = Frame::new(&mut buffer, frame, INGRESS).unwrap();
    let _ = process(&mut host, &memory);
    let written = memory.written.borrow();
    *written.events.keys().next().expect("something is counted") as u32
}

#[test]
fn each_packet_is_counted_at_its_listener() {
    for program in PROGRAMS {
        let world = world(now());
        let mut kernel = Kernel::with(program, &world.memory());
        for (what, frame, due) in cases() {
            let before = counted(&kernel, &world);
            kernel.forget_errors();
            kernel.run(&frame);
            let after = counted(&kernel, &world);
            let came = ListenerEvents {
                opened: after.opened - before.opened,
                resets: after.resets - before.resets,
                dropped: std::array::from_fn(|place| after.dropped[place] - before.dropped[place]),
            };
            assert_eq!(came, due, "{program}: {what}");
            if due != ListenerEvents::default() {
                let at = kernel.listener_events(listener_of(&world, &frame));
                assert_ne!(at, ListenerEvents::default(), "{program}: {what}, at its listener");
            }
        }
    }
}

#[test]
fn every_reason_that_the_table_names_has_its_own_place() {
    for (place, reason) in LISTENER_DROPS.iter().enumerate() {
        assert_eq!(drop_place(*reason), Some(place));
    }
}
