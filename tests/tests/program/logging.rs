//! What `elb_logged` writes down for the flow log. That it forwards as `elb` does is checked with every case
//! of this suite, and so is that the kernel notes of each packet what the host does.

use std::cell::Cell;

use elb_common::flow_log::{FlowEvent, FlowLog, NO_LISTENER, flow_counter, known};
use elb_common::names;
use elb_common::path::{Asked, Frame, Memory, Note, Witness, process, seen};
use elb_common::reason::{Fate, Reason};
use elb_common::trace::FORWARDED;

use crate::cases::{hex, same};
use crate::frame::*;
use crate::kernel::{Kernel, now};
use crate::oracle::Expected;
use crate::sampling::stay_on_this_cpu;
use crate::world::*;

/// Everything is written down, for ever.
pub const ALL: FlowLog =
    FlowLog { budget: u32::MAX, until: u32::MAX, logged: 1, discards: 0, sampling: 0 };

const ENDS: u32 = 0x05;
const OPENS: u32 = 0x02;
const ACKNOWLEDGES: u32 = 0x10;

/// The kernel wrote down what the host would have of this packet, and nothing if there is nothing to note.
pub fn logged(
    kernel: &mut Kernel,
    frame: &[u8],
    reason: Option<Reason>,
    expected: &Expected,
) -> Result<(), String> {
    let events = kernel.flow_events();
    let is_logging = kernel.program != names::PROGRAM;
    let due = due(frame, reason, expected).filter(|_| is_logging);
    let Some(due) = due else { return same("events of the flow log", events, vec![]) };
    let [event] = events[..] else { return Err(format!("{} flow events", events.len())) };
    if event.time == 0 {
        return Err("the event has no time".to_owned());
    }
    let named = |(listener, backend)| FlowEvent { time: 0, listener, backend, ..event };
    // Of what is refused the oracle knows neither; the cases ask the host.
    let (listener, backend) = match (reason, expected.listener) {
        (None, Some(listener)) => (listener as u16, due.backend),
        _ => (event.listener, event.backend),
    };
    same(
        "event of the flow log",
        named((event.listener, event.backend)),
        FlowEvent { listener, backend, ..due },
    )?;
    let for_none =
        [Reason::ClosedPort, Reason::ClosedPortAnswered, Reason::Joined, Reason::Fragment];
    if reason.is_some_and(|reason| for_none.contains(&reason)) {
        same("listener of a packet for none", event.listener, NO_LISTENER)?;
    }
    Ok(())
}

/// The listener that the packet path on the host notes for this packet, with maps that know of no flow.
fn on_host(memory: &Memory, frame: &[u8]) -> Option<u16> {
    struct Listeners(Cell<u16>);
    impl<'t> Note<'t> for Listeners {
        const SUBPROGRAMS: bool = true;
        const LOGS: bool = true;

        fn note(&self, asked: Asked<'t>) {
            if let Asked::Chosen(listener, _) | Asked::Stopped(listener, _) = asked {
                self.0.set(listener);
            }
        }
    }
    let mut buffer = vec![0u16; (Frame::HEADROOM + frame.len() + 2048).div_ceil(2)];
    let mut host = Frame::new(&mut buffer, frame, INGRESS)?;
    let noted = Listeners(Cell::new(NO_LISTENER));
    let _ = process(&mut host, &Witness::new(memory, &noted));
    Some(noted.0.get())
}

fn due(frame: &[u8], reason: Option<Reason>, expected: &Expected) -> Option<FlowEvent> {
    let mut event = FlowEvent::default();
    let mut buffer = vec![0u16; (Frame::HEADROOM + frame.len() + 2048).div_ceil(2)];
    let seen = Frame::new(&mut buffer, frame, INGRESS)?;
    seen::describe(&seen, &mut event);
    let says = event.flags & (ENDS | OPENS | ACKNOWLEDGES);
    let is_noted = says & ENDS != 0 || says == OPENS;
    (event.listener, event.backend) = (NO_LISTENER, expected.backend.unwrap_or(0));
    event.reason = reason.map_or(FORWARDED, |reason| reason as u32);
    match reason.map(Reason::fate) {
        // What members say is not logged, but why it does not get through.
        None => (is_noted && !expected.is_back).then_some(event),
        Some(Fate::Dropped) => {
            let is_late = matches!(reason, Some(Reason::NoRoom | Reason::NoDevice)) && !is_noted;
            if is_late {
                seen::nothing(&mut event);
            }
            Some(event)
        }
        // Nor that one of a member's was too big for the way.
        Some(Fate::Answered) if expected.is_back => None,
        Some(Fate::Answered) => {
            let protocols =
                [Reason::EchoAnswered, Reason::ArpAnswered, Reason::NeighborAnswered].map(Some);
            (!protocols.contains(&reason)).then_some(event)
        }
        Some(Fate::Passed) => None,
    }
}

fn kernel(log: FlowLog) -> Kernel {
    let mut kernel = Kernel::with(names::LOGGED_PROGRAM, &world(now()).memory());
    kernel.flow_log(log);
    kernel
}

fn segment(port: u16, flags: u8, sequence: u32, data: &[u8]) -> Vec<u8> {
    let mut frame = tcp("198.51.100.7", 7, vip4(), port, flags, data).frame();
    frame[38..42].copy_from_slice(&sequence.to_be_bytes());
    frame
}

