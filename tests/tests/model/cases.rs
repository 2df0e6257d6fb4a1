//! Histories by name, such as random ones shrink to.

use std::collections::BTreeMap;

use elb_userspace::model::{LbAlgorithm, Protocol};
use proptest::prelude::*;

use crate::host::Host;
use crate::script::{Change::*, Member, Packet, Pool, Script, Step, Step::*};
use crate::trial;

/// A TCP pool of members 1 and 2.
fn pool() -> Pool {
    Pool {
        protocol: Protocol::Tcp,
        algorithm: LbAlgorithm::FiveTupleHash,
        large: false,
        members: BTreeMap::from([(1, Member::NEW), (2, Member::NEW)]),
        rehash: false,
        drain: None,
        idle: 10,
        udp_hold: 0,
    }
}

fn run(pool: Pool, steps: &[Step]) -> Result<(), TestCaseError> {
    trial::run(&mut Host::default(), &mut Host::default(), &Script { pool, steps: steps.to_vec() })
}

/// Every cut begins another watch over the slots that named the member; the last one counts.
#[test]
fn slots_settle_after_members_are_cut_one_after_the_other() -> Result<(), TestCaseError> {
    run(
        Pool { drain: Some(25), idle: 20, ..pool() },
        &[
            Change(Algorithm(LbAlgorithm::ThreeTupleHash)),
            Change(Remove(2)),
            Wait(2_000),
            Change(Remove(1)),
        ],
    )
}

/// The member that the former ring names is also that of the slot, so that nothing notes the packet;
/// a schedule without a record of the flow protects it no longer than that ring.
#[test]
fn a_flow_older_than_a_schedule_keeps_it_moving() -> Result<(), TestCaseError> {
    run(
        Pool { members: BTreeMap::from([(1, Member::NEW)]), ..pool() },
        &[
            Send(2, Packet::Opening),
            Change(Algorithm(LbAlgorithm::RoundRobin)),
            Wait(2_528),
            Send(2, Packet::Data),
            Wait(9_472),
            Settle,
            Change(Readdress(1, 2)),
            Send(2, Packet::Data),
        ],
    )
}

/// The pool cuts the flows of the sick member off, and then no longer does: its flow goes on there,
/// since the member is only closed to new ones.
#[test]
fn a_flow_goes_on_when_its_pool_keeps_flows_again() -> Result<(), TestCaseError> {
    run(
        Pool {
            protocol: Protocol::Udp,
            algorithm: LbAlgorithm::RoundRobin,
            members: BTreeMap::from([(1, Member::NEW)]),
            rehash: true,
            drain: Some(25),
            idle: 20,
            ..pool()
        },
        &[
            Send(2, Packet::Data),
            Change(Fail(1)),
            Send(2, Packet::Data),
            Change(Rehash(false)),
            Send(2, Packet::Data),
        ],
    )
}

/// One flow outlives all that its pool can become.
#[test]
fn a_flow_stays_through_every_kind_of_change() -> Result<(), TestCaseError> {
    let mut steps = vec![Send(1, Packet::Opening), Send(2, Packet::Opening)];
    for change in [
        Add(3),
        Weigh(1, 2),
        Algorithm(LbAlgorithm::SourceIp),
        Fail(1),
        Fail(2),
        Large(true),
        Recover(1),
        Algorithm(LbAlgorithm::RoundRobin),
        Drain(2),
        Readdress(3, 4),
        Remove(1),
        Algorithm(LbAlgorithm::FiveTupleHash),
        Add(1),
    ] {
        let talk = [Send(1, Packet::Data), Send(2, Packet::Data)];
        steps.extend([Change(change), talk[0], Wait(7_000), Settle, talk[0], talk[1], Restart]);
    }
    run(pool(), &steps)
}
