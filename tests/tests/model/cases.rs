//! Histories by name, such as random ones shrink to.

mod limits;

use std::collections::BTreeMap;

use elb_userspace::model::{Forwarding, LbAlgorithm, Protocol};
use proptest::prelude::*;

use crate::host::Host;
use crate::script::{
    Change::*, Listener, MEMBERS, Member, Packet, Pool, Script, Step, Step::*, Wanted,
};
use crate::trial;
use crate::world::{Datapath as _, World};

/// A pool of two members, the first of its four.
fn pool(number: u8) -> Pool {
    let first = number * MEMBERS + 1;
    Pool {
        algorithm: LbAlgorithm::FiveTupleHash,
        forwarding: Forwarding::L2,
        remembers: false,
        large: false,
        renamed: false,
        members: (first..=first + 1).map(|member| (member, Member::NEW)).collect(),
        rehash: false,
        backup_below: 1,
        drain: None,
        udp_hold: 0,
        slow_start: 0,
        present: true,
    }
}

/// Two TCP pools; both listeners serve the first.
fn wanted() -> Wanted {
    Wanted {
        protocol: Protocol::Tcp,
        room: 1000,
        pools: [pool(0), pool(1)],
        listeners: [Listener::of(0, 10); 2],
    }
}

/// The same with this for its first pool.
fn with(pool: Pool) -> Wanted {
    Wanted { pools: [pool, self::pool(1)], ..wanted() }
}

fn run(wanted: Wanted, steps: &[Step]) -> Result<(), TestCaseError> {
    let script = Script { wanted, steps: steps.to_vec() };
    trial::run(&mut Host::default(), &mut Host::default(), &script)
}

/// The first packet went to a member of another pool: that one is not remembered in this pool.
#[test]
fn a_client_is_remembered_with_a_member_of_the_pool() -> Result<(), TestCaseError> {
    let turns = |number| Pool { algorithm: LbAlgorithm::RoundRobin, ..pool(number) };
    run(
        Wanted { pools: [turns(0), turns(1)], ..wanted() },
        &[
            Change(Remember(1, true)),
            Send(6, Packet::Opening),
            Change(Serve(0, 1)),
            Change(Serve(1, 1)),
            Send(6, Packet::Data),
            Send(4, Packet::Opening),
        ],
    )
}

