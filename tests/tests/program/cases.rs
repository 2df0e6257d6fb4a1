//! Runs a table of named packets and checks, for each: what the table says, every byte, and that
//! exactly the right counters moved.

use std::collections::BTreeMap;

use elb_common::counter::{Answers, Counter};
use elb_common::names;
use elb_common::path::{Frame, Outcome, process};
use elb_common::reason::{Fate, Reason};
use elb_common::trace::{Event, FORWARDED, MAX_SNAP, Trace};

use crate::kernel::{DROP, Kernel, PASS, PROGRAMS, REDIRECT, Ran, TX, now};
use crate::logging;
use crate::oracle::{Expected, Oracle};
use crate::world::{INGRESS, OTHER, World, world};

/// What the table says of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Forwarded to this backend by the interface it came by.
    To(u16),
    /// Forwarded to this backend by another interface.
    Redirected(u16),
    /// Translated back for this backend, and sent by the interface it came by.
    Back(u16),
    /// The same by another interface.
    BackElsewhere(u16),
    /// Translated back for this backend, and left to the kernel.
    BackByKernel(u16),
    /// The answer to a probe: translated back for the kernel, and not counted.
    Probed,
    /// Not forwarded.
    Because(Reason),
}

pub struct Case(pub &'static str, pub Vec<u8>, pub Then);

/// Runs the cases in order, in one world, and complains about all that fail.
pub fn check(cases: Vec<Case>) {
    check_in(world(now()), cases);
}

/// All programs must do the same; the one that reports packets must report each, and those that write the
/// flow log must note what is for it.
pub fn check_in(world: World, cases: Vec<Case>) {
    let failed: Vec<String> =
        PROGRAMS.iter().flat_map(|program| failed(program, &world, &cases)).collect();
    assert!(failed.is_empty(), "\n{}", failed.join("\n"));
}

fn failed(program: &'static str, world: &World, cases: &[Case]) -> Vec<String> {
    let mut kernel = Kernel::with(program, &world.memory());
    kernel.trace(EVERYTHING);
    kernel.flow_log(logging::ALL);
    let mut oracle = Oracle::new(world.clone());
    let memory = oracle.world.memory();
    let run = |case: &Case| {
        let ran = run(&mut kernel, &mut oracle, &memory, case);
        ran.err().map(|why| format!("{program}: {}: {why}", case.0))
    };
    cases.iter().filter_map(run).collect()
}

/// All packets, whole.
pub const EVERYTHING: Trace = Trace {
    vip_mask: [0; 2],
    vip: [0; 2],
    client_mask: [0; 2],
    client: [0; 2],
    member: [0; 2],
    reasons: 0,
    until: u32::MAX,
    sample: 1,
    limit: u32::MAX,
    snap: MAX_SNAP,
};

fn run(
    kernel: &mut Kernel,
    oracle: &mut Oracle,
    memory: &elb_common::path::Memory,
    Case(_, frame, then): &Case,
) -> Result<(), String> {
    let before = counters(kernel, oracle);
    let said_before = answers(kernel, oracle);
    let expected = oracle.expect(frame);
    kernel.forget_errors();
    let ran = kernel.run(frame);
    let after = counters(kernel, oracle);

    let (action, reason, backend) = match *then {
        Then::To(id) => (TX, None, Some(id)),
        Then::Redirected(id) => (REDIRECT, None, Some(id)),
        Then::Back(id) => (TX, None, Some(id)),
        Then::BackElsewhere(id) => (REDIRECT, None, Some(id)),
        Then::BackByKernel(id) => (PASS, None, Some(id)),
        Then::Probed => (PASS, None, None),
        Then::Because(reason) => (action_of(reason), Some(reason), None),
    };
    same("action", ran.action, action)?;
    same("the oracle's action", expected.action, action)?;
    same("the oracle's reason", expected.reason, reason)?;
    same("the oracle's backend", expected.backend, backend)?;
    same("bytes", hex(&ran.bytes), hex(&expected.bytes))?;
    same("bytes on the host", on_host(memory, frame, action), hex(&expected.bytes))?;

    let one = Counter { packets: 1, bytes: frame.len() as u64 };
    let moved: Vec<_> = before.iter().zip(&after).filter(|(b, a)| b != a).collect();
    for ((_, before), (name, after)) in &moved {
        let delta =
            Counter { packets: after.packets - before.packets, bytes: after.bytes - before.bytes };
        same(name, delta, one)?;
    }
    let moved: Vec<_> = moved.iter().map(|(_, (name, _))| name.clone()).collect();
    let should: Vec<String> = match (reason, expected.listener, backend) {
        (Some(reason), ..) => vec![format!("reason {}", reason.name())],
        (None, Some(listener), Some(id)) => {
            let of = if expected.is_back { "replies of " } else { "" };
            vec![format!("{of}listener {listener}"), format!("{of}backend {id}")]
        }
        (None, None, None) => vec![],
        other => return Err(format!("the oracle is undecided: {other:?}")),
    };
    same("counters that moved", moved, should)?;
    let mut said = said_before;
    if let (Some(resets), Some(listener), Some(backend)) =
        (expected.resets, expected.listener, expected.backend)
    {
        for name in [format!("listener {listener}"), format!("backend {backend}")] {
            said.get_mut(&name).ok_or("no such counter")?.add(resets);
        }
    }
    same("what answers said", answers(kernel, oracle), said)?;
    reported(kernel, frame, &ran, reason, &expected)?;
    logging::logged(kernel, frame, reason, &expected)
}

/// What the program that reports packets must report about this one; the other reports nothing.
fn reported(
    kernel: &mut Kernel,
    frame: &[u8],
    ran: &Ran,
    reason: Option<Reason>,
    expected: &Expected,
) -> Result<(), String> {
    let events = kernel.events();
    if kernel.program != names::TRACED_PROGRAM {
        return same("events", events, vec![]);
    }
    let [event] = &events[..] else { return Err(format!("{} events", events.len())) };
    let (record, rest) = event.split_at(size_of::<Event>());
    let event: Event = bytemuck::pod_read_unaligned(record);
    let went = matches!(ran.action, TX | REDIRECT);
    let sent = if went { &ran.bytes[..] } else { &[] };
    let (length, grown) = (frame.len() as u32, sent.len() as u32);
    same("received bytes", hex(&rest[..frame.len()]), hex(frame))?;
    same("sent bytes", hex(&rest[frame.len()..]), hex(sent))?;
    same("lengths", [event.received, event.received_bytes], [length; 2])?;
    same("lengths as sent", [event.sent, event.sent_bytes], [grown; 2])?;
    same("event's reason", event.reason, reason.map_or(FORWARDED, |reason| reason as u32))?;
    same("ingress", event.ingress, INGRESS)?;
    let egress = if ran.action == REDIRECT { OTHER } else { INGRESS };
    same("egress", event.egress, if went { egress } else { 0 })?;
    if let (None, Some(listener), Some(backend)) = (reason, expected.listener, expected.backend) {
        same("event's listener", event.listener, listener as u32)?;
        same("event's backend", event.backend, u32::from(backend))?;
    }
    Ok(())
}

/// The same frame through the same code outside of the kernel. Only for packets that moving slots
/// do not remember, since the host starts without flows.
fn on_host(memory: &elb_common::path::Memory, frame: &[u8], action: u32) -> String {
    let mut buffer = [0u16; 2048];
    let mut host = Frame::new(&mut buffer, frame, INGRESS).expect("a small frame");
    let outcome = process(&mut host, memory);
    let done = match outcome {
        Outcome::Pass(_) | Outcome::HandOver => PASS,
        Outcome::Drop(_) => DROP,
        Outcome::Answer(_) | Outcome::Transmit => TX,
        Outcome::Redirect(_) => REDIRECT,
    };
    if done == action { hex(host.bytes()) } else { format!("{outcome:?}") }
}

pub fn action_of(reason: Reason) -> u32 {
    match reason.fate() {
        Fate::Passed => PASS,
        Fate::Dropped => DROP,
        Fate::Answered => TX,
    }
}

/// What members' answers said of their connections.
fn answers(kernel: &Kernel, oracle: &Oracle) -> BTreeMap<String, Answers> {
    let maps = [
        ("listener", names::LISTENER_ANSWERS, oracle.world.listeners.len() as u32),
        ("backend", names::BACKEND_ANSWERS, 16),
    ];
    let of = |(what, map, count): (&'static str, &'static str, u32)| {
        (0..count).map(move |id| {
            let Counter { packets: accepted, bytes: resets } = kernel.counter(map, id);
            (format!("{what} {id}"), Answers { accepted, resets })
        })
    };
    maps.into_iter().flat_map(of).collect()
}

fn counters(kernel: &Kernel, oracle: &Oracle) -> Vec<(String, Counter)> {
    let reasons = Reason::ALL.iter().zip(kernel.reasons());
    let reasons = reasons.map(|(reason, counter)| (format!("reason {}", reason.name()), counter));
    let listeners = oracle.world.listeners.len() as u32;
    let maps = [
        ("listener", names::LISTENER_COUNTERS, listeners),
        ("backend", names::BACKEND_COUNTERS, 16),
        ("replies of listener", names::LISTENER_REPLIES, listeners),
        ("replies of backend", names::BACKEND_REPLIES, 16),
    ];
    let of = |(what, map, count): (&'static str, &'static str, u32)| {
        (0..count).map(move |id| (format!("{what} {id}"), kernel.counter(map, id)))
    };
    reasons.chain(maps.into_iter().flat_map(of)).collect()
}

pub fn same<T: PartialEq + std::fmt::Debug>(what: &str, got: T, wanted: T) -> Result<(), String> {
    if got == wanted { Ok(()) } else { Err(format!("{what}: got {got:?}, wanted {wanted:?}")) }
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
