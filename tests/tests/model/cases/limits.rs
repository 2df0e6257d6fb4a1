//! Where a member has as many connections as it may, or cannot tell two apart.

use std::collections::BTreeMap;

use elb_userspace::model::{Forwarding, LbAlgorithm, Protocol};
use proptest::prelude::*;

use super::{pool, run, wanted, with};
use crate::host::Host;
use crate::script::{Change::*, Listener, Member, Packet, Pool, Step::*, Wanted};
use crate::world::World;

/// One that has as many connections as it may gets the next one when one of them ends.
#[test]
fn a_member_at_its_limit_gets_a_connection_when_one_ends() {
    let members = BTreeMap::from([(1, Member { most: 1, ..Member::NEW })]);
    let turns = Pool { algorithm: LbAlgorithm::RoundRobin, members, ..pool(0) };
    let mut host = Host::default();
    let mut world = World::new(&mut host, &with(turns));
    let connect = [Packet::Opening, Packet::Data];
    assert_eq!(connect.map(|packet| world.send(1, packet)), [Some(1); 2]);
    assert_eq!(world.send(3, Packet::Opening), None);
    assert_eq!(world.send(1, Packet::Rst), Some(1));
    assert_eq!(connect.map(|packet| world.send(3, packet)), [Some(1); 2]);
    assert_eq!(world.send(1, Packet::Opening), None);
}

/// A connection of a pool that did not count yet: it goes on, whatever the limit.
#[test]
fn a_flow_that_is_older_than_the_count_is_not_refused() -> Result<(), TestCaseError> {
    let members = BTreeMap::from([(1, Member { most: 1, ..Member::NEW })]);
    run(
        with(Pool { members, ..pool(0) }),
        &[
            Send(1, Packet::Opening),
            Change(Algorithm(0, LbAlgorithm::RoundRobin)),
            Sweep,
            Send(4, Packet::Opening),
            Send(4, Packet::Data),
            Send(1, Packet::Data),
        ],
    )
}

/// The client opens its connection again, and that goes to the member of before, though the listener serves another
/// pool by now.
#[test]
fn a_flow_that_a_limit_refused_stays_where_it_was() -> Result<(), TestCaseError> {
    let members = BTreeMap::from([(5, Member { most: 1, ..Member::NEW })]);
    let turns = Pool { algorithm: LbAlgorithm::RoundRobin, members, ..pool(1) };
    run(
        Wanted {
            pools: [pool(0), turns],
            listeners: [Listener::of(0, 10), Listener::of(1, 10)],
            ..wanted()
        },
        &[
            Send(2, Packet::Opening),
            Send(6, Packet::Opening),
            Send(6, Packet::Data),
            Change(Algorithm(0, LbAlgorithm::RoundRobin)),
            Change(Serve(1, 0)),
            Send(2, Packet::Data),
            Send(2, Packet::Opening),
        ],
    )
}

/// Its first datagram went to a member that got as many flows as it may before the second came: the flow waits for it,
/// though others would take it.
#[test]
fn datagrams_that_a_limit_refused_go_to_no_other_member() -> Result<(), TestCaseError> {
    let turns = Pool {
        algorithm: LbAlgorithm::RoundRobin,
        members: BTreeMap::from([(1, Member::NEW)]),
        ..pool(0)
    };
    run(
        Wanted { protocol: Protocol::Udp, ..with(turns) },
        &[
            Send(2, Packet::Data),
            Send(6, Packet::Data),
            Change(Limit(1, 1)),
            Send(2, Packet::Data),
            Sweep,
            Send(6, Packet::Data),
            Change(Fail(1)),
            Change(Add(2)),
            Send(6, Packet::Data),
        ],
    )
}

/// The same of one that it opened again before it closed it: it is none of those that its member has.
#[test]
fn a_connection_that_was_opened_twice_and_closed_does_not_count() -> Result<(), TestCaseError> {
    let members = BTreeMap::from([(1, Member { most: 1, ..Member::NEW })]);
    let turns = Pool { algorithm: LbAlgorithm::RoundRobin, members, ..pool(0) };
    run(
        Wanted { listeners: [Listener::of(0, 10), Listener::of(1, 10)], ..with(turns) },
        &[
            Send(1, Packet::Opening),
            Send(3, Packet::Opening),
            Send(1, Packet::Data),
            Sweep,
            Send(1, Packet::Opening),
            Send(1, Packet::Fin),
            Send(1, Packet::Data),
            Send(3, Packet::Data),
        ],
    )
}

/// A client uses one port for both listeners, which share their member's endpoint: the second connection gets it, and no
/// packet of the first goes there until that is over.
#[test]
fn two_connections_from_one_port_do_not_share_a_member() -> Result<(), TestCaseError> {
    let members = BTreeMap::from([(1, Member::NEW)]);
    let wanted = with(Pool { members, forwarding: Forwarding::Nat, ..pool(0) });
    let [opening, data] = [Packet::Opening, Packet::Data];
    let talk = [(5, opening), (6, opening), (5, data), (6, data), (5, opening), (6, data)];
    run(wanted.clone(), &talk.map(|(flow, packet)| Send(flow, packet)))?;
    let mut host = Host::default();
    let mut world = World::new(&mut host, &wanted);
    let went = talk.map(|(flow, packet)| world.send(flow, packet).is_some());
    assert_eq!(went, [true, true, false, true, false, true]);
    assert_eq!(world.send(6, Packet::Rst), Some(1));
    assert_eq!(world.send(5, opening), Some(1));
    Ok(())
}

/// The first packet of a flow that its member cannot tell from its twin is refused. It is remembered all the same: the next
/// one goes to that member when the twin is over, though the listener serves another pool by then.
#[test]
fn a_flow_that_its_twin_refused_stays_where_it_was() -> Result<(), TestCaseError> {
    let only = |number: u8, member: u8, forwarding| Pool {
        algorithm: LbAlgorithm::RoundRobin,
        forwarding,
        members: BTreeMap::from([(member, Member::NEW)]),
        ..pool(number)
    };
    run(
        Wanted {
            pools: [only(0, 1, Forwarding::L2), only(1, 5, Forwarding::Nat)],
            listeners: [Listener::of(1, 10); 2],
            ..wanted()
        },
        &[
            Send(6, Packet::Opening),
            Send(5, Packet::Opening),
            Send(6, Packet::Fin),
            Change(Serve(0, 0)),
            Send(5, Packet::Opening),
        ],
    )
}
