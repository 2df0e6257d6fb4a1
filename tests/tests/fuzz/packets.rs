//! Packets: the packet path in memory does what the oracle says, byte by byte, and what it sends can be read
//! by another's parser, with right lengths and checksums.

mod seeds;
mod sound;

use elb_common::path::{Frame, Memory, Outcome, Written, process};

use crate::action::{DROP, PASS, REDIRECT, TX};
use crate::campaign;
use crate::oracle::Oracle;
use crate::world::{INGRESS, world};

/// The second in which all packets come.
const NOW: u32 = 1_000_000;
/// Frames of one input.
const MOST: usize = 12;

#[test]
fn packets() {
    let world = world(NOW);
    let memory = world.memory();
    let fresh = memory.written.borrow().clone();
    let mut oracle = Oracle::new(world);
    let seeds: Vec<_> = seeds::all().iter().map(|frame| piece(frame)).collect();
    campaign::run("packets", seeds, |input| {
        memory.written.replace(fresh.clone());
        oracle.flows = Default::default();
        oracle.fragments.clear();
        frames(input).take(MOST).for_each(|frame| meet(&memory, &fresh, &mut oracle, frame));
    });
}

fn meet(memory: &Memory, fresh: &Written, oracle: &mut Oracle, frame: &[u8]) {
    // How often a sender is errors_sent is for other tests.
    memory.written.borrow_mut().errors_sent = fresh.errors_sent;
    let expected = oracle.expect(frame);
    let mut buffer = [0u16; 2048];
    let mut host = Frame::new(&mut buffer, frame, INGRESS).expect("a frame of this size");
    let outcome = process(&mut host, memory);
    let action = match outcome {
        Outcome::Pass(_) | Outcome::HandOver => PASS,
        Outcome::Drop(_) => DROP,
        Outcome::Answer(_) | Outcome::Transmit => TX,
        Outcome::Redirect(_) => REDIRECT,
    };
    let done = (action, outcome.reason(), host.bytes());
    assert_eq!(done, (expected.action, expected.reason, &expected.bytes[..]), "{frame:x?}");
    if matches!(action, TX | REDIRECT) && sound::check(frame).is_ok() {
        let sent = sound::check(host.bytes());
        assert_eq!(sent, Ok(()), "{outcome:?} of {frame:x?}: {:x?}", host.bytes());
    }
}

/// Frames of an input, each behind its length.
fn frames(mut input: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = input.split_first_chunk()?;
        let length = usize::from(u16::from_be_bytes(*length)).min(rest.len()).min(3000);
        let (frame, rest) = rest.split_at(length);
        input = rest;
        Some(frame)
    })
}

fn piece(frame: &[u8]) -> Vec<u8> {
    let length = u16::try_from(frame.len()).unwrap();
    [&length.to_be_bytes(), frame].concat()
}