/// Every cut begins another watch over the slots that named the member; the last one counts.
#[test]
fn slots_settle_after_members_are_cut_one_after_the_other() -> Result<(), TestCaseError> {
    run(
        Wanted { listeners: [Listener::of(0, 20); 2], ..with(Pool { drain: Some(25), ..pool(0) }) },
        &[
            Change(Algorithm(0, LbAlgorithm::ThreeTupleHash)),
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
        with(Pool { members: BTreeMap::from([(1, Member::NEW)]), ..pool(0) }),
        &[
            Send(2, Packet::Opening),
            Change(Algorithm(0, LbAlgorithm::RoundRobin)),
            Wait(2_528),
            Send(2, Packet::Data),
            Wait(9_472),
            Sweep,
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
        Wanted {
            protocol: Protocol::Udp,
            listeners: [Listener::of(0, 20); 2],
            ..with(Pool {
                algorithm: LbAlgorithm::RoundRobin,
                members: BTreeMap::from([(1, Member::NEW)]),
                rehash: true,
                drain: Some(25),
                ..pool(0)
            })
        },
        &[
            Send(2, Packet::Data),
            Change(Fail(1)),
            Send(2, Packet::Data),
            Change(Rehash(0, false)),
            Send(2, Packet::Data),
        ],
    )
}

/// The first pool fails, the second takes over and fails, too, and both come back in turn.
#[test]
fn flows_stay_while_another_pool_takes_over_and_gives_back() -> Result<(), TestCaseError> {
    let second = Pool { drain: Some(10), ..pool(1) };
    let wanted = Wanted { pools: [Pool { drain: Some(25), ..pool(0) }, second], ..wanted() };
    let steps = [
        Change(Fallback(0, Some(2))),
        Send(1, Packet::Opening),
        Send(1, Packet::Data),
        Change(Drain(1)),
        Send(3, Packet::Opening),
        Send(3, Packet::Data),
        Send(1, Packet::Data),
        Change(Drain(5)),
        Change(Drain(6)),
        Wait(3_000),
        Restart,
        Send(1, Packet::Data),
        Send(3, Packet::Data),
        Change(Undrain(1)),
        Send(5, Packet::Opening),
        Send(3, Packet::Data),
        Wait(3_000),
        Send(1, Packet::Data),
        Send(3, Packet::Data),
        Send(5, Packet::Data),
        Sweep,
        Change(Undrain(5)),
        Send(3, Packet::Data),
    ];
    run(wanted, &steps)
}

/// Flows outlive all that their pools and listeners can become.
#[test]
fn a_flow_stays_through_every_kind_of_change() -> Result<(), TestCaseError> {
    let mut steps = vec![Send(1, Packet::Opening), Send(2, Packet::Opening)];
    for change in [
        Add(3),
        Weigh(1, 2),
        Algorithm(0, LbAlgorithm::SourceIp),
        Serve(0, 1),
        Fail(1),
        Fail(2),
        Rename(0),
        Large(0, true),
        Serve(1, 1),
        Present(0, false),
        Recover(1),
        Algorithm(1, LbAlgorithm::RoundRobin),
        Serve(0, 0),
        Algorithm(0, LbAlgorithm::RoundRobin),
        Drain(2),
        Readdress(3, 4),
        Remove(1),
        Serve(1, 0),
        Algorithm(0, LbAlgorithm::FiveTupleHash),
        Present(1, false),
        Add(1),
    ] {
        let talk = [Send(1, Packet::Data), Send(2, Packet::Data)];
        steps.extend([Change(change), talk[0], Wait(7_000), Sweep, talk[0], talk[1], Restart]);
    }
    run(wanted(), &steps)
}

/// Blue/green: both ways and back within an idle timeout.
#[test]
fn a_listener_that_goes_to_another_pool_and_back_keeps_its_flows() -> Result<(), TestCaseError> {
    let talk = [Send(1, Packet::Data), Send(3, Packet::Data), Send(5, Packet::Data)];
    let mut steps = vec![Send(1, Packet::Opening)];
    steps.extend([Change(Serve(0, 1)), Send(3, Packet::Opening), Wait(2_000), Change(Serve(0, 0))]);
    steps.push(Send(5, Packet::Opening));
    for _ in 0..6 {
        steps.extend(talk);
        steps.extend([Wait(6_000), Sweep]);
    }
    run(wanted(), &steps)
}

/// A steady flow of datagrams follows its listener in the end.
#[test]
fn datagrams_go_to_the_new_pool_after_an_idle_timeout() {
    let pools = [0, 1].map(|number| Pool { algorithm: LbAlgorithm::RoundRobin, ..pool(number) });
    let wanted = Wanted { protocol: Protocol::Udp, pools, ..wanted() };
    let mut host = Host::default();
    let mut world = World::new(&mut host, &wanted);
    let first = world.send(1, Packet::Data).unwrap();
    let mut moved = wanted.clone();
    moved.apply(Serve(0, 1));
    world.follow(&moved);
    assert_eq!(world.send(1, Packet::Data), Some(first));
    for _ in 0..3 {
        world.datapath.pass(6_000);
        world.sweep();
        world.send(1, Packet::Data);
    }
    assert!(world.send(1, Packet::Data).unwrap() > MEMBERS);
}

/// Its record was over when it spoke again, which a pool with a longer idle timeout does not see.
#[test]
fn a_flow_that_opened_again_does_not_go_back_to_its_record_of_before() -> Result<(), TestCaseError>
{
    run(
        Wanted {
            protocol: Protocol::Udp,
            pools: [
                Pool { members: BTreeMap::from([(1, Member::NEW)]), ..pool(0) },
                Pool {
                    algorithm: LbAlgorithm::RoundRobin,
                    members: (5..=7).map(|member| (member, Member::NEW)).collect(),
                    ..pool(1)
                },
            ],
            listeners: [Listener::of(0, 20), Listener::of(1, 10)],
            ..wanted()
        },
        &[
            Change(Add(1)),
            Send(4, Packet::Data),
            Send(4, Packet::Data),
            Wait(11_000),
            Send(4, Packet::Data),
            Change(Serve(1, 0)),
            Send(4, Packet::Data),
        ],
    )
}

/// One record fits, so that the flow's second packet is refused; its opening still says where its
/// first went, which is no new flow there.
#[test]
fn a_flow_that_was_refused_a_record_goes_on_where_it_opened() -> Result<(), TestCaseError> {
    run(
        Wanted {
            protocol: Protocol::Udp,
            room: 1,
            pools: [
                Pool {
                    algorithm: LbAlgorithm::RoundRobin,
                    members: BTreeMap::from([(1, Member::NEW)]),
                    ..pool(0)
                },
                Pool { members: BTreeMap::from([(5, Member::NEW)]), ..pool(1) },
            ],
            listeners: [Listener::of(1, 10), Listener::of(0, 10)],
        },
        &[
            Send(4, Packet::Data),
            Send(6, Packet::Data),
            Send(6, Packet::Data),
            Send(4, Packet::Data),
            Change(Serve(1, 1)),
            Change(Fail(1)),
            Send(4, Packet::Data),
        ],
    )
}

/// No member of the pool before is left to serve it, so that it goes to one of the present pool while
/// datagrams are held, and is recorded there.
#[test]
fn a_datagram_flow_stays_where_it_went_for_want_of_a_former_member() -> Result<(), TestCaseError> {
    run(
        Wanted {
            protocol: Protocol::Udp,
            pools: [
                Pool { members: BTreeMap::from([(1, Member::NEW)]), drain: Some(10), ..pool(0) },
                Pool { algorithm: LbAlgorithm::RoundRobin, udp_hold: 5, ..pool(1) },
            ],
            ..wanted()
        },
        &[
            Change(Remove(1)),
            Wait(11_000),
            Change(Serve(1, 1)),
            Send(6, Packet::Data),
            Wait(9_276),
            Send(6, Packet::Data),
            Wait(2_724),
            Sweep,
            Send(6, Packet::Data),
        ],
    )
}

/// A flow without room for its record keeps the pool before for longer than an idle timeout; then the listener goes
/// back. Datagrams follow it after an idle timeout, and not at once.
#[test]
fn datagrams_have_an_idle_timeout_though_the_pool_before_was_kept_for_longer()
-> Result<(), TestCaseError> {
    run(
        Wanted {
            protocol: Protocol::Udp,
            room: 1,
            pools: [pool(0), Pool { algorithm: LbAlgorithm::RoundRobin, udp_hold: 0, ..pool(1) }],
            ..wanted()
        },
        &[
            Change(Serve(0, 1)),
            Change(Serve(1, 1)),
            Wait(23_000),
            Send(4, Packet::Data),
            Send(4, Packet::Data),
            Restart,
            Send(1, Packet::Data),
            Send(2, Packet::Data),
            Sweep,
            Change(Serve(0, 0)),
            Change(Serve(1, 0)),
            Sweep,
            Send(4, Packet::Data),
        ],
    )
}

/// A connection that was refused a record opens again from the same port: it goes on where it opened, and
/// is refused again.
#[test]
fn a_connection_that_was_refused_a_record_is_refused_again() -> Result<(), TestCaseError> {
    run(
        Wanted { room: 1, ..with(Pool { algorithm: LbAlgorithm::RoundRobin, ..pool(0) }) },
        &[
            Send(3, Packet::Opening),
            Send(6, Packet::Opening),
            Send(6, Packet::Data),
            Send(3, Packet::Data),
            Send(3, Packet::Opening),
            Send(3, Packet::Data),
        ],
    )
}

/// Nothing says that it is the same pool: datagrams go on where they went for one idle timeout, as wherever a listener
/// goes to another pool, though they would be held for longer.
#[test]
fn a_pool_without_members_and_with_another_name_is_another_pool() {
    let members = BTreeMap::from([(1, Member::NEW)]);
    let first = Pool { members, drain: Some(25), udp_hold: 30, ..pool(0) };
    let mut wanted = Wanted { protocol: Protocol::Udp, ..with(first) };
    let mut host = Host::default();
    let mut world = World::new(&mut host, &wanted);
    wanted.apply(Remove(1));
    world.follow(&wanted);
    wanted.pools[0].renamed = true;
    world.follow(&wanted);
    let talk = |world: &mut World<'_, Host>, wait| {
        world.datapath.pass(wait);
        world.sweep();
        world.send(6, Packet::Data)
    };
    assert_eq!([3_000; 3].map(|wait| talk(&mut world, wait)), [Some(1); 3]);
    assert_eq!(talk(&mut world, 3_000), None);
}

/// A first packet that is over does not count again where its listener goes to a pool with a longer idle timeout.
#[test]
fn a_first_packet_that_is_over_is_forgotten() -> Result<(), TestCaseError> {
    run(
        wanted(),
        &[
            Change(Fail(2)),
            Send(4, Packet::Opening),
            Wait(11_000),
            Change(Serve(1, 1)),
            Send(4, Packet::Data),
            Change(Idle(1, 20)),
            Send(4, Packet::Opening),
        ],
    )
}

/// That a client acknowledges what it still gets does not open its connection again.
#[test]
fn a_connection_that_its_client_closed_stays_closed() -> Result<(), TestCaseError> {
    let turns = Pool { algorithm: LbAlgorithm::RoundRobin, ..pool(1) };
    run(
        Wanted {
            pools: [pool(0), turns],
            listeners: [Listener::of(1, 20), Listener::of(0, 10)],
            ..wanted()
        },
        &[
            Send(5, Packet::Opening),
            Send(5, Packet::Data),
            Send(5, Packet::Fin),
            Send(5, Packet::Data),
            Wait(11_000),
            Sweep,
            Send(5, Packet::Data),
        ],
    )
}

/// A longer idle timeout brings none of it back.
#[test]
fn a_move_is_over_by_the_least_idle_timeout_since() -> Result<(), TestCaseError> {
    run(
        Wanted {
            protocol: Protocol::Udp,
            pools: [Pool { udp_hold: 5, ..pool(0) }, Pool { udp_hold: 30, ..pool(1) }],
            ..wanted()
        },
        &[
            Wait(279),
            Change(Serve(1, 1)),
            Wait(11_721),
            Send(4, Packet::Data),
            Sweep,
            Change(Idle(1, 20)),
            Send(4, Packet::Data),
        ],
    )
}
