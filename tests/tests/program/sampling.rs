//! What `elb_logged` writes down for sFlow: refusals with the first bytes of their frames, and samples.

use elb_common::flow_log::{FlowLog, HEADER, NO_LISTENER, flow_counter, known};
use elb_common::names;
use elb_common::reason::Reason;
use elb_common::trace::FORWARDED;

use crate::cases::hex;
use crate::frame::*;
use crate::kernel::{Kernel, now};
use crate::logging::ALL;
use crate::world::*;

const NOTHING: FlowLog = FlowLog { logged: 0, ..ALL };

fn kernel(log: FlowLog) -> Kernel {
    let mut kernel = Kernel::with(names::LOGGED_PROGRAM, &world(now()).memory());
    kernel.flow_log(log);
    kernel.forget_errors();
    kernel
}

/// A dropped packet, one that is answered, and one that is larger than what is kept of it.
#[test]
fn a_refusal_carries_its_frame_as_it_came() {
    let mut kernel = kernel(FlowLog { discards: 1, ..NOTHING });
    let client = "198.51.100.7";
    let frames = [
        tcp(client, 7, vip4(), port::EMPTY, ACK, b"xy").frame(),
        udp(client, 4242, vip4(), 9, b"hello").frame(),
        tcp(client, 7, vip4(), port::EMPTY, ACK, &[7; 600]).frame(),
    ];
    frames.iter().for_each(|frame| drop(kernel.run(frame)));
    // What opens and ends is for the log only.
    let open = tcp(client, 7, vip4(), port::IN_V4, SYN, b"").frame();
    kernel.run(&open);
    let events = kernel.flow_events_with_headers();
    let headers: Vec<_> = events.iter().map(|(_, header)| hex(header)).collect();
    let kept = |frame: &Vec<u8>| hex(&frame[..frame.len().min(HEADER as usize)]);
    assert_eq!(headers, frames.iter().map(kept).collect::<Vec<_>>());
    let reasons: Vec<_> = events.iter().map(|(event, _)| event.reason).collect();
    let wanted = [Reason::NoBackend, Reason::ClosedPortAnswered, Reason::NoBackend];
    assert_eq!(reasons, wanted.map(|reason| reason as u32));
    let lengths: Vec<_> = events.iter().map(|(event, _)| event.length as usize).collect();
    assert_eq!(lengths, frames.iter().map(Vec::len).collect::<Vec<_>>());
    let counted = |index| kernel.flow_counter(index);
    let of_the_log = [flow_counter::OPENS, flow_counter::REFUSALS, flow_counter::RATE];
    assert_eq!(of_the_log.map(counted), [0; 3], "the log is off");
}

#[test]
fn log_and_samples_of_refusals_share_an_event() {
    let mut kernel = kernel(FlowLog { discards: 1, ..ALL });
    kernel.run(&tcp("198.51.100.7", 7, vip4(), port::IN_V4, SYN, b"").frame());
    kernel.run(&tcp("198.51.100.7", 7, vip4(), port::EMPTY, SYN, b"").frame());
    let lengths: Vec<_> =
        kernel.flow_events_with_headers().iter().map(|(_, header)| header.len()).collect();
    assert_eq!(lengths, [0, 54], "only a refusal carries its frame");
    kernel.flow_log(FlowLog { discards: 1, budget: 0, ..ALL });
    kernel.run(&tcp("198.51.100.7", 7, vip4(), port::EMPTY, SYN, b"").frame());
    let counted = |index| kernel.flow_counter(index);
    assert_eq!([flow_counter::RATE, flow_counter::DISCARDS_LOST].map(counted), [1, 1]);
}

#[test]
fn one_of_many_packets_is_a_sample() {
    stay_on_this_cpu();
    const RATE: u32 = 20;
    const SENT: u32 = 20_000;
    let mut kernel = kernel(FlowLog { sampling: RATE, ..NOTHING });
    let frame = tcp("198.51.100.7", 7, vip4(), port::IN_V4, ACK, b"hello").frame();
    let mut samples = vec![];
    for _ in 0..4 {
        (0..SENT / 4).for_each(|_| drop(kernel.run(&frame)));
        samples.extend(kernel.flow_events_with_headers());
    }
    // The deviation of the number is that of a random walk: 18 of 1,000.
    assert!((900..1_100).contains(&samples.len()), "{} samples", samples.len());
    let stands_for: u32 = samples.iter().map(|(event, _)| event.data).sum();
    assert!((SENT - 2 * RATE..=SENT).contains(&stands_for), "{stands_for} of {SENT}");
    for (event, header) in &samples {
        assert_eq!((event.known, event.reason), (known::LENGTH | known::SAMPLE, FORWARDED));
        assert_eq!((event.length as usize, hex(header)), (frame.len(), hex(&frame)));
        assert_eq!((event.ingress, event.listener, event.backend), (INGRESS, NO_LISTENER, 0));
        assert_ne!(event.time, 0);
    }
    assert_eq!(kernel.flow_counter(flow_counter::SAMPLES_LOST), 0);
}

#[test]
fn samples_are_bounded_and_what_is_beyond_is_counted() {
    stay_on_this_cpu();
    let mut kernel = kernel(FlowLog { sampling: 1, budget: 10, ..NOTHING });
    let frame = tcp("198.51.100.7", 7, vip4(), port::IN_V4, ACK, b"").frame();
    let begun = now();
    (0..101).for_each(|_| drop(kernel.run(&frame)));
    let seconds = (now() - begun + 1) as usize;
    let samples = kernel.flow_events().len();
    assert!((10..=10 * seconds).contains(&samples), "{samples} in {seconds} s");
    assert_eq!(kernel.flow_counter(flow_counter::SAMPLES_LOST), 100 - samples as u64);
}

/// Budgets and countdowns are by CPU.
pub fn stay_on_this_cpu() {
    let mut cpus = nix::sched::CpuSet::new();
    cpus.set(nix::sched::sched_getcpu().unwrap()).unwrap();
    nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &cpus).unwrap();
}