#[test]
fn what_an_event_says() {
    let mut kernel = kernel(ALL);
    let frames = [
        segment(port::IN_V4, SYN, 1000, b""),
        segment(port::IN_V4, ACK, 1001, b"hello"),
        segment(port::IN_V4, ACK | FIN, 1006, b"bye"),
        segment(port::EMPTY, SYN, 5, b""),
        segment(port::EMPTY, ACK, 6, b"xy"),
    ];
    frames.iter().for_each(|frame| drop(kernel.run(frame)));
    let events = kernel.flow_events();
    let what: Vec<_> = events
        .iter()
        .map(|event| (event.reason, event.flags as u8, event.sequence, event.data, event.backend))
        .collect();
    let (none, refused) = (0, Reason::NoBackend as u32);
    assert_eq!(
        what,
        [
            (FORWARDED, SYN, 1000, 0, id::IN_V4),
            (FORWARDED, ACK | FIN, 1006, 3, id::IN_V4),
            (refused, SYN, 5, 0, none),
            (refused, ACK, 6, 2, none),
        ]
    );
    for event in &events {
        assert!(event.listener != NO_LISTENER && event.known & known::SEGMENT != 0, "{event:?}");
        assert_eq!((event.ports.source.get(), event.ingress), (7, INGRESS));
    }
    let counted = |index| kernel.flow_counter(index);
    let all = [flow_counter::OPENS, flow_counter::ENDS, flow_counter::REFUSALS].map(counted);
    assert_eq!(all, [1, 1, 2]);
}

/// Kernel and host name the same listener, whatever becomes of the packet.
#[test]
fn the_listener_of_what_is_refused() {
    let world = world(now());
    let mut kernel = kernel(ALL);
    let big = tcp("198.51.100.7", 7, vip4(), port::IN_V4, ACK, &[7; 1450]).frame();
    let mut named = 0;
    for port in (0..400).chain([port::IN_V4, port::EMPTY, port::L2]) {
        for frame in
            [segment(port, SYN, 1, b""), udp("198.51.100.7", 7, vip4(), port, b"x").frame()]
        {
            kernel.forget_errors();
            kernel.run(&frame);
            let events = kernel.flow_events();
            if let [event] = events[..] {
                named += u32::from(event.listener != NO_LISTENER);
                let due = on_host(&world.memory(), &frame);
                assert_eq!(Some(event.listener), due, "port {port}: {event:?}");
            }
        }
    }
    assert!(named > 10, "{named}");
    kernel.forget_errors();
    kernel.run(&big);
    let events = kernel.flow_events();
    assert_eq!(Some(events[0].listener), on_host(&world.memory(), &big), "{events:?}");
}

#[test]
fn nothing_while_it_is_off_or_without_an_agent() {
    for log in [FlowLog::default(), FlowLog { until: now() - 1, ..ALL }] {
        let mut kernel = kernel(log);
        kernel.run(&segment(port::IN_V4, SYN, 1, b""));
        kernel.run(&segment(port::EMPTY, SYN, 1, b""));
        assert_eq!(kernel.flow_events(), []);
        assert_eq!(kernel.flow_counter(flow_counter::OPENS), 0);
    }
}

/// A flood of one kind is counted, and the other half is not touched by it.
#[test]
fn half_of_the_budget_is_kept_for_ends_and_refusals() {
    stay_on_this_cpu();
    let mut kernel = kernel(FlowLog { budget: 10, ..ALL });
    let [open, end] = [segment(port::IN_V4, SYN, 1, b""), segment(port::IN_V4, RST, 2, b"")];
    let begun = now();
    (0..50).for_each(|_| drop(kernel.run(&open)));
    (0..50).for_each(|_| drop(kernel.run(&end)));
    let seconds = (now() - begun + 1) as usize;
    let events = kernel.flow_events();
    let opens = events.iter().filter(|event| event.flags == u32::from(SYN)).count();
    let ends = events.len() - opens;
    assert!((5..=5 * seconds).contains(&opens), "{opens} opens in {seconds} s");
    assert!((5..=10 * seconds).contains(&ends), "{ends} ends in {seconds} s");
    let counted = |index| kernel.flow_counter(index);
    assert_eq!((counted(flow_counter::OPENS), counted(flow_counter::ENDS)), (50, 50));
    assert_eq!(counted(flow_counter::RATE), 100 - events.len() as u64);
    assert_eq!(counted(flow_counter::RING), 0);
}

#[test]
fn what_finds_no_room_is_counted_and_forwarded_all_the_same() {
    let mut kernel = kernel(ALL);
    let frame = segment(port::IN_V4, SYN, 1, b"");
    const SENT: u64 = 26_000;
    let before = kernel.counter(names::BACKEND_COUNTERS, u32::from(id::IN_V4)).packets;
    (0..SENT).for_each(|_| drop(kernel.run(&frame)));
    let written = kernel.flow_events().len() as u64;
    assert!((20_000..SENT).contains(&written), "{written} events");
    assert_eq!(kernel.flow_counter(flow_counter::RING), SENT - written);
    let forwarded = kernel.counter(names::BACKEND_COUNTERS, u32::from(id::IN_V4)).packets;
    assert_eq!(forwarded - before, SENT);
    kernel.run(&frame);
    assert_eq!(kernel.flow_events().len(), 1, "there is room again");
}

#[test]
fn a_refused_datagram_is_as_it_came() {
    let mut kernel = kernel(ALL);
    let frame = udp("198.51.100.7", 4242, vip4(), 9, b"hello").frame();
    kernel.forget_errors();
    let ran = kernel.run(&frame);
    assert_ne!(hex(&ran.bytes), hex(&frame), "it is answered");
    let events = kernel.flow_events();
    let [event] = events[..] else { panic!("{events:?}") };
    assert_eq!(event.reason, Reason::ClosedPortAnswered as u32);
    assert_eq!((event.ports.source.get(), event.ports.destination.get()), (4242, 9));
    assert_eq!((event.listener, event.length), (NO_LISTENER, frame.len() as u32));
}
